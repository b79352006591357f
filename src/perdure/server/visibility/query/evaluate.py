"""Whether a filter is true of a run, without a database: what the memory store does, and what the
SQL of the other stores is compared with."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from typing import Any, Protocol

from perdure.server.machines.search_attributes import Scalar
from perdure.server.visibility.query.tree import (
    MANY,
    And,
    Attribute,
    Between,
    Compare,
    Comparison,
    Filter,
    HasAny,
    HasLike,
    IsMissing,
    Not,
    OneOf,
    Or,
    StartsWith,
)
from perdure.server.visibility.query.words import is_like

_COMPARE: dict[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.EQUAL: operator.eq,
    Comparison.UNEQUAL: operator.ne,
    Comparison.LESS: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.MORE: operator.gt,
    Comparison.AT_LEAST: operator.ge,
}


class Subject(Protocol):
    """A run, as filters see it."""

    def one(self, attribute: Attribute) -> Scalar | None:
        """The value of an attribute that has at most one."""
        ...

    def many(self, attribute: Attribute) -> Collection[Scalar]:
        """The elements of a list, or the words of a text (an empty text has an empty word)."""
        ...


def evaluate(part: Filter, subject: Subject) -> bool | None:
    """True, false, or None for neither, as SQL has it."""
    match part:
        case Not(inner):
            result = evaluate(inner, subject)
            return None if result is None else not result
        case And(parts):
            return _all(evaluate(one, subject) for one in parts)
        case Or(parts):
            opposite = _all(_opposite(evaluate(one, subject)) for one in parts)
            return _opposite(opposite)
        case HasAny(attribute, values):
            return not frozenset(values).isdisjoint(subject.many(attribute))
        case HasLike(attribute, pattern):
            return any(is_like(str(word), pattern) for word in subject.many(attribute))
        case IsMissing(attribute):
            if attribute.type in MANY:
                return not subject.many(attribute)
            return subject.one(attribute) is None
        case Compare() | OneOf() | Between() | StartsWith():
            value = subject.one(part.attribute)
            return None if value is None else _tell(part, value)


def _tell(part: Compare | OneOf | Between | StartsWith, value: Any) -> bool:
    match part:
        case Compare(_, comparison, wanted):
            return _COMPARE[comparison](value, wanted)
        case OneOf(_, values, negated):
            return (value in values) != negated
        case Between(_, low, high, negated):
            return bool(low <= value <= high) != negated
        case StartsWith(_, prefix, negated):
            return str(value).startswith(prefix) != negated


def _opposite(result: bool | None) -> bool | None:
    return None if result is None else not result


def _all(results: Any) -> bool | None:
    known: bool | None = True
    for result in results:
        if result is False:
            return False
        if result is None:
            known = None
    return known
