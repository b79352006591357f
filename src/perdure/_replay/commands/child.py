"""A child workflow: initiated, started or not, and closed once; its cancellation on the way.

What a cancellation does depends on the child's cancellation type:

- ABANDON tells the code at once and asks nobody;
- TRY_CANCEL asks for the cancellation and tells the code at once;
- WAIT_CANCELLATION_COMPLETED and WAIT_CANCELLATION_REQUESTED ask for it, and the code is told what
  came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import EventType, RetryState, TimeoutType
from temporalio.api.failure.v1 import (
    CanceledFailureInfo,
    ChildWorkflowExecutionFailureInfo,
    Failure,
    TerminatedFailureInfo,
    TimeoutFailureInfo,
)
from temporalio.api.history.v1 import HistoryEvent

from perdure._replay.commands.external import ExternalMachine, cancel_command
from perdure._replay.commands.port import Mismatch, Outlet

ABANDON: Final = 0
TRY_CANCEL: Final = 1

CREATED: Final = "not yet initiated"
INITIATED: Final = "initiated"
STARTED: Final = "started"
DROPPED: Final = "cancelled for the code, whatever comes"
DONE: Final = "done"

_INITIATED = EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
_START_FAILED = EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED
_STARTED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED
_COMPLETED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED
_FAILED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED
_CANCELED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED
_TIMED_OUT = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT
_TERMINATED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED


class ChildListener(NamedTuple):
    """How the code is told. The start comes first, then one of the others, at most."""

    started: Callable[[str], None]
    """The run id of the child."""
    start_failed: Callable[[int], None]
    """A StartChildWorkflowExecutionFailedCause."""
    completed: Callable[[Payload | None], None]
    failed: Callable[[Failure], None]


class ChildMachine:
    """One child workflow."""

    __slots__ = (
        "_cancellation_type",
        "_initiated_event_id",
        "_listener",
        "_namespace",
        "_outlet",
        "_run_id",
        "_started_event_id",
        "state",
        "withdrawn",
        "workflow_id",
        "workflow_type",
    )

    def __init__(
        self,
        outlet: Outlet,
        command: Command,
        *,
        cancellation_type: int,
        listener: ChildListener,
    ) -> None:
        attributes = command.start_child_workflow_execution_command_attributes
        self.workflow_id = attributes.workflow_id
        self.workflow_type = attributes.workflow_type.name
        self.state = CREATED
        self.withdrawn = False
        self._namespace = attributes.namespace
        self._outlet = outlet
        self._cancellation_type = cancellation_type
        self._listener = listener
        self._initiated_event_id = 0
        self._started_event_id = 0
        self._run_id = ""
        outlet.issue(self, command)

    @property
    def resolved(self) -> bool:
        """No event can follow any more."""
        return self.state is DONE

    def handle(self, event: HistoryEvent) -> None:
        """Applies one of the child's events."""
        transition = _EVENTS.get((self.state, event.event_type))
        if transition is None:
            raise Mismatch(
                f"the child workflow {self.workflow_type!r} (id {self.workflow_id!r}) is "
                f"{self.state}"
            )
        self.state, action = transition
        if action is not None:
            action(self, event)

    def cancel(self, reason: str) -> None:
        """The code wants no more of the child."""
        if self.state is CREATED:
            self.withdrawn = True
            self.state = DONE
            message = f"Child Workflow Execution cancelled before scheduled: {reason}"
            self._tell_failed(message, Failure(canceled_failure_info=CanceledFailureInfo()))
        elif self.state in (INITIATED, STARTED):
            if self._cancellation_type != ABANDON:
                self._ask_for_cancellation(reason)
            if self._cancellation_type in (ABANDON, TRY_CANCEL):
                self.state = DROPPED
                self._tell_cancelled()

    def _ask_for_cancellation(self, reason: str) -> None:
        command = cancel_command(
            namespace=self._namespace,
            workflow_id=self.workflow_id,
            run_id=self._run_id,
            reason=reason,
            child_only=True,
        )
        ExternalMachine(self._outlet, command, None)

    def _on_initiated(self, event: HistoryEvent) -> None:
        attributes = event.start_child_workflow_execution_initiated_event_attributes
        self._initiated_event_id = event.event_id
        if not self._outlet.checks_ids():
            return
        for what, theirs, ours in (
            ("id", attributes.workflow_id, self.workflow_id),
            ("type", attributes.workflow_type.name, self.workflow_type),
        ):
            if theirs != ours:
                raise Mismatch(
                    f"the history has the child workflow {what} {theirs!r}, the code {ours!r}"
                )

    def _on_start_failed(self, event: HistoryEvent) -> None:
        attributes = event.start_child_workflow_execution_failed_event_attributes
        self._outlet.resolve(self._listener.start_failed, attributes.cause)

    def _on_started(self, event: HistoryEvent) -> None:
        attributes = event.child_workflow_execution_started_event_attributes
        self._started_event_id = event.event_id
        self._run_id = attributes.workflow_execution.run_id
        self._outlet.resolve(self._listener.started, self._run_id)

    def _on_completed(self, event: HistoryEvent) -> None:
        payloads = event.child_workflow_execution_completed_event_attributes.result.payloads
        self._outlet.resolve(self._listener.completed, payloads[0] if payloads else None)

    def _on_failed(self, event: HistoryEvent) -> None:
        attributes = event.child_workflow_execution_failed_event_attributes
        self._tell_failed(
            "Child Workflow execution failed",
            attributes.failure if attributes.HasField("failure") else None,
            attributes.retry_state,
        )

    def _on_timed_out(self, event: HistoryEvent) -> None:
        attributes = event.child_workflow_execution_timed_out_event_attributes
        info = TimeoutFailureInfo(timeout_type=TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE)
        self._tell_failed(
            "Child Workflow execution timed out",
            Failure(message="Timed out", timeout_failure_info=info),
            attributes.retry_state,
        )

    def _on_terminated(self, event: HistoryEvent) -> None:
        info = TerminatedFailureInfo()
        self._tell_failed(
            "Child Workflow execution terminated",
            Failure(message="Terminated", terminated_failure_info=info),
        )

    def _on_canceled(self, event: HistoryEvent) -> None:
        self._tell_cancelled()

    def _tell_cancelled(self) -> None:
        self._tell_failed(
            "Child Workflow execution cancelled",
            Failure(canceled_failure_info=CanceledFailureInfo()),
        )

    def _tell_failed(
        self,
        message: str,
        cause: Failure | None,
        retry_state: RetryState.ValueType = RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE,
    ) -> None:
        info = ChildWorkflowExecutionFailureInfo(
            namespace=self._namespace,
            workflow_type=WorkflowType(name=self.workflow_type),
            workflow_execution=WorkflowExecution(workflow_id=self.workflow_id, run_id=self._run_id),
            initiated_event_id=self._initiated_event_id,
            started_event_id=self._started_event_id,
            retry_state=retry_state,
        )
        failure = Failure(message=message, cause=cause, child_workflow_execution_failure_info=info)
        self._outlet.resolve(self._listener.failed, failure)


_Action = Callable[[ChildMachine, HistoryEvent], Any]

_EVENTS: dict[tuple[str, int], tuple[str, _Action | None]] = {
    (CREATED, _INITIATED): (INITIATED, ChildMachine._on_initiated),
    (INITIATED, _STARTED): (STARTED, ChildMachine._on_started),
    (INITIATED, _START_FAILED): (DONE, ChildMachine._on_start_failed),
    (STARTED, _COMPLETED): (DONE, ChildMachine._on_completed),
    (STARTED, _FAILED): (DONE, ChildMachine._on_failed),
    (STARTED, _TIMED_OUT): (DONE, ChildMachine._on_timed_out),
    (STARTED, _CANCELED): (DONE, ChildMachine._on_canceled),
    (STARTED, _TERMINATED): (DONE, ChildMachine._on_terminated),
    (DROPPED, _STARTED): (DROPPED, None),
    (DROPPED, _START_FAILED): (DONE, None),
    (DROPPED, _COMPLETED): (DONE, None),
    (DROPPED, _FAILED): (DONE, None),
    (DROPPED, _TIMED_OUT): (DONE, None),
    (DROPPED, _CANCELED): (DONE, None),
    (DROPPED, _TERMINATED): (DONE, None),
}
