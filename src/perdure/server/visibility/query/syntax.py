"""A query as it is written: nothing is known yet of its names and values."""

from __future__ import annotations

import msgspec


class Column(msgspec.Struct, frozen=True):
    """A name."""

    name: str


class Text(msgspec.Struct, frozen=True):
    """A quoted text."""

    value: str


class Number(msgspec.Struct, frozen=True):
    """Digits; without a point and an exponent it is a whole number."""

    text: str
    is_whole: bool


class Boolean(msgspec.Struct, frozen=True):
    """True or false."""

    value: bool


class Null(msgspec.Struct, frozen=True):
    """The word null."""


class Strange(msgspec.Struct, frozen=True):
    """What SQL has and queries do not; `kind` is how the real server calls it."""

    kind: str
    text: str = ""


class Comparing(msgspec.Struct, frozen=True):
    """Two expressions and an operator between them, in upper case."""

    left: Expression
    operator: str
    right: Expression


class Listing(msgspec.Struct, frozen=True):
    """IN and NOT IN."""

    left: Expression
    items: tuple[Expression, ...]
    negated: bool


class Ranging(msgspec.Struct, frozen=True):
    """BETWEEN and NOT BETWEEN."""

    left: Expression
    low: Expression
    high: Expression
    negated: bool


class Testing(msgspec.Struct, frozen=True):
    """IS NULL, IS NOT NULL, and what else may follow IS."""

    left: Expression
    what: str


class Group(msgspec.Struct, frozen=True):
    """Something between parentheses."""

    inner: Expression


class Negation(msgspec.Struct, frozen=True):
    """NOT."""

    inner: Expression


class Junction(msgspec.Struct, frozen=True):
    """Several conditions between which the same word stands: `and` or `or`."""

    word: str
    parts: tuple[Expression, ...]


Expression = (
    Column
    | Text
    | Number
    | Boolean
    | Null
    | Strange
    | Comparing
    | Listing
    | Ranging
    | Testing
    | Group
    | Negation
    | Junction
)


class Ordering(msgspec.Struct, frozen=True):
    """One part of ORDER BY."""

    column: Expression
    descending: bool


class Statement(msgspec.Struct, frozen=True):
    """All of a query."""

    condition: Expression | None = None
    groups: tuple[Expression, ...] = ()
    order: tuple[Ordering, ...] = ()
    has_limit: bool = False
