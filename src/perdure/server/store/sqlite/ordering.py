"""Where a page that is sorted by an attribute ends: found by a walk along the attribute's index, so
that only what lies before that end has to be sorted.

It is worth it where more runs pass a filter than are read and sorted at once. Nothing is told of
runs without the attribute, which no index has: a page with those is sorted from all.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from perdure.server.machines.search_attributes import (
    BOOL,
    DATETIME,
    DOUBLE,
    INT,
    KEYWORD,
    Scalar,
)
from perdure.server.store.ports import VisibilityCursor
from perdure.server.store.sqlite.finding import Found, among_statuses
from perdure.server.visibility.query.access import INDEXES, STATUSES
from perdure.server.visibility.query.sql import COLUMNS, LISTS, Fragment, Parameter
from perdure.server.visibility.query.tree import And, Attribute, Compare, Comparison, Filter, Order

LOOKED_AT_MAX = 50_000
"""Entries of an index: a longer walk would cost more than what it saves."""
ALWAYS_THERE = frozenset(("WorkflowId", "WorkflowType", "TaskQueue", "ExecutionTime"))
"""Attributes that each run has."""
OF_CLOSED = frozenset(("CloseTime", "ExecutionDuration"))
"""Those that each closed run has."""
WALKED = ALWAYS_THERE | {
    *("CloseTime", "ExecutionDuration", "HistoryLength", "HistorySizeBytes"),
    *("StateTransitionCount", "ParentWorkflowId", "ParentRunId"),
}
"""Columns whose indexes are in order of them."""
WALKED_TYPES = frozenset((BOOL, DATETIME, DOUBLE, INT, KEYWORD))
"""Of attributes that are no columns, with one value for a run."""


def narrowed(
    connection: apsw.Connection,
    namespace: int,
    condition: Filter | None,
    found: Found,
    rest: Fragment,
    order: Order,
    after: VisibilityCursor | None,
    limit: int,
) -> Filter | None:
    """The filter, and that the attribute lies where the page does; None when that cannot be told.
    `rest` is the filter but for statuses."""
    key = after.keys[0] if after is not None else None
    if not _can_walk(order, key, found, is_first=after is None):
        return None
    walk = _walk(namespace, found, rest, order, key)
    direction = "DESC" if order.descending else "ASC"
    row = connection.execute(
        f"SELECT v FROM ({walk.text} ORDER BY v {direction} LIMIT {LOOKED_AT_MAX})"
        " WHERE passes LIMIT 1 OFFSET ?",
        (*walk.parameters, limit - 1),
    ).get
    if row is None:
        return None
    far, near = Comparison.AT_MOST, Comparison.AT_LEAST
    if order.descending:
        far, near = near, far
    parts = [Compare(order.attribute, far, row)]
    if key is not None:
        parts.append(Compare(order.attribute, near, key))
    return And((*([condition] if condition is not None else []), *parts))


def _can_walk(order: Order, key: Scalar | None, found: Found, *, is_first: bool) -> bool:
    attribute = order.attribute
    if attribute.field in LISTS:
        return False
    if attribute.field in COLUMNS and attribute.field not in WALKED:
        return False
    if attribute.field not in COLUMNS and attribute.type not in WALKED_TYPES:
        return False
    if key is None and not is_first:
        return False  # Those without the attribute go on.
    if order.descending or key is not None or attribute.field in ALWAYS_THERE:
        return True
    # Those without it would come first.
    return attribute.field in OF_CLOSED and not found.open_statuses


def _walk(
    namespace: int, found: Found, rest: Fragment, order: Order, key: Scalar | None
) -> Fragment:
    """All values `v` of the attribute strictly beyond a key, and whether their run `passes`."""
    beyond = ("<" if order.descending else ">", key)
    if order.attribute.field in COLUMNS:
        walks = _of_column(namespace, found, rest, order.attribute, beyond)
    else:
        walks = [_of_rows(namespace, found, rest, order.attribute.field, beyond)]
    parameters = tuple(one for walk in walks for one in walk.parameters)
    return Fragment(" UNION ALL ".join(walk.text for walk in walks), parameters)


def _of_column(
    namespace: int,
    found: Found,
    rest: Fragment,
    attribute: Attribute,
    beyond: tuple[str, Scalar | None],
) -> list[Fragment]:
    walks = []
    for index in INDEXES[attribute.field]:
        # The index of lists is in order of times, status by status.
        is_listed = index.name == "perdure_run_listed"
        for status in found.closed_statuses if is_listed else (0,):
            only = f"r.status = {status}" if is_listed else index.only or "1"
            bound, bounds = _bound(index.value, beyond)
            passes = _passes("r.status", () if is_listed else found.statuses, rest)
            text = (
                f"SELECT {index.value} AS v, {passes.text} AS passes"
                f" FROM perdure_run r INDEXED BY {index.name}"
                f" WHERE r.namespace = ? AND r.kind = 0 AND {only} AND {bound}"
            )
            walks.append(Fragment(text, (*passes.parameters, namespace, *bounds)))
    return walks


def _of_rows(
    namespace: int,
    found: Found,
    rest: Fragment,
    field: str,
    beyond: tuple[str, Scalar | None],
) -> Fragment:
    bound, bounds = _bound("a.value", beyond)
    passes = _passes("a.status", found.statuses, rest)
    runs = "" if rest.text == "1" else " CROSS JOIN perdure_run r ON r.run = a.run"
    text = (
        f"SELECT a.value AS v, {passes.text} AS passes FROM perdure_attribute a{runs}"
        f" WHERE a.namespace = ? AND a.attribute = ? AND a.status > 0 AND {bound}"
    )
    return Fragment(text, (*passes.parameters, namespace, field, *bounds))


def _bound(value: str, beyond: tuple[str, Scalar | None]) -> tuple[str, tuple[Parameter, ...]]:
    sign, key = beyond
    if key is None:
        return f"{value} IS NOT NULL", ()
    return f"{value} {sign} ?", (key,)


def _passes(column: str, statuses: Sequence[int], rest: Fragment) -> Fragment:
    """Whether a run has one of some statuses (none: it is known to), and passes the rest."""
    if not statuses or len(statuses) == len(STATUSES):
        return rest
    text = f"({column} IN ({among_statuses(statuses)}) AND {rest.text})"
    return Fragment(text, rest.parameters)
