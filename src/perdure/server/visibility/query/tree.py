"""A query as it is understood: attributes are known, values are of their types.

A filter is true, false or neither of a run, as in SQL: comparing an attribute that a run does not
have is neither, and so is its negation. Of a list of keywords or of words in a text (`MANY`) it is
always one of both.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from perdure.server.machines.search_attributes import KEYWORD_LIST, TEXT, Scalar

MANY = frozenset((KEYWORD_LIST, TEXT))
"""Types of attributes that have a set of values: the elements of a list, the words of a text."""


class Attribute(msgspec.Struct, frozen=True):
    """What a run is compared by. `field` names where its value is kept."""

    name: str
    type: int
    field: str


class Comparison(Enum):
    """How a value is compared, as it is written."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


class Compare(msgspec.Struct, frozen=True):
    """The attribute compares so with a value."""

    attribute: Attribute
    comparison: Comparison
    value: Scalar


class HasAny(msgspec.Struct, frozen=True):
    """An attribute of type `MANY` has one of the values."""

    attribute: Attribute
    values: tuple[Scalar, ...]


class HasLike(msgspec.Struct, frozen=True):
    """A text has a word like a pattern, in which `%` stands for anything and `_` for one
    character."""

    attribute: Attribute
    pattern: str


class OneOf(msgspec.Struct, frozen=True):
    """The attribute is one of the values, or is none of them."""

    attribute: Attribute
    values: tuple[Scalar, ...]
    negated: bool = False


class Between(msgspec.Struct, frozen=True):
    """The attribute lies in a closed range, or outside of it."""

    attribute: Attribute
    low: Scalar
    high: Scalar
    negated: bool = False


class StartsWith(msgspec.Struct, frozen=True):
    """The attribute begins with a text, or does not."""

    attribute: Attribute
    prefix: str
    negated: bool = False


class IsMissing(msgspec.Struct, frozen=True):
    """The run does not have the attribute."""

    attribute: Attribute


class Not(msgspec.Struct, frozen=True):
    """The opposite of a filter."""

    part: Filter


class And(msgspec.Struct, frozen=True):
    """All of the parts."""

    parts: tuple[Filter, ...]


class Or(msgspec.Struct, frozen=True):
    """Any of the parts."""

    parts: tuple[Filter, ...]


Filter = Compare | HasAny | HasLike | OneOf | Between | StartsWith | IsMissing | Not | And | Or


class Order(msgspec.Struct, frozen=True):
    """Runs in order of an attribute; those without it come before all others."""

    attribute: Attribute
    descending: bool = False


class Query(msgspec.Struct, frozen=True):
    """Which runs, in which order, or counted in which groups.

    Without an order: open ones first, the newest start first; then those closed last.
    """

    filter: Filter | None = None
    order: tuple[Order, ...] = ()
    group: Attribute | None = None


EVERYTHING = Query()
