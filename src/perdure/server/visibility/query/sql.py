"""A filter as parameterised SQL, for SQLite: what is true of a run `r`.

Names of columns come from tables of this module, names of users' attributes and all values are
parameters. Values of attributes that are no columns are rows of `perdure_attribute`. Of a workflow
that was found otherwise it is asked whether it has such a row; other things, which have few
indexes, are the set of those that have one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec

from perdure.server.machines.search_attributes import Scalar
from perdure.server.visibility.query import run_ids
from perdure.server.visibility.query.normal import without_negations
from perdure.server.visibility.query.tree import (
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
    Order,
    StartsWith,
)

Parameter = str | int | float | bytes | None

_RUN_ID = "lower(hex(r.run_id))"
RUN_ID = (
    f"(substr({_RUN_ID}, 1, 8) || '-' || substr({_RUN_ID}, 9, 4) || '-' || substr({_RUN_ID}, 13, 4)"
    f" || '-' || substr({_RUN_ID}, 17, 4) || '-' || substr({_RUN_ID}, 21))"
)
_EXECUTION_TIME = "coalesce(r.execution_time_ns, r.start_time_ns)"
# It is negative for what is no workflow.
_CLOSE_TIME = "nullif(abs(r.close_time_ns), 0)"
_DURATION = f"iif({_CLOSE_TIME} > 0, max(0, {_CLOSE_TIME} - {_EXECUTION_TIME}), NULL)"

COLUMNS: dict[str, str] = {
    "WorkflowId": "r.workflow_id",
    "RunId": RUN_ID,
    "WorkflowType": "r.workflow_type",
    "StartTime": "r.start_time_ns",
    "ExecutionTime": _EXECUTION_TIME,
    "CloseTime": _CLOSE_TIME,
    "ExecutionStatus": "r.status",
    "TaskQueue": "r.task_queue",
    "HistoryLength": "r.history_length",
    "HistorySizeBytes": "r.history_size_bytes",
    "StateTransitionCount": "r.state_transitions",
    "ExecutionDuration": _DURATION,
    "ParentWorkflowId": "r.parent_workflow_id",
    "ParentRunId": "r.parent_run_id",
    "RootWorkflowId": "coalesce(r.root_workflow_id, r.workflow_id)",
    "RootRunId": f"coalesce(r.root_run_id, {RUN_ID})",
}
"""Attributes that are columns of a run `r`, or made of some."""

_OPERATORS: dict[Comparison, str] = {
    Comparison.EQUAL: "=",
    Comparison.UNEQUAL: "<>",
    Comparison.LESS: "<",
    Comparison.AT_MOST: "<=",
    Comparison.MORE: ">",
    Comparison.AT_LEAST: ">=",
}
_AMONG = "(SELECT value FROM json_each(?))"
_ROWS = "SELECT a.run FROM perdure_attribute a WHERE a.namespace = ? AND a.attribute = ?"
_OF_RUN = (
    "perdure_attribute a INDEXED BY perdure_attribute_run WHERE a.run = r.run AND a.attribute = ?"
)
_VALUE = f"(SELECT a.value FROM {_OF_RUN})"
_SAME_ID = (
    "SELECT w.run FROM perdure_run w WHERE w.namespace = ? AND w.workflow_id = ?"
    " AND w.is_current = {} AND w.kind > 0"
)
_BUILD_IDS = (
    "coalesce(r.build_ids, (SELECT b.build_ids FROM perdure_build_list b"
    " WHERE b.number = r.build_list))"
)

LISTS: dict[str, str] = {"BuildIds": _BUILD_IDS}
"""Attributes that are a JSON list in SQL. A run without the attribute has NULL there."""


class Fragment(msgspec.Struct, frozen=True):
    """A piece of SQL and what stands for its question marks."""

    text: str
    parameters: tuple[Parameter, ...] = ()


class Condition(msgspec.Struct, frozen=True):
    """A filter as SQL. `is_narrow`: few runs pass it and they are found without looking at all."""

    sql: Fragment
    is_narrow: bool


class Compiler:
    """Makes SQL of filters on one namespace, and on one kind of what is in it."""

    def __init__(self, namespace: int, kind: int = 0) -> None:
        self._namespace = namespace
        self._kind = kind

    def condition(self, part: Filter | None) -> Condition:
        """The SQL that is true of the same runs as the filter."""
        if part is None:
            return Condition(Fragment("1"), is_narrow=False)
        normal = without_negations(part)
        parts = normal.parts if isinstance(normal, And) else (normal,)
        return Condition(self._filter(normal), any(self._is_narrow(one) for one in parts))

    def value(self, attribute: Attribute) -> Fragment:
        """The value of an attribute of run `r`; NULL when it has none."""
        column = COLUMNS.get(attribute.field)
        return Fragment(column) if column else Fragment(_VALUE, (attribute.field,))

    def _is_narrow(self, part: Filter) -> bool:
        match part:
            case Compare(attribute, Comparison.EQUAL):
                return attribute.name == "WorkflowId" or attribute.field not in COLUMNS
            case HasAny(attribute):
                return attribute.field not in LISTS
            case HasLike():
                return True
            case OneOf(attribute, _, False) | StartsWith(attribute, _, False):
                return attribute.field not in COLUMNS
            case _:
                return False

    def _filter(self, part: Filter) -> Fragment:
        match part:
            case And(parts):
                return _joined(" AND ", [self._filter(one) for one in parts])
            case Or(parts):
                return _joined(" OR ", [self._filter(one) for one in parts])
            case Not(inner):
                fragment = self._filter(inner)
                return Fragment(f"NOT {fragment.text}", fragment.parameters)
            case HasAny(attribute, values):
                return self._has_any(attribute, values)
            case HasLike(attribute, pattern):
                return self._runs(attribute, " AND a.value LIKE ?", (pattern,))
            case IsMissing(attribute):
                return self._is_missing(attribute)
            case Compare(attribute, Comparison.EQUAL, value) if (
                self._kind and attribute.field == "WorkflowId"
            ):
                return self._has_id(str(value))
            case _:
                return self._tell(part)

    def _tell(self, part: Compare | OneOf | Between | StartsWith) -> Fragment:
        """Comparing a column, or finding the rows that compare so."""
        column = COLUMNS.get(part.attribute.field)
        if part.attribute.field == "RunId" and (found := run_ids.ranges(part)) is not None:
            return _joined(" OR ", [_within(*one) for one in found])
        fragment = comparison(column or "a.value", part)
        if column:
            return fragment
        return self._runs(part.attribute, f" AND {fragment.text}", fragment.parameters)

    def _runs(
        self, attribute: Attribute, condition: str = "", parameters: tuple[Parameter, ...] = ()
    ) -> Fragment:
        if self._kind == 0:
            text = f"(EXISTS (SELECT 1 FROM {_OF_RUN}{condition}))"
            return Fragment(text, (attribute.field, *parameters))
        return Fragment(
            f"(r.run IN ({_ROWS}{condition}))", (self._namespace, attribute.field, *parameters)
        )

    def _has_any(self, attribute: Attribute, values: Sequence[Scalar]) -> Fragment:
        text, parameters = among(values)
        column = LISTS.get(attribute.field)
        if column:
            return Fragment(
                f"EXISTS (SELECT 1 FROM json_each({column}) e WHERE e.value IN {text})", parameters
            )
        return self._runs(attribute, f" AND a.value IN {text}", parameters)

    def _is_missing(self, attribute: Attribute) -> Fragment:
        column = COLUMNS.get(attribute.field) or LISTS.get(attribute.field)
        if column:
            return Fragment(f"({column} IS NULL)")
        found = self._runs(attribute)
        return Fragment(f"(NOT {found.text})", found.parameters)

    def _has_id(self, name: str) -> Fragment:
        both = f"{_SAME_ID.format(1)} UNION ALL {_SAME_ID.format(0)}"
        return Fragment(f"(r.run IN ({both}))", (self._namespace, name) * 2)


def _within(low: bytes | None, high: bytes | None) -> Fragment:
    """Run ids of a range."""
    bounds = [(sign, bound) for sign, bound in ((">=", low), ("<", high)) if bound is not None]
    texts = [f"r.run_id {sign} ?" for sign, _ in bounds]
    return Fragment(f"({' AND '.join(texts) or '1'})", tuple(bound for _, bound in bounds))


def among(values: Sequence[Scalar]) -> tuple[str, tuple[Parameter, ...]]:
    """What stands behind IN, and its parameter."""
    return _AMONG, (_json(values),)


def comparison(value: str, part: Compare | OneOf | Between | StartsWith) -> Fragment:
    """An expression compares so; neither true nor false when it is NULL."""
    match part:
        case Compare(_, comparison, wanted):
            return Fragment(f"({value} {_OPERATORS[comparison]} ?)", (wanted,))
        case OneOf(_, values, negated):
            word = "NOT IN" if negated else "IN"
            return Fragment(f"({value} {word} {_AMONG})", (_json(values),))
        case Between(_, low, high, negated):
            word = "NOT BETWEEN" if negated else "BETWEEN"
            return Fragment(f"({value} {word} ? AND ?)", (low, high))
        case StartsWith(_, prefix, negated):
            return _starts_with(value, prefix, negated)


def _starts_with(value: str, prefix: str, negated: bool) -> Fragment:
    """As a range, which an index can find."""
    after = successor(prefix)
    if after is None:
        return Fragment(f"({value} {'<' if negated else '>='} ?)", (prefix,))
    if negated:
        return Fragment(f"({value} < ? OR {value} >= ?)", (prefix, after))
    return Fragment(f"({value} >= ? AND {value} < ?)", (prefix, after))


def successor(prefix: str) -> str | None:
    """The first text after all that begin with a prefix; None when there is none."""
    for place in range(len(prefix) - 1, -1, -1):
        following = ord(prefix[place]) + 1
        if 0xD800 <= following <= 0xDFFF:
            following = 0xE000  # There are no characters between.
        if following <= 0x10FFFF:
            return prefix[:place] + chr(following)
    return None


def keyset(order: Sequence[Order], keys: Sequence[Scalar | None], run: int) -> Fragment:
    """The rows after one whose keys `k0`, `k1`... and run are known, in this order and then with
    falling run numbers."""
    alternatives: list[Fragment] = []
    same: list[Fragment] = []
    for place, (part, key) in enumerate(zip(order, keys, strict=True)):
        alternatives.append(_joined(" AND ", [*same, _beyond(f"k{place}", part, key)]))
        same.append(Fragment(f"k{place} IS ?", (key,)))
    alternatives.append(_joined(" AND ", [*same, Fragment("run < ?", (run,))]))
    return _joined(" OR ", alternatives)


def _beyond(column: str, part: Order, key: Scalar | None) -> Fragment:
    """What comes after a key; SQLite puts NULL before all others, and so last when falling."""
    if key is None:
        return Fragment("0" if part.descending else f"{column} IS NOT NULL")
    if part.descending:
        return Fragment(f"({column} < ? OR {column} IS NULL)", (key,))
    return Fragment(f"{column} > ?", (key,))


def _joined(word: str, fragments: Iterable[Fragment]) -> Fragment:
    fragments = list(fragments)
    text = word.join(fragment.text for fragment in fragments)
    parameters = tuple(one for fragment in fragments for one in fragment.parameters)
    return Fragment(f"({text})", parameters)


def _json(values: Sequence[Scalar]) -> str:
    """Values as the text of a JSON list, which is one parameter however many they are."""
    return json.dumps([int(value) if isinstance(value, bool) else value for value in values])
