"""What a program is, and what a history says of it, as far as programs ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

MILLISECOND_NS = 1_000_000
ACTIVITY_TYPE = "act"
QUEUE = "queue"
DEPLOYMENT = "app"
STEP = "Step"
"""A search attribute that programs upsert."""


class ActivityPlan(msgspec.Struct):
    """An activity: its options, and what each attempt of it does (the last entry again and
    again)."""

    attempts: tuple[str, ...] = ("ok",)
    """ok, fail, fatal, hang, or beat (heartbeats until it is done or told to cancel)."""
    start_to_close_ms: int = 2_000
    schedule_to_close_ms: int = 8_000
    schedule_to_start_ms: int = 0
    heartbeat_ms: int = 0
    attempts_max: int = 3
    is_eager: bool = False


class OperationPlan(msgspec.Struct):
    """A Nexus operation: its options, and what its handler makes of it."""

    kind: str = "now"
    """now (answered at once), later (goes on for a while), refuse, or hang."""
    takes_ms: int = 0
    fails: bool = False
    failures: int = 0
    """How many calls are in vain first."""
    schedule_to_close_ms: int = 20_000
    schedule_to_start_ms: int = 0
    start_to_close_ms: int = 0


class Stage(msgspec.Struct):
    """One step of a program. `kind`: activities (wait for all), timer, signals (wait for some, or
    for the timer), race (an activity against a timer; the loser is cancelled), marker, upsert (a
    search attribute), child, external (a signal or a cancel request to another workflow), or
    operation (of Nexus; it is cancelled when the timer fires)."""

    kind: str
    activities: list[ActivityPlan] = []
    timer_ms: int = 1_000
    signals: int = 1
    child: Program | None = None
    close_policy: int = 0
    """What becomes of the child when its parent closes."""
    wait: str = "end"
    """For the `start` of the child, for its `end`, or in a `race` with the timer for its end."""
    target: str = ""
    """The other workflow, of an external stage."""
    is_cancel: bool = False
    operation: OperationPlan | None = None


class Program(msgspec.Struct):
    """What a workflow does."""

    stages: list[Stage]
    ending: str = "complete"
    """complete, fail, or continue (as new, `continues` times, and then complete)."""
    continues: int = 0
    is_cancellable: bool = True
    behavior: int = 0
    """What workers of a version say of it: a VersioningBehavior."""
    initial_behavior: int = 0
    """How it continues as new: a ContinueAsNewVersioningBehavior."""


class Facts:
    """What a history says, as far as programs ask."""

    def __init__(self) -> None:
        self.program = Program([])
        self.workflow_id = ""
        self.activities: dict[str, int] = {}
        self.activities_over: set[int] = set()
        self.activities_cancelled: set[int] = set()
        self.timers: set[str] = set()
        self.timers_fired: set[str] = set()
        self.timers_cancelled: set[str] = set()
        self.markers: set[str] = set()
        self.upserts: set[str] = set()
        self.children: dict[str, int] = {}
        """By workflow id, the event that asked for it."""
        self.children_started: set[int] = set()
        self.children_over: set[int] = set()
        """Those that ended, or could not start."""
        self.externals: dict[str, int] = {}
        """Signals and cancel requests to others, by what the program calls them."""
        self.externals_over: set[int] = set()
        self.operations: dict[str, int] = {}
        self.operations_cancelled: set[int] = set()
        self.operations_over: set[int] = set()
        self.signals = 0
        """With the updates that were accepted, which count as signals."""
        self.signal_ids: list[str] = []
        self.updates: dict[str, str] = {}
        """The names of those that were accepted, by their ids."""
        self.updates_over: set[str] = set()
        self.updates_admitted: dict[str, tuple[int, str]] = {}
        """Those that a reset has carried over: the events that say so, and their names."""
        self.is_cancel_requested = False


def facts(events: Iterable[HistoryEvent]) -> Facts:
    """Read a history."""
    found = Facts()
    for event in events:
        note = _NOTES.get(event.event_type)
        if note is not None:
            note(found, event)
    return found


def encode(program: Program) -> Payloads:
    """A program as the input of a workflow."""
    data = msgspec.json.encode(program)
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=data)])


def _note_started(found: Facts, event: HistoryEvent) -> None:
    attributes = event.workflow_execution_started_event_attributes
    found.program = msgspec.json.decode(attributes.input.payloads[0].data, type=Program)
    found.workflow_id = attributes.workflow_id


def _note_activity(found: Facts, event: HistoryEvent) -> None:
    name = event.activity_task_scheduled_event_attributes.activity_id
    found.activities[name] = event.event_id


def _note_cancel(found: Facts, event: HistoryEvent) -> None:
    found.activities_cancelled.add(
        event.activity_task_cancel_requested_event_attributes.scheduled_event_id
    )


def _note_over(attributes: str) -> Callable[[Facts, HistoryEvent], None]:
    def note(found: Facts, event: HistoryEvent) -> None:
        found.activities_over.add(getattr(event, attributes).scheduled_event_id)

    return note


def _note_child(found: Facts, event: HistoryEvent) -> None:
    attributes = event.start_child_workflow_execution_initiated_event_attributes
    found.children[attributes.workflow_id] = event.event_id


def _note_child_over(found: Facts, event: HistoryEvent) -> None:
    attributes = getattr(event, event.WhichOneof("attributes") or "")
    found.children_over.add(attributes.initiated_event_id)


def _note_child_started(found: Facts, event: HistoryEvent) -> None:
    attributes = event.child_workflow_execution_started_event_attributes
    found.children_started.add(attributes.initiated_event_id)


def _note_external(found: Facts, event: HistoryEvent) -> None:
    attributes = getattr(event, event.WhichOneof("attributes") or "")
    found.externals[attributes.control] = event.event_id


def _note_external_over(found: Facts, event: HistoryEvent) -> None:
    attributes = getattr(event, event.WhichOneof("attributes") or "")
    found.externals_over.add(attributes.initiated_event_id)


def _note_upsert(found: Facts, event: HistoryEvent) -> None:
    attributes = event.upsert_workflow_search_attributes_event_attributes
    payload = attributes.search_attributes.indexed_fields[STEP]
    found.upserts.add(msgspec.json.decode(payload.data, type=str))


def _note_signal(found: Facts, event: HistoryEvent) -> None:
    attributes = event.workflow_execution_signaled_event_attributes
    found.signals += 1
    if not attributes.HasField("external_workflow_execution"):
        found.signal_ids.append(attributes.request_id)


def _note_admitted(found: Facts, event: HistoryEvent) -> None:
    request = event.workflow_execution_update_admitted_event_attributes.request
    found.updates_admitted[request.meta.update_id] = (event.event_id, request.input.name)


def _note_accepted(found: Facts, event: HistoryEvent) -> None:
    attributes = event.workflow_execution_update_accepted_event_attributes
    found.signals += 1
    found.updates[attributes.protocol_instance_id] = attributes.accepted_request.input.name


def _note_completed(found: Facts, event: HistoryEvent) -> None:
    attributes = event.workflow_execution_update_completed_event_attributes
    found.updates_over.add(attributes.meta.update_id)


def _note_cancel_request(found: Facts, event: HistoryEvent) -> None:
    found.is_cancel_requested = True


def _note_operation(found: Facts, event: HistoryEvent) -> None:
    name = event.nexus_operation_scheduled_event_attributes.operation
    found.operations[name] = event.event_id


def _note_operation_cancel(found: Facts, event: HistoryEvent) -> None:
    attributes = event.nexus_operation_cancel_requested_event_attributes
    found.operations_cancelled.add(attributes.scheduled_event_id)


def _note_operation_over(found: Facts, event: HistoryEvent) -> None:
    attributes = getattr(event, event.WhichOneof("attributes") or "")
    found.operations_over.add(attributes.scheduled_event_id)


OPERATION_ENDS = (
    EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED,
    EventType.EVENT_TYPE_NEXUS_OPERATION_FAILED,
    EventType.EVENT_TYPE_NEXUS_OPERATION_CANCELED,
    EventType.EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT,
)
_NOTES: dict[int, Callable[[Facts, HistoryEvent], None]] = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: _note_started,
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: _note_activity,
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: _note_cancel,
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: _note_over(
        "activity_task_completed_event_attributes"
    ),
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: _note_over("activity_task_failed_event_attributes"),
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: _note_over(
        "activity_task_timed_out_event_attributes"
    ),
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: _note_over(
        "activity_task_canceled_event_attributes"
    ),
    EventType.EVENT_TYPE_TIMER_STARTED: lambda found, event: found.timers.add(
        event.timer_started_event_attributes.timer_id
    ),
    EventType.EVENT_TYPE_TIMER_FIRED: lambda found, event: found.timers_fired.add(
        event.timer_fired_event_attributes.timer_id
    ),
    EventType.EVENT_TYPE_TIMER_CANCELED: lambda found, event: found.timers_cancelled.add(
        event.timer_canceled_event_attributes.timer_id
    ),
    EventType.EVENT_TYPE_MARKER_RECORDED: lambda found, event: found.markers.add(
        event.marker_recorded_event_attributes.marker_name
    ),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: _note_signal,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED: _note_cancel_request,
    EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: _note_child,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: _note_child_started,
    **dict.fromkeys(
        (
            EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
            EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
        ),
        _note_child_over,
    ),
    EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: _note_external,
    EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: _note_external,
    **dict.fromkeys(
        (
            EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
            EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED,
            EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
            EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
        ),
        _note_external_over,
    ),
    EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED: _note_operation,
    EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED: _note_operation_cancel,
    **dict.fromkeys(OPERATION_ENDS, _note_operation_over),
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: _note_upsert,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED: _note_admitted,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: _note_accepted,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED: _note_completed,
}
