"""A Nexus operation: scheduled, perhaps started, and closed once; its cancellation on the way.

An operation that is answered at once is never started: the event that closes it is the first.

What a cancellation does depends on the operation's cancellation type:

- ABANDON tells the code at once and asks nobody;
- TRY_CANCEL asks for the cancellation and tells the code at once;
- WAIT_REQUESTED asks for it, and tells the code once the handler has taken the request or refused
  it;
- WAIT_COMPLETED asks for it, and the code is told what came of the operation.

The answer to the request may come when the operation is closed already, so the machine waits for
both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from temporalio.api.command.v1 import Command, RequestCancelNexusOperationCommandAttributes
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.failure.v1 import (
    CanceledFailureInfo,
    Failure,
    NexusOperationFailureInfo,
)
from temporalio.api.history.v1 import HistoryEvent

from perdure._replay.commands.port import Mismatch, Outlet, copy_labels

WAIT_COMPLETED: Final = 0
ABANDON: Final = 1
TRY_CANCEL: Final = 2
WAIT_REQUESTED: Final = 3

CREATED: Final = "not yet scheduled"
SCHEDULED: Final = "scheduled"
STARTED: Final = "started"
DROPPED: Final = "cancelled for the code, whatever comes"
DONE: Final = "done"

_SCHEDULED = EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED
_STARTED = EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED
_COMPLETED = EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED
_FAILED = EventType.EVENT_TYPE_NEXUS_OPERATION_FAILED
_CANCELED = EventType.EVENT_TYPE_NEXUS_OPERATION_CANCELED
_TIMED_OUT = EventType.EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT
_CANCEL_REQUESTED = EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED
_CANCEL_COMPLETED = EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED
_CANCEL_FAILED = EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_FAILED


class OperationListener(NamedTuple):
    """How the code is told. The start comes first, if at all, then one of the others."""

    started: Callable[[str | None], None]
    """The operation's token; None when it was answered at once."""
    completed: Callable[[Payload | None], None]
    failed: Callable[[Failure], None]


class NexusOperationMachine:
    """One Nexus operation."""

    __slots__ = (
        "_cancel_asked",
        "_cancel_unanswered",
        "_cancellation_type",
        "_listener",
        "_outlet",
        "_schedule",
        "_scheduled_event_id",
        "_token",
        "endpoint",
        "operation",
        "service",
        "state",
        "withdrawn",
    )

    def __init__(
        self,
        outlet: Outlet,
        command: Command,
        *,
        cancellation_type: int,
        listener: OperationListener,
    ) -> None:
        attributes = command.schedule_nexus_operation_command_attributes
        self.endpoint = attributes.endpoint
        self.service = attributes.service
        self.operation = attributes.operation
        self.state = CREATED
        self.withdrawn = False
        self._cancel_asked = False
        self._cancel_unanswered = False
        self._cancellation_type = cancellation_type
        self._listener = listener
        self._outlet = outlet
        self._schedule = command
        self._scheduled_event_id = 0
        self._token = ""
        outlet.issue(self, command)

    @property
    def resolved(self) -> bool:
        """No event can follow any more."""
        return self.state is DONE and not self._cancel_unanswered

    def handle(self, event: HistoryEvent) -> None:
        """Applies one of the operation's events."""
        transition = _EVENTS.get((self.state, event.event_type))
        if transition is None:
            raise Mismatch(
                f"the Nexus operation {self.operation!r} of the service {self.service!r} is "
                f"{self.state}"
            )
        self.state, action = transition
        if action is not None:
            action(self, event)

    def cancel(self) -> None:
        """The code wants no more of the operation."""
        if self._cancel_asked:
            return
        if self.state is CREATED:
            self.withdrawn = True
            self.state = DONE
            self._tell_cancelled("Nexus Operation cancelled before scheduled")
        elif self.state in (SCHEDULED, STARTED):
            self._cancel_asked = True
            if self._cancellation_type != ABANDON:
                self._cancel_unanswered = True
                self._outlet.issue(self, self._cancel_command())
            if self._cancellation_type in (ABANDON, TRY_CANCEL):
                self.state = DROPPED
                self._tell_cancelled("Nexus operation cancelled after starting")

    def _cancel_command(self) -> Command:
        command = Command(
            command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION,
            request_cancel_nexus_operation_command_attributes=(
                RequestCancelNexusOperationCommandAttributes(
                    scheduled_event_id=self._scheduled_event_id
                )
            ),
        )
        copy_labels(self._schedule, command)
        return command

    def _on_scheduled(self, event: HistoryEvent) -> None:
        attributes = event.nexus_operation_scheduled_event_attributes
        self._scheduled_event_id = event.event_id
        for what, theirs, ours in (
            ("service", attributes.service, self.service),
            ("operation", attributes.operation, self.operation),
        ):
            if theirs != ours:
                raise Mismatch(f"the history has the Nexus {what} {theirs!r}, the code {ours!r}")

    def _on_started(self, event: HistoryEvent) -> None:
        self._token = event.nexus_operation_started_event_attributes.operation_token
        self._outlet.resolve(self._listener.started, self._token)

    def _on_completed(self, event: HistoryEvent) -> None:
        attributes = event.nexus_operation_completed_event_attributes
        result = attributes.result if attributes.HasField("result") else None
        self._outlet.resolve(self._listener.completed, result)

    def _on_completed_at_once(self, event: HistoryEvent) -> None:
        self._outlet.resolve(self._listener.started, None)
        self._on_completed(event)

    def _on_failed(self, event: HistoryEvent) -> None:
        self._tell(event.nexus_operation_failed_event_attributes.failure)

    def _on_canceled(self, event: HistoryEvent) -> None:
        self._tell(event.nexus_operation_canceled_event_attributes.failure)

    def _on_timed_out(self, event: HistoryEvent) -> None:
        self._tell(event.nexus_operation_timed_out_event_attributes.failure)

    def _on_cancel_taken(self, event: HistoryEvent) -> None:
        del event
        self._cancel_unanswered = False
        if self._waits_for_request():
            self._tell_cancelled("Nexus operation cancellation request completed")

    def _on_cancel_refused(self, event: HistoryEvent) -> None:
        self._cancel_unanswered = False
        if self._waits_for_request():
            attributes = event.nexus_operation_cancel_request_failed_event_attributes
            message = "Nexus operation cancellation request failed"
            self._tell(self._failure(message, attributes.failure))

    def _waits_for_request(self) -> bool:
        """Whether the code is told by the answer to the request; by nothing else from then on."""
        waits = self._cancellation_type == WAIT_REQUESTED and self.state in (SCHEDULED, STARTED)
        if waits:
            self.state = DROPPED
        return waits

    def _tell_cancelled(self, message: str) -> None:
        cause = Failure(canceled_failure_info=CanceledFailureInfo())
        self._tell(self._failure(message, cause))

    def _failure(self, message: str, cause: Failure) -> Failure:
        info = NexusOperationFailureInfo(
            scheduled_event_id=self._scheduled_event_id,
            endpoint=self.endpoint,
            service=self.service,
            operation=self.operation,
            operation_token=self._token,
        )
        return Failure(message=message, cause=cause, nexus_operation_execution_failure_info=info)

    def _tell(self, failure: Failure) -> None:
        self._outlet.resolve(self._listener.failed, failure)


