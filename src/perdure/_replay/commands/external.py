"""A signal to another workflow, and the request to cancel one: sent, then delivered or refused.

The request to cancel a child is such a request too; nobody waits for its outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from temporalio.api.command.v1 import (
    Command,
    RequestCancelExternalWorkflowExecutionCommandAttributes,
)
from temporalio.api.enums.v1 import (
    CancelExternalWorkflowExecutionFailedCause,
    CommandType,
    EventType,
    SignalExternalWorkflowExecutionFailedCause,
)
from temporalio.api.failure.v1 import ApplicationFailureInfo, CanceledFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent

from perdure._replay.commands.port import Mismatch, Outlet

CREATED: Final = "not yet sent"
SENT: Final = "sent"
DONE: Final = "done"

_SIGNAL_INITIATED = EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED
_SIGNAL_FAILED = EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED
_SIGNALED = EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED
_CANCEL_INITIATED = EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED
_CANCEL_FAILED = EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED
_CANCEL_REQUESTED = EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED

_SIGNAL_PREFIX = "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_"
_CANCEL_PREFIX = "CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_"

_SIGNAL_REASONS = {
    "EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND": "it was not found",
    "NAMESPACE_NOT_FOUND": "it was not found",
    "SIGNAL_COUNT_LIMIT_EXCEEDED": "The per-workflow signal limit was exceeded",
}


class ExternalMachine:
    """One such message. `resolved` gets None when it was delivered, else what went wrong."""

    __slots__ = ("_outlet", "_tell", "state", "withdrawn")

    def __init__(
        self, outlet: Outlet, command: Command, tell: Callable[[Failure | None], None] | None
    ) -> None:
        self.state = CREATED
        self.withdrawn = False
        self._outlet = outlet
        self._tell = tell
        outlet.issue(self, command)

    @property
    def resolved(self) -> bool:
        """No event can follow any more."""
        return self.state is DONE

    def handle(self, event: HistoryEvent) -> None:
        """Applies one of the message's events."""
        transition = _EVENTS.get((self.state, event.event_type))
        if transition is None:
            raise Mismatch(f"the code's message to another workflow is {self.state}")
        self.state, failure_of = transition
        if self.state is DONE and self._tell is not None:
            self._outlet.resolve(self._tell, failure_of(event) if failure_of else None)

    def cancel(self) -> None:
        """The code waits no more; what was sent stays sent."""
        if self.state is CREATED and self._tell is not None:
            self.state = DONE
            self.withdrawn = True
            message = "Signal was cancelled before being sent"
            failure = Failure(message=message, canceled_failure_info=CanceledFailureInfo())
            self._outlet.resolve(self._tell, failure)


def cancel_command(
    *, namespace: str, workflow_id: str, run_id: str, reason: str, child_only: bool
) -> Command:
    """Asks for the cancellation of another workflow."""
    attributes = RequestCancelExternalWorkflowExecutionCommandAttributes(
        namespace=namespace,
        workflow_id=workflow_id,
        run_id=run_id,
        reason=reason,
        child_workflow_only=child_only,
    )
    return Command(
        command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION,
        request_cancel_external_workflow_execution_command_attributes=attributes,
    )


def _signal_failure(event: HistoryEvent) -> Failure:
    attributes = event.signal_external_workflow_execution_failed_event_attributes
    name = SignalExternalWorkflowExecutionFailedCause.Name(attributes.cause)
    name = name.removeprefix(_SIGNAL_PREFIX)
    reason = _SIGNAL_REASONS.get(name, "unknown")
    return _failure(f"Unable to signal external workflow because {reason}", name)


def _cancel_failure(event: HistoryEvent) -> Failure:
    attributes = event.request_cancel_external_workflow_execution_failed_event_attributes
    name = CancelExternalWorkflowExecutionFailedCause.Name(attributes.cause)
    name = name.removeprefix(_CANCEL_PREFIX)
    reason = "unknown" if name == "UNSPECIFIED" else "not found"
    return _failure(f"Unable to cancel external workflow because {reason}", name)


def _failure(message: str, name: str) -> Failure:
    error_type = "".join(word.capitalize() for word in name.split("_"))
    return Failure(
        message=message, application_failure_info=ApplicationFailureInfo(type=error_type)
    )


_EVENTS: dict[tuple[str, int], tuple[str, Callable[[HistoryEvent], Failure] | None]] = {
    (CREATED, _SIGNAL_INITIATED): (SENT, None),
    (SENT, _SIGNALED): (DONE, None),
    (SENT, _SIGNAL_FAILED): (DONE, _signal_failure),
    (CREATED, _CANCEL_INITIATED): (SENT, None),
    (SENT, _CANCEL_REQUESTED): (DONE, None),
    (SENT, _CANCEL_FAILED): (DONE, _cancel_failure),
}
