"""An activity: scheduled, perhaps started, and resolved once; its cancellation on the way.

What a cancellation does depends on the activity's cancellation type:

- TRY_CANCEL asks the server and tells the code at once;
- WAIT_CANCELLATION_COMPLETED asks the server and tells the code what came of it;
- ABANDON tells the code at once and asks nobody: what happens later is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from temporalio.api.command.v1 import (
    Command,
    RequestCancelActivityTaskCommandAttributes,
)
from temporalio.api.common.v1 import ActivityType, Payload, Payloads
from temporalio.api.enums.v1 import CommandType, EventType, RetryState
from temporalio.api.failure.v1 import ActivityFailureInfo, CanceledFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent

from perdure._replay.commands.port import Mismatch, Outlet, copy_labels

TRY_CANCEL: Final = 0
WAIT_CANCELLATION_COMPLETED: Final = 1
ABANDON: Final = 2

CREATED: Final = "not yet scheduled"
SCHEDULED: Final = "scheduled"
STARTED: Final = "started"
CANCELLING: Final = "being cancelled, awaited by the code"
DROPPED: Final = "cancelled for the code, whatever comes"
DONE: Final = "done"

_SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
_STARTED = EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED
_COMPLETED = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
_FAILED = EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED
_TIMED_OUT = EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT
_CANCEL_REQUESTED = EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED
_CANCELED = EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED


class ActivityMachine:
    """One activity. `completed` and `failed` are called at most once between them."""

    __slots__ = (
        "_cancellation_type",
        "_completed",
        "_failed",
        "_outlet",
        "_schedule",
        "_scheduled_event_id",
        "activity_id",
        "activity_type",
        "state",
        "withdrawn",
    )

    def __init__(
        self,
        outlet: Outlet,
        command: Command,
        *,
        cancellation_type: int,
        completed: Callable[[Payload | None], None],
        failed: Callable[[Failure], None],
    ) -> None:
        attributes = command.schedule_activity_task_command_attributes
        self.activity_id = attributes.activity_id
        self.activity_type = attributes.activity_type.name
        self.state = CREATED
        self.withdrawn = False
        self._scheduled_event_id = 0
        self._outlet = outlet
        self._schedule = command
        self._cancellation_type = cancellation_type
        self._completed = completed
        self._failed = failed
        outlet.issue(self, command)

    @property
    def resolved(self) -> bool:
        """No event can follow any more."""
        return self.state is DONE

    def handle(self, event: HistoryEvent) -> None:
        """Applies one of the activity's events."""
        transition = _EVENTS.get((self.state, event.event_type))
        if transition is None:
            raise Mismatch(
                f"the activity {self.activity_type!r} (id {self.activity_id!r}) is {self.state}"
            )
        self.state, action = transition
        if action is not None:
            action(self, event)

    def cancel(self) -> None:
        """The code wants no more of the activity."""
        if self.state is CREATED:
            self.withdrawn = True
            self.state = DONE
            self._tell_cancelled()
        elif self.state in (SCHEDULED, STARTED):
            if self._cancellation_type != ABANDON:
                self._outlet.issue(self, self._cancel_command())
            if self._cancellation_type == WAIT_CANCELLATION_COMPLETED:
                self.state = CANCELLING
            else:
                self.state = DROPPED
                self._tell_cancelled()

    def _cancel_command(self) -> Command:
        command = Command(
            command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK,
            request_cancel_activity_task_command_attributes=(
                RequestCancelActivityTaskCommandAttributes(
                    scheduled_event_id=self._scheduled_event_id
                )
            ),
        )
        copy_labels(self._schedule, command)
        return command

    def _on_scheduled(self, event: HistoryEvent) -> None:
        attributes = event.activity_task_scheduled_event_attributes
        self._scheduled_event_id = event.event_id
        if not self._outlet.checks_ids():
            return
        if attributes.activity_id != self.activity_id:
            raise Mismatch(
                f"the history has the activity id {attributes.activity_id!r}, the code "
                f"{self.activity_id!r}"
            )
        if attributes.activity_type.name != self.activity_type:
            raise Mismatch(
                f"the history has the activity type {attributes.activity_type.name!r}, the code "
                f"{self.activity_type!r}"
            )

    def _on_completed(self, event: HistoryEvent) -> None:
        attributes = event.activity_task_completed_event_attributes
        self._outlet.resolve(self._completed, _only_payload(attributes.result))
        self._release()

    def _on_failed(self, event: HistoryEvent) -> None:
        attributes = event.activity_task_failed_event_attributes
        self._resolve_failed(
            Failure(
                message="Activity task failed",
                cause=attributes.failure if attributes.HasField("failure") else None,
                activity_failure_info=self._failure_info(
                    scheduled_event_id=attributes.scheduled_event_id,
                    started_event_id=attributes.started_event_id,
                    identity=attributes.identity,
                    retry_state=attributes.retry_state,
                ),
            )
        )

    def _on_timed_out(self, event: HistoryEvent) -> None:
        attributes = event.activity_task_timed_out_event_attributes
        self._resolve_failed(
            Failure(
                message="Activity task timed out",
                cause=attributes.failure if attributes.HasField("failure") else None,
                activity_failure_info=self._failure_info(
                    scheduled_event_id=attributes.scheduled_event_id,
                    started_event_id=attributes.started_event_id,
                    retry_state=attributes.retry_state,
                ),
            )
        )

    def _on_canceled(self, event: HistoryEvent) -> None:
        attributes = event.activity_task_canceled_event_attributes
        self._tell_cancelled(
            details=attributes.details if attributes.HasField("details") else None,
            scheduled_event_id=attributes.scheduled_event_id,
            started_event_id=attributes.started_event_id,
            identity=attributes.identity,
        )

    def _tell_cancelled(
        self,
        *,
        details: Payloads | None = None,
        scheduled_event_id: int = 0,
        started_event_id: int = 0,
        identity: str = "",
    ) -> None:
        self._resolve_failed(
            Failure(
                message="Activity cancelled",
                cause=Failure(canceled_failure_info=CanceledFailureInfo(details=details)),
                activity_failure_info=self._failure_info(
                    scheduled_event_id=scheduled_event_id,
                    started_event_id=started_event_id,
                    identity=identity,
                    retry_state=RetryState.RETRY_STATE_CANCEL_REQUESTED,
                ),
            )
        )

    def _resolve_failed(self, failure: Failure) -> None:
        self._outlet.resolve(self._failed, failure)
        self._release()

    def _release(self) -> None:
        """The callbacks refer to this machine: without them it goes when nobody needs it."""
        del self._completed, self._failed

    def _failure_info(
        self,
        *,
        scheduled_event_id: int,
        started_event_id: int,
        retry_state: RetryState.ValueType,
        identity: str = "",
    ) -> ActivityFailureInfo:
        return ActivityFailureInfo(
            scheduled_event_id=scheduled_event_id,
            started_event_id=started_event_id,
            identity=identity,
            activity_type=ActivityType(name=self.activity_type),
            activity_id=self.activity_id,
            retry_state=retry_state,
        )


