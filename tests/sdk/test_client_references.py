"""Workflows, signals, queries and updates are named by what the decorators attached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.query.v1 import QueryRejected
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryResponse,
    QueryWorkflowResponse,
)

from perdure import _definitions
from perdure._definitions import (
    ActivityDefinition,
    QueryDefinition,
    SignalDefinition,
    WorkflowDefinition,
    activity_definition_of,
    activity_name_and_result_type,
    bound_hints,
    is_dynamic,
    types_of,
    workflow_definition_of,
)
from perdure.client import Client, WorkflowQueryRejectedError
from perdure.common import RawValue
from perdure.converter import PayloadConverter
from tests.sdk.conversions import Tree
from tests.sdk.recording_service import RecordingService


class Planting:
    async def run(self, tree: Tree) -> list[Tree]:
        return [tree]

    def water(self, litres: float) -> None: ...

    def height(self) -> float:
        return 1.0


class Activities:
    async def dig(self, depth: int, *, tool: str = "spade") -> None: ...


def _attach(target: Any, attribute: str, definition: Any) -> None:
    setattr(target, attribute, definition)


def _decorate(name: str | None = "Plant") -> None:
    definition = WorkflowDefinition(
        name=name, cls=Planting, run_fn=Planting.run, arg_types=[Tree], ret_type=list[Tree]
    )
    for target in (Planting, Planting.run):
        _attach(target, _definitions.WORKFLOW_ATTRIBUTE, definition)
    signal = SignalDefinition(name="water-it", fn=Planting.water)
    _attach(Planting.water, _definitions.SIGNAL_ATTRIBUTE, signal)
    query = QueryDefinition(name="how-high", fn=Planting.height, ret_type=float)
    _attach(Planting.height, _definitions.QUERY_ATTRIBUTE, query)


@pytest.fixture(autouse=True)
def decorated() -> None:
    _decorate()


def _completed(value: Any) -> GetWorkflowExecutionHistoryResponse:
    event = HistoryEvent(event_id=5, event_type=2)  # type: ignore[arg-type]
    result = event.workflow_execution_completed_event_attributes.result
    result.CopyFrom(PayloadConverter.default.to_payloads_wrapper([value]))
    return GetWorkflowExecutionHistoryResponse(history=History(events=[event]))


async def test_a_run_method_gives_the_name_and_the_type_of_the_result() -> None:
    service = RecordingService({"GetWorkflowExecutionHistory": _completed([Tree(1)])})
    client = Client._over(service.in_process())
    result = await client.execute_workflow(Planting.run, Tree(1), id="w", task_queue="q")
    assert result == [Tree(1)]
    assert service.named("StartWorkflowExecution")[0].workflow_type.name == "Plant"
    handle = client.get_workflow_handle_for(Planting.run, "w")
    assert await handle.result() == [Tree(1)]


async def test_handlers_give_the_names_of_signals_and_queries() -> None:
    answer = QueryWorkflowResponse()
    answer.query_result.CopyFrom(PayloadConverter.default.to_payloads_wrapper([2]))
    rejected = QueryWorkflowResponse(query_rejected=QueryRejected())
    service = RecordingService({"QueryWorkflow": [answer, rejected]})
    handle = Client._over(service.in_process()).get_workflow_handle("w")
    await handle.signal(Planting.water, 1.5)
    height = await handle.query(Planting.height)
    assert (height, type(height)) == (2.0, float)
    with pytest.raises(WorkflowQueryRejectedError):
        await handle.query(Planting.height)
    assert service.named("SignalWorkflowExecution")[0].signal_name == "water-it"
    assert service.named("QueryWorkflow")[0].query.query_type == "how-high"


async def test_a_dynamic_workflow_has_no_name_to_start_it_by() -> None:
    _decorate(name=None)
    client = Client._over(RecordingService().in_process())
    with pytest.raises(ValueError, match="dynamic"):
        await client.start_workflow(Planting.run, Tree(1), id="w", task_queue="q")


async def test_what_is_not_decorated_is_refused_by_its_name() -> None:
    handle = Client._over(RecordingService().in_process()).get_workflow_handle("w")
    with pytest.raises(ValueError, match=r"Activities\.dig is not a signal"):
        await handle.signal(Activities.dig)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"Activities\.dig is not the run method"):
        workflow_definition_of(Activities.dig)
    with pytest.raises(TypeError, match="Activity dig missing attributes"):
        activity_definition_of(Activities.dig)


def test_a_subclass_must_be_decorated_itself() -> None:
    class Replanting(Planting): ...

    assert workflow_definition_of(Planting).name == "Plant"
    with pytest.raises(ValueError, match="Workflow Replanting missing attributes"):
        workflow_definition_of(Replanting)


def test_an_activity_that_is_a_method_stays_bound() -> None:
    definition = ActivityDefinition(name="dig", fn=Activities.dig, is_async=True, ret_type=int)
    _attach(Activities.dig, _definitions.ACTIVITY_ATTRIBUTE, definition)
    try:
        bound = Activities().dig
        assert activity_definition_of(bound).fn == bound
        assert activity_name_and_result_type(bound) == ("dig", int)
    finally:
        delattr(Activities.dig, _definitions.ACTIVITY_ATTRIBUTE)


class Callable1:
    def __call__(self, a: int) -> str:
        return str(a)


def _untyped(a: int, b) -> None: ...  # type: ignore[no-untyped-def]


def _variadic(first: str, *many: int) -> int:
    return 1


def _optional(first: Tree, second: Tree | None = None, *, third: int = 3) -> int:
    return 1


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (Planting.run, ([Tree], list[Tree])),
        (Planting().run, ([Tree], list[Tree])),
        (Callable1(), ([int], str)),
        (_untyped, (None, type(None))),
        (_variadic, ([str, int], int)),
        (_optional, ([Tree, Tree | None], int)),
    ],
    ids=["function", "method", "callable", "unannotated", "variadic", "keyword"],
)
def test_the_hints_of_a_function_are_all_known_or_none_is(
    fn: Callable[..., Any], expected: Sequence[Any]
) -> None:
    assert types_of(fn) == tuple(expected)


@pytest.mark.parametrize(
    ("fn", "count", "expected"),
    [
        (_optional, 0, []),
        (_optional, 1, [Tree]),
        (_optional, 2, [Tree, Tree | None]),
        (_optional, 3, None),
        (_variadic, 0, []),
        (_variadic, 1, [str]),
        (_variadic, 4, [str, int, int, int]),
        (_untyped, 1, None),
    ],
)
def test_values_get_the_hints_of_the_parameters_that_they_are_bound_to(
    fn: Callable[..., Any], count: int, expected: Sequence[Any] | None
) -> None:
    assert bound_hints(types_of(fn)[0], count) == expected


def test_many_values_in_one_parameter_are_not_all_values_in_it() -> None:
    def takes_all(values: Sequence[RawValue]) -> None: ...
    def takes_each(*values: Sequence[RawValue]) -> None: ...

    assert is_dynamic(types_of(takes_all)[0])
    assert not is_dynamic(types_of(takes_each)[0])