_Action = Callable[[NexusOperationMachine, HistoryEvent], Any]

_EVENTS: dict[tuple[str, int], tuple[str, _Action | None]] = {
    (CREATED, _SCHEDULED): (SCHEDULED, NexusOperationMachine._on_scheduled),
    (SCHEDULED, _STARTED): (STARTED, NexusOperationMachine._on_started),
    (SCHEDULED, _COMPLETED): (DONE, NexusOperationMachine._on_completed_at_once),
    (SCHEDULED, _FAILED): (DONE, NexusOperationMachine._on_failed),
    (SCHEDULED, _CANCELED): (DONE, NexusOperationMachine._on_canceled),
    (SCHEDULED, _TIMED_OUT): (DONE, NexusOperationMachine._on_timed_out),
    (SCHEDULED, _CANCEL_REQUESTED): (SCHEDULED, None),
    (SCHEDULED, _CANCEL_COMPLETED): (SCHEDULED, NexusOperationMachine._on_cancel_taken),
    (SCHEDULED, _CANCEL_FAILED): (SCHEDULED, NexusOperationMachine._on_cancel_refused),
    (STARTED, _COMPLETED): (DONE, NexusOperationMachine._on_completed),
    (STARTED, _FAILED): (DONE, NexusOperationMachine._on_failed),
    (STARTED, _CANCELED): (DONE, NexusOperationMachine._on_canceled),
    (STARTED, _TIMED_OUT): (DONE, NexusOperationMachine._on_timed_out),
    (STARTED, _CANCEL_REQUESTED): (STARTED, None),
    (STARTED, _CANCEL_COMPLETED): (STARTED, NexusOperationMachine._on_cancel_taken),
    (STARTED, _CANCEL_FAILED): (STARTED, NexusOperationMachine._on_cancel_refused),
    (DROPPED, _STARTED): (DROPPED, None),
    (DROPPED, _COMPLETED): (DONE, None),
    (DROPPED, _FAILED): (DONE, None),
    (DROPPED, _CANCELED): (DONE, None),
    (DROPPED, _TIMED_OUT): (DONE, None),
    (DROPPED, _CANCEL_REQUESTED): (DROPPED, None),
    (DROPPED, _CANCEL_COMPLETED): (DROPPED, NexusOperationMachine._on_cancel_taken),
    (DROPPED, _CANCEL_FAILED): (DROPPED, NexusOperationMachine._on_cancel_refused),
    (DONE, _CANCEL_REQUESTED): (DONE, None),
    (DONE, _CANCEL_COMPLETED): (DONE, NexusOperationMachine._on_cancel_taken),
    (DONE, _CANCEL_FAILED): (DONE, NexusOperationMachine._on_cancel_refused),
}