def _only_payload(payloads: Payloads) -> Payload | None:
    return payloads.payloads[0] if payloads.payloads else None


_Action = Callable[[ActivityMachine, HistoryEvent], None]

_EVENTS: dict[tuple[str, int], tuple[str, _Action | None]] = {
    (CREATED, _SCHEDULED): (SCHEDULED, ActivityMachine._on_scheduled),
    (SCHEDULED, _STARTED): (STARTED, None),
    (SCHEDULED, _TIMED_OUT): (DONE, ActivityMachine._on_timed_out),
    (STARTED, _COMPLETED): (DONE, ActivityMachine._on_completed),
    (STARTED, _FAILED): (DONE, ActivityMachine._on_failed),
    (STARTED, _TIMED_OUT): (DONE, ActivityMachine._on_timed_out),
    (CANCELLING, _CANCEL_REQUESTED): (CANCELLING, None),
    (CANCELLING, _STARTED): (CANCELLING, None),
    (CANCELLING, _COMPLETED): (DONE, ActivityMachine._on_completed),
    (CANCELLING, _FAILED): (DONE, ActivityMachine._on_failed),
    (CANCELLING, _TIMED_OUT): (DONE, ActivityMachine._on_timed_out),
    (CANCELLING, _CANCELED): (DONE, ActivityMachine._on_canceled),
    (DROPPED, _CANCEL_REQUESTED): (DROPPED, None),
    (DROPPED, _STARTED): (DROPPED, None),
    (DROPPED, _COMPLETED): (DONE, None),
    (DROPPED, _FAILED): (DONE, None),
    (DROPPED, _TIMED_OUT): (DONE, None),
    (DROPPED, _CANCELED): (DONE, None),
}
