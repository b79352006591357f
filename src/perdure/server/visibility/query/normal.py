"""A filter without negations, but of what is always true or false.

A filter that is neither is as good as false once nothing negates it. So what is compiled need not
tell the two apart, and a search for runs that have a value needs no look at those that have none.
"""

from __future__ import annotations

from perdure.server.visibility.query.tree import (
    And,
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

OPPOSITES: dict[Comparison, Comparison] = {
    Comparison.EQUAL: Comparison.UNEQUAL,
    Comparison.UNEQUAL: Comparison.EQUAL,
    Comparison.LESS: Comparison.AT_LEAST,
    Comparison.AT_LEAST: Comparison.LESS,
    Comparison.MORE: Comparison.AT_MOST,
    Comparison.AT_MOST: Comparison.MORE,
}


def without_negations(part: Filter, *, negated: bool = False) -> Filter:
    """A filter that is true of the same runs; `Not` is left only around `HasAny`,
    `HasLike` and `IsMissing`."""
    match part:
        case Not(inner):
            return without_negations(inner, negated=not negated)
        case And(parts) | Or(parts):
            changed = tuple(without_negations(one, negated=negated) for one in parts)
            is_and = isinstance(part, And) != negated
            return And(changed) if is_and else Or(changed)
        case HasAny() | HasLike() | IsMissing():
            return Not(part) if negated else part
        case Compare(attribute, comparison, value):
            return Compare(attribute, OPPOSITES[comparison], value) if negated else part
        case OneOf(attribute, values, is_negated):
            return OneOf(attribute, values, is_negated != negated)
        case Between(attribute, low, high, is_negated):
            return Between(attribute, low, high, is_negated != negated)
        case StartsWith(attribute, prefix, is_negated):
            return StartsWith(attribute, prefix, is_negated != negated)
