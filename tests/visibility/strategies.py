"""Random filters, and random runs for them to find."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from perdure.server.machines.search_attributes import (
    BOOL,
    DATETIME,
    DOUBLE,
    INT,
    KEYWORD,
    KEYWORD_LIST,
    TEXT,
)
from perdure.server.store.ports import VisibilityRow
from perdure.server.visibility.query.access import CLOSED_STATUSES, OPEN_STATUSES
from perdure.server.visibility.query.binding import RANGED, system_attribute
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
    Order,
    StartsWith,
)
from tests.store.rows import run_id

TYPES = {
    "Keyword01": KEYWORD,
    "Text01": TEXT,
    "Int01": INT,
    "Double01": DOUBLE,
    "Bool01": BOOL,
    "Datetime01": DATETIME,
    "KeywordList01": KEYWORD_LIST,
}
SYSTEM = (
    *("WorkflowId", "RunId", "WorkflowType", "StartTime", "ExecutionTime", "CloseTime"),
    *("ExecutionStatus", "TaskQueue", "HistoryLength", "ExecutionDuration", "HistorySizeBytes"),
    *("StateTransitionCount", "ParentWorkflowId", "ParentRunId", "RootWorkflowId", "RootRunId"),
    *("BuildIds", "TemporalWorkerDeployment"),
)
ATTRIBUTES = [Attribute(field, kind, field) for field, kind in TYPES.items()]
ATTRIBUTES += [system_attribute(name) for name in SYSTEM]
SORTABLE = [attribute for attribute in ATTRIBUTES if attribute.type not in MANY]

WORDS = st.sampled_from(["", "a", "ab", "b", "ä", "a'b", "%", "\ud7ff", "\U0010ffff", "w1", "w2"])
PATTERNS = st.text(st.sampled_from("ab%_12wä"), max_size=5)
SMALL = st.integers(0, 4)
NUMBERS = st.one_of(SMALL, st.sampled_from([-1, 2**62, 2**53 + 1, 0.5, 2.0, -1e300]))
WHOLE = st.one_of(SMALL, st.sampled_from([-1, 2**62, 2**53 + 1]))
VALUES: dict[int, st.SearchStrategy[Any]] = {
    KEYWORD: WORDS,
    TEXT: WORDS,
    KEYWORD_LIST: WORDS,
    INT: WHOLE,
    DOUBLE: st.sampled_from([0.0, 0.5, 2.0, -1e300]),
    BOOL: st.booleans(),
    DATETIME: WHOLE,
}
"""What a run may have; elements and words are told apart from each other by nothing."""

RUN_IDS = [f"00000000-0000-0000-0000-{number:012}" for number in range(7)]
assert run_id(1).hex() == RUN_IDS[1].replace("-", "")


def asked(attribute: Attribute) -> st.SearchStrategy[Any]:
    """A value to compare an attribute with."""
    if attribute.name == "ExecutionStatus":
        return st.sampled_from([0, 1, 2, 3, 8])
    if attribute.name.endswith("RunId"):
        return st.sampled_from([*RUN_IDS, "", "x"])
    return NUMBERS if attribute.type in (INT, DOUBLE) else VALUES[attribute.type]


@st.composite
def leaves(draw: st.DrawFn) -> Filter:
    """One comparison, of any kind that the attribute's type allows."""
    attribute = draw(st.sampled_from(ATTRIBUTES))
    value = asked(attribute)
    if draw(st.integers(0, 5)) == 0:
        return IsMissing(attribute)
    if attribute.type == TEXT and draw(st.booleans()):
        return HasLike(attribute, draw(PATTERNS))
    if attribute.type in MANY:
        return HasAny(attribute, tuple(draw(st.lists(value, min_size=1, max_size=3))))
    negated = draw(st.booleans())
    kinds = ["compare", "one of"]
    kinds += ["between"] * (attribute.type in RANGED)
    is_text = attribute.type == KEYWORD and attribute.name != "ExecutionStatus"
    kinds += ["starts with"] * is_text
    match draw(st.sampled_from(kinds)):
        case "compare":
            return Compare(attribute, draw(st.sampled_from(Comparison)), draw(value))
        case "one of":
            return OneOf(attribute, tuple(draw(st.lists(value, min_size=1, max_size=3))), negated)
        case "between":
            return Between(attribute, draw(value), draw(value), negated)
        case _:
            return StartsWith(attribute, draw(value), negated)


filters: st.SearchStrategy[Filter] = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)

orders = st.lists(
    st.builds(Order, st.sampled_from(SORTABLE), st.booleans()), max_size=3, unique=True
).map(tuple)


@st.composite
def rows(draw: st.DrawFn) -> VisibilityRow:
    """What a run may be found by."""
    attributes: list[tuple[str, Any]] = []
    for field in draw(st.lists(st.sampled_from(list(TYPES)), max_size=4, unique=True)):
        kind = TYPES[field]
        values = st.lists(VALUES[kind], min_size=1, max_size=3 if kind in MANY else 1, unique=True)
        attributes += [(field, value) for value in draw(values)]
    start_time_ns = draw(SMALL)
    close_time_ns = start_time_ns + draw(SMALL) if draw(st.booleans()) else 0
    return VisibilityRow(
        workflow_type=draw(WORDS),
        status=draw(st.sampled_from(CLOSED_STATUSES if close_time_ns else OPEN_STATUSES)),
        start_time_ns=start_time_ns,
        close_time_ns=close_time_ns,
        execution_time_ns=draw(SMALL),
        task_queue=draw(WORDS),
        history_length=draw(SMALL) if close_time_ns else 0,
        history_size_bytes=draw(SMALL) if close_time_ns else 0,
        state_transitions=draw(SMALL) if close_time_ns else 0,
        parent_workflow_id=draw(WORDS),
        parent_run_id=draw(st.sampled_from(["", *RUN_IDS])),
        root_workflow_id=draw(WORDS),
        root_run_id=draw(st.sampled_from(["", *RUN_IDS])),
        build_ids=tuple(draw(st.lists(WORDS, max_size=2, unique=True))),
        attributes=tuple(attributes),
    )
