"""By which indexes the workflows are found that a part of a filter is true of.

An index is a `Source`: where to look, and for which ranges. Parts that have none are checked of
runs that are found in another way. Columns of an index come from tables of this module, values are
parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from perdure.server.visibility.query import run_ids
from perdure.server.visibility.query.sql import (
    COLUMNS,
    LISTS,
    Fragment,
    Parameter,
    among,
    comparison,
)
from perdure.server.visibility.query.tree import (
    MANY,
    Between,
    Compare,
    Comparison,
    Filter,
    HasAny,
    IsMissing,
    Not,
    OneOf,
    Or,
    StartsWith,
)

Leaf = Compare | OneOf | Between | StartsWith

OPEN_STATUSES = (1, 8)
CLOSED_STATUSES = (2, 3, 4, 5, 6, 7)
STATUSES = (*OPEN_STATUSES, *CLOSED_STATUSES)
"""Those that a workflow may have; only open ones have no close time."""

_ALL_CLOSED = f"r.status IN ({', '.join(map(str, CLOSED_STATUSES))})"


class Index(msgspec.Struct, frozen=True):
    """An index of runs: the expression that it is by, and what holds of all that is looked for in
    it. `goes_on`: with status and place, so that one value's runs are in a list's order.
    `has_status`: with the status only."""

    name: str
    value: str
    only: str = ""
    goes_on: bool = False
    has_status: bool = False


class Source(msgspec.Struct, frozen=True):
    """A range of an index. `run`, `status` and `place` are columns of what `table` is; the latter
    two are "" when the index does not have them."""

    table: str
    where: Fragment
    run: str = "r.run"
    status: str = ""
    place: str = ""
    is_ordered: bool = False
    """Of one status, its runs are in order of `place`."""
    may_repeat: bool = False
    """It may have a run more than once."""


_DURATION = "max(0, r.close_time_ns - coalesce(r.execution_time_ns, r.start_time_ns))"
_BY_ID = (
    Index("perdure_run_current", "r.workflow_id", "r.is_current = 1"),
    Index("perdure_run_earlier", "r.workflow_id", "r.is_current = 0"),
)
INDEXES: dict[str, tuple[Index, ...]] = {
    "WorkflowId": _BY_ID,
    "WorkflowType": (Index("perdure_run_type", "r.workflow_type", goes_on=True),),
    "TaskQueue": (Index("perdure_run_queue", "r.task_queue", goes_on=True),),
    "ExecutionStatus": (Index("perdure_run_listed", "r.status"),),
    "StartTime": (Index("perdure_run_start", "r.start_time_ns"),),
    "ExecutionTime": (
        Index("perdure_run_execution", "r.execution_time_ns"),
        Index("perdure_run_start", "r.start_time_ns", "r.execution_time_ns IS NULL"),
    ),
    "CloseTime": (Index("perdure_run_listed", "r.place_ns", _ALL_CLOSED),),
    "ExecutionDuration": (
        Index("perdure_run_duration", _DURATION, "r.close_time_ns > 0", has_status=True),
    ),
    "HistoryLength": (Index("perdure_run_length", "r.history_length", has_status=True),),
    "HistorySizeBytes": (Index("perdure_run_size", "r.history_size_bytes", has_status=True),),
    "StateTransitionCount": (
        Index("perdure_run_transitions", "r.state_transitions", has_status=True),
    ),
    "ParentWorkflowId": (Index("perdure_run_parent", "r.parent_workflow_id"),),
    "ParentRunId": (Index("perdure_run_parent_run", "r.parent_run_id"),),
    "RootWorkflowId": (
        Index("perdure_run_root", "r.root_workflow_id"),
        *(
            Index(index.name, index.value, f"{index.only} AND r.root_workflow_id IS NULL")
            for index in _BY_ID
        ),
    ),
    "RootRunId": (Index("perdure_run_root_run", "r.root_run_id"),),
}
"""The indexes of each attribute that is a column. What a column leaves out because another says
it is found by that other."""

NULLABLE = frozenset(
    ("HistoryLength", "HistorySizeBytes", "StateTransitionCount", "ParentWorkflowId", "ParentRunId")
)
"""Columns whose index has just the runs that have a value."""

CLOSED_ONLY = frozenset(
    (
        *("CloseTime", "ExecutionDuration", "HistoryLength", "HistorySizeBytes"),
        "StateTransitionCount",
    )
)
"""What only closed workflows have."""

VALUES_MAX = 8
"""So many values are looked for one by one."""

_RUN_ID_PART = "substr(r.run_id, 1, 6)"


def sources_of(part: Filter, namespace: int) -> tuple[Source, ...] | None:
    """Where all workflows are that a part is true of; None when no index tells."""
    match part:
        case Compare() | OneOf() | Between() | StartsWith():
            return _of_leaf(part, namespace)
        case HasAny(attribute, values) if attribute.field not in LISTS:
            where = Fragment(f"a.value IN {among(values)[0]}", among(values)[1])
            if len(values) == 1:
                where = Fragment("a.value = ?", (values[0],))
            return (_rows(namespace, attribute.field, where, len(values) == 1, len(values) > 1),)
        case Not(IsMissing(attribute)):
            return _of_present(attribute.field, attribute.type in MANY, namespace)
        case Or(parts):
            return _of_any(parts, namespace)
        case _:
            return None


def _of_any(parts: Sequence[Filter], namespace: int) -> tuple[Source, ...] | None:
    found: list[Source] = []
    for part in parts:
        sources = sources_of(part, namespace)
        if sources is None:
            return None
        found += sources
    # A run may be in several parts.
    return tuple(
        msgspec.structs.replace(source, may_repeat=True, is_ordered=False) for source in found
    )


def _of_leaf(part: Leaf, namespace: int) -> tuple[Source, ...] | None:
    field = part.attribute.field
    if field == "RunId":
        return _of_run_ids(part, namespace, "")
    if isinstance(part, OneOf) and not part.negated and len(part.values) <= VALUES_MAX:
        return _of_values(part, namespace)
    is_equal = isinstance(part, Compare) and part.comparison is Comparison.EQUAL
    if field not in COLUMNS:
        found = _ranges("a.value", part)
        if found is None:
            return None
        return tuple(_rows(namespace, field, where, is_equal, False) for where in found)
    sources: list[Source] = []
    for index in INDEXES[field]:
        ranges = _ranges(index.value, part)
        if ranges is None:
            return None
        sources += [_runs(namespace, index, where, is_equal) for where in ranges]
    if field == "RootRunId":
        own = _of_run_ids(part, namespace, " AND r.root_run_id IS NULL")
        return None if own is None else (*sources, *own)
    return tuple(sources)


def _of_values(part: OneOf, namespace: int) -> tuple[Source, ...] | None:
    """Those of each value: what has one of some values is in order for each."""
    found: list[Source] = []
    for value in dict.fromkeys(part.values):
        found += _of_leaf(Compare(part.attribute, Comparison.EQUAL, value), namespace) or ()
    return tuple(found)


def _of_present(field: str, is_many: bool, namespace: int) -> tuple[Source, ...] | None:
    if field in LISTS:
        return None
    if field not in COLUMNS:
        return (_rows(namespace, field, Fragment("1"), False, is_many),)
    if field not in NULLABLE:
        return None
    index = INDEXES[field][0]
    return (_runs(namespace, index, Fragment(f"{index.value} IS NOT NULL"), False),)


def _runs(namespace: int, index: Index, where: Fragment, is_equal: bool) -> Source:
    only = f" AND {index.only}" if index.only else ""
    text = f"r.namespace = ? AND r.kind = 0{only} AND {where.text}"
    has_place = index.goes_on or index.name == "perdure_run_listed"
    return Source(
        f"perdure_run r INDEXED BY {index.name}",
        Fragment(text, (namespace, *where.parameters)),
        status="r.status" if has_place or index.has_status else "",
        place="r.place_ns" if has_place else "",
        is_ordered=is_equal and index.goes_on,
    )


def _rows(namespace: int, field: str, where: Fragment, is_equal: bool, may_repeat: bool) -> Source:
    text = f"a.namespace = ? AND a.attribute = ? AND a.status > 0 AND {where.text}"
    return Source(
        "perdure_attribute a",
        Fragment(text, (namespace, field, *where.parameters)),
        run="a.run",
        status="a.status",
        place="a.place_ns",
        is_ordered=is_equal,
        may_repeat=may_repeat,
    )


def _of_run_ids(part: Leaf, namespace: int, only: str) -> tuple[Source, ...] | None:
    ranges = run_ids.ranges(part)
    if ranges is None:
        return None
    found = []
    for low, high in ranges:
        conditions, parameters = ["r.namespace = ? AND r.kind = 0"], [namespace]
        bounds = [(">=", low), ("<" if high else "", high)]
        for sign, bound in bounds:
            if bound is not None:
                wide = sign.rstrip("=") + "="
                conditions.append(f"{_RUN_ID_PART} {wide} ? AND r.run_id {sign} ?")
                parameters += [bound[:6], bound]  # type: ignore[list-item]
        if low is None and high is None:
            conditions.append(f"{_RUN_ID_PART} >= zeroblob(0)")
        text = " AND ".join(conditions) + only
        table = "perdure_run r INDEXED BY perdure_run_id"
        found.append(Source(table, Fragment(text, tuple(parameters))))
    return tuple(found)


def _ranges(value: str, part: Leaf) -> tuple[Fragment, ...] | None:
    """A part as ranges of an index that do not overlap; None when they would be too many."""
    match part:
        case Compare(_, Comparison.UNEQUAL, wanted):
            return _around(value, wanted, wanted)
        case OneOf(_, values, True):
            return _around(value, values[0], values[0]) if len(values) == 1 else None
        case Between(_, low, high, True):
            return _around(value, low, high) if low <= high else None  # type: ignore[operator]
        case StartsWith(_, _, True):
            return None
        case _:
            return (comparison(value, part),)


def _around(value: str, low: object, high: object) -> tuple[Fragment, ...]:
    return (Fragment(f"{value} < ?", (low,)), Fragment(f"{value} > ?", (high,)))  # type: ignore[arg-type]


def union(sources: Iterable[Source], columns: Sequence[str]) -> Fragment:
    """All that the sources have, each run once."""
    sources = list(sources)
    word = " UNION " if any(source.may_repeat for source in sources) else " UNION ALL "
    texts: list[str] = []
    parameters: list[Parameter] = []
    for source in sources:
        named = ", ".join(f"{getattr(source, column)} AS {column}" for column in columns)
        texts.append(f"SELECT {named} FROM {source.table} WHERE {source.where.text}")
        parameters += source.where.parameters
    return Fragment(word.join(texts), tuple(parameters))
