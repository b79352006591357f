"""A local activity: run by the worker while it holds the workflow task, recorded by a marker.

| state | what happened |
|---|---|
| ASKED | the code asked; the worker has not been told, for a marker may still be ahead |
| RUNNING | the worker runs it |
| CANCELLING | the worker was asked to stop it, and the code waits for what comes of it |
| RESOLVED | the code has been told, the marker is a command; what still comes is ignored |
| RECORDED | the marker's event has been seen |

The marker is that of the Rust core which other SDKs share: `core_local_activity`, with the result
or the failure, and a JSON of what else there is to know. When an attempt failed and the next is far
off, the marker tells of the backoff: the code starts a timer, and then another local activity.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from temporalio.api.command.v1 import Command, RecordMarkerCommandAttributes
from temporalio.api.common.v1 import ActivityType, Payload, Payloads
from temporalio.api.enums.v1 import CommandType, EventType, RetryState
from temporalio.api.failure.v1 import ActivityFailureInfo, CanceledFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent

from perdure._replay.commands.activity import (
    ABANDON,
    TRY_CANCEL,
    WAIT_CANCELLATION_COMPLETED,
)
from perdure._replay.commands.port import Mismatch, Outlet, copy_labels

MARKER_NAME: Final = "core_local_activity"
DATA_KEY: Final = "data"
RESULT_KEY: Final = "result"

ASKED: Final = "asked for"
RUNNING: Final = "running"
CANCELLING: Final = "being cancelled, awaited by the code"
RESOLVED: Final = "resolved"
RECORDED: Final = "recorded"

_MARKER_RECORDED = EventType.EVENT_TYPE_MARKER_RECORDED
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOutcome:
    """What came of a local activity: a result, a failure, or a failure and a wait before more."""

    result: Payload | None = None
    failure: Failure | None = None
    attempt: int = 0
    """The last one that was made."""
    backoff_ns: int | None = None
    original_schedule_ns: int = 0
    """When the first attempt was asked for."""
    complete_ns: int | None = None
    """The time of the run, then."""


@dataclass(frozen=True, slots=True)
class LocalMarker:
    """What a marker tells."""

    number: int
    activity_id: str
    activity_type: str
    activation_index: int | None
    """In which activation of its workflow task the code was told; older ones do not say."""
    outcome: LocalOutcome


class LocalActivityMachine:
    """One local activity. `resolved_with` is called once."""

    __slots__ = (
        "_cancellation_type",
        "_outlet",
        "_resolved_with",
        "activity_id",
        "activity_type",
        "asked_ns",
        "labels",
        "number",
        "request",
        "state",
        "withdrawn",
    )

    def __init__(
        self,
        outlet: Outlet,
        *,
        number: int,
        request: Any,
        activity_id: str,
        activity_type: str,
        cancellation_type: int,
        asked_ns: int,
        labels: Command,
        resolved_with: Callable[[LocalOutcome], None],
    ) -> None:
        self.number = number
        self.request = request
        """What the worker is given."""
        self.activity_id = activity_id
        self.activity_type = activity_type
        self.asked_ns = asked_ns
        self.labels = labels
        self.state = ASKED
        self.withdrawn = False
        self._outlet = outlet
        self._cancellation_type = cancellation_type
        self._resolved_with = resolved_with

    @property
    def resolved(self) -> bool:
        """No event can follow any more."""
        return self.state is RECORDED

    @property
    def is_open(self) -> bool:
        """Nothing has come of it yet."""
        return self.state in (ASKED, RUNNING, CANCELLING)

    def resolve(self, outcome: LocalOutcome, activation_index: int | None) -> None:
        """The worker or the history says what came of it."""
        self.state = RESOLVED
        self.request = None
        command = _marker_command(self, outcome, activation_index)
        copy_labels(self.labels, command)
        self._outlet.issue(self, command)
        self._outlet.resolve(self._resolved_with, outcome)
        del self._resolved_with  # It refers to this machine: without it they go by themselves.

    def cancel(self, activation_index: int | None) -> bool:
        """The code wants no more of it. True: the worker is to stop it."""
        if not self.is_open or self.state is CANCELLING:
            return False
        is_running = self.state is RUNNING
        if is_running and self._cancellation_type == WAIT_CANCELLATION_COMPLETED:
            self.state = CANCELLING
            return True
        stop = is_running and self._cancellation_type != ABANDON
        cancelled = Failure(
            message="Activity cancelled", canceled_failure_info=CanceledFailureInfo()
        )
        outcome = LocalOutcome(failure=cancelled, original_schedule_ns=self.asked_ns)
        self.resolve(outcome, activation_index)
        return stop

    def handle(self, event: HistoryEvent) -> None:
        """The marker was recorded."""
        marker = local_activity_of_marker(event)
        if marker is None or self.state is not RESOLVED:
            raise Mismatch("the code's next command is the marker of a local activity")
        if marker.number != self.number:
            raise Mismatch(
                f"the history has the local activity number {marker.number}, the code "
                f"number {self.number}"
            )
        if self._outlet.checks_ids() and marker.activity_type != self.activity_type:
            raise Mismatch(
                f"the history has the activity type {marker.activity_type!r}, the code "
                f"{self.activity_type!r}"
            )
        self.state = RECORDED


def failure_for_code(failure: Failure, activity_id: str, activity_type: str) -> Failure:
    """The failure that the code sees. What the function raised it sees as it is."""
    if failure.HasField("timeout_failure_info"):
        message = "Local Activity timed out"
    elif failure.HasField("canceled_failure_info"):
        message = "Local Activity cancelled"
    else:
        return failure
    return Failure(
        message=message,
        cause=failure,
        activity_failure_info=ActivityFailureInfo(
            activity_type=ActivityType(name=activity_type),
            activity_id=activity_id,
            retry_state=RetryState.RETRY_STATE_CANCEL_REQUESTED,
        ),
    )


def local_activity_of_marker(event: HistoryEvent) -> LocalMarker | None:
    """What the marker of a local activity tells; None for another event."""
    if event.event_type != _MARKER_RECORDED:
        return None
    attributes = event.marker_recorded_event_attributes
    if attributes.marker_name != MARKER_NAME or DATA_KEY not in attributes.details:
        return None
    data = _data_of(attributes.details)
    results = attributes.details[RESULT_KEY].payloads if RESULT_KEY in attributes.details else ()
    has_failure = attributes.HasField("failure")
    return LocalMarker(
        number=data["seq"],
        activity_id=data["activity_id"],
        activity_type=data["activity_type"],
        activation_index=data.get("activation_index"),
        outcome=LocalOutcome(
            result=results[0] if results else None,
            failure=attributes.failure if has_failure else None,
            attempt=data["attempt"],
            backoff_ns=_nanoseconds(data.get("backoff")),
            original_schedule_ns=_nanoseconds(data.get("original_schedule_time")) or 0,
            complete_ns=_nanoseconds(data.get("complete_time")),
        ),
    )


def number_in_marker(details: Mapping[str, Payloads]) -> int:
    """Which local activity a marker with these details is of."""
    number: int = _data_of(details)["seq"]
    return number


def _data_of(details: Mapping[str, Payloads]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(details[DATA_KEY].payloads[0].data)
    return data


def _marker_command(
    machine: LocalActivityMachine, outcome: LocalOutcome, activation_index: int | None
) -> Command:
    data = {
        "seq": machine.number,
        "attempt": outcome.attempt,
        "activity_id": machine.activity_id,
        "activity_type": machine.activity_type,
        "complete_time": _parts(outcome.complete_ns),
        "backoff": _parts(outcome.backoff_ns),
        "original_schedule_time": _parts(outcome.original_schedule_ns),
        "activation_index": activation_index,
    }
    payload = Payload(
        metadata={"encoding": b"json/plain"}, data=json.dumps(data, separators=(",", ":")).encode()
    )
    attributes = RecordMarkerCommandAttributes(marker_name=MARKER_NAME)
    attributes.details[DATA_KEY].payloads.append(payload)
    if outcome.failure is not None:
        attributes.failure.CopyFrom(outcome.failure)
    elif outcome.result is not None:
        attributes.details[RESULT_KEY].CopyFrom(Payloads(payloads=[outcome.result]))
    return Command(
        command_type=CommandType.COMMAND_TYPE_RECORD_MARKER,
        record_marker_command_attributes=attributes,
    )


def _parts(time_ns: int | None) -> dict[str, int] | None:
    if time_ns is None:
        return None
    return {"seconds": time_ns // _SECOND_NS, "nanos": time_ns % _SECOND_NS}


def _nanoseconds(parts: dict[str, int] | None) -> int | None:
    return None if parts is None else parts["seconds"] * _SECOND_NS + parts["nanos"]


__all__ = [
    "ABANDON",
    "TRY_CANCEL",
    "WAIT_CANCELLATION_COMPLETED",
    "LocalActivityMachine",
    "LocalMarker",
    "LocalOutcome",
    "failure_for_code",
    "local_activity_of_marker",
    "number_in_marker",
]
