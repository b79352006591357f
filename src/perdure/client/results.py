"""Waiting for a workflow's end: which event closes a run, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import event_type_pb2
from temporalio.api.history.v1 import HistoryEvent

from perdure.client.errors import WorkflowContinuedAsNewError, WorkflowFailureError
from perdure.converter import DataConverter
from perdure.exceptions import CancelledError, TerminatedError, TimeoutType
from perdure.exceptions import TimeoutError as WorkflowTimeoutError


@dataclass(frozen=True)
class NextRun:
    """The run ended, and another one goes on."""

    run_id: str


Outcome = Callable[[HistoryEvent, DataConverter, Any], Coroutine[Any, Any, Any]]


async def outcome_of(
    event: HistoryEvent, converter: DataConverter, result_type: Any, follow_runs: bool
) -> NextRun | Any:
    """The result of the run that the event closed, or the run that goes on in its place.

    Raises WorkflowFailureError when it did not complete, WorkflowContinuedAsNewError when a run
    goes on that is not to be followed.
    """
    attributes = getattr(event, event.WhichOneof("attributes") or "", None)
    next_run_id: str = getattr(attributes, "new_execution_run_id", "")
    if next_run_id and follow_runs:
        return NextRun(next_run_id)
    decide = _OUTCOMES.get(event.event_type)
    if decide is None:
        raise RuntimeError(f"No event type {event.event_type} ends a workflow")
    return await decide(event, converter, result_type)


async def _completed(event: HistoryEvent, converter: DataConverter, result_type: Any) -> Any:
    attributes = event.workflow_execution_completed_event_attributes
    hints = None if result_type is None else [result_type]
    values = await converter.decode_wrapper(attributes.result, hints)
    return values[0] if values else None


async def _failed(event: HistoryEvent, converter: DataConverter, result_type: Any) -> Any:
    attributes = event.workflow_execution_failed_event_attributes
    raise WorkflowFailureError(cause=await converter.decode_failure(attributes.failure))


async def _cancelled(event: HistoryEvent, converter: DataConverter, result_type: Any) -> Any:
    attributes = event.workflow_execution_canceled_event_attributes
    details = await _details(attributes.details, converter)
    raise WorkflowFailureError(cause=CancelledError("Workflow cancelled", *details))


async def _terminated(event: HistoryEvent, converter: DataConverter, result_type: Any) -> Any:
    attributes = event.workflow_execution_terminated_event_attributes
    details = await _details(attributes.details, converter)
    reason = attributes.reason or "Workflow terminated"
    raise WorkflowFailureError(cause=TerminatedError(reason, *details))


async def _timed_out(event: HistoryEvent, converter: DataConverter, result_type: Any) -> Any:
    raise WorkflowFailureError(
        cause=WorkflowTimeoutError(
            "Workflow timed out", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=[]
        )
    )


async def _continued(event: HistoryEvent, converter: DataConverter, result_type: Any) -> Any:
    attributes = event.workflow_execution_continued_as_new_event_attributes
    raise WorkflowContinuedAsNewError(attributes.new_execution_run_id)


async def _details(payloads: Payloads, converter: DataConverter) -> list[Any]:
    return await converter.decode_wrapper(payloads)


_OUTCOMES: dict[int, Outcome] = {
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: _completed,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: _failed,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: _cancelled,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: _terminated,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: _timed_out,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: _continued,
}
"""What each closing event means for whoever waits."""
