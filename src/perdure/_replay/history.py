"""How a history is cut into what the workflow's code saw at a time.

A *sequence* is what one activation is made from: the events up to and including the
WorkflowTaskStarted of a task whose completion was accepted (or of the last task, which is the one
being worked on). A sequence begins with the previous task's WorkflowTaskCompleted and the events of
its commands. Tasks that failed or timed out, and tasks that only kept a long local activity alive,
do not end a sequence: no code saw them.

The rules are those of the Rust core that other SDKs share (its `workflow_task_chunking` document).
"""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

STARTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
TASK_SCHEDULED = EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
TASK_STARTED = EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
MARKER_RECORDED = EventType.EVENT_TYPE_MARKER_RECORDED
UPDATE_ACCEPTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED

# Events that mirror a command of the completed task before them.
COMMAND_EVENTS = frozenset(
    {
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED,
        EventType.EVENT_TYPE_MARKER_RECORDED,
        EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
        EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
        EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
        EventType.EVENT_TYPE_TIMER_CANCELED,
        EventType.EVENT_TYPE_TIMER_STARTED,
        EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED,
        EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED,
        EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        UPDATE_ACCEPTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_REJECTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED,
    }
)

FINAL_EVENTS = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
    }
)

# What may follow a WorkflowTaskStarted that no code ever completed.
_TASK_LOST = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
    }
)


class History:
    """The events that a runner has been given and not yet applied, in their order."""

    __slots__ = ("_events", "_found", "_next", "previous_started_event_id")

    def __init__(self, events: Sequence[HistoryEvent], previous_started_event_id: int) -> None:
        self._events = events
        self._next = 0
        self._found = (-1, -1, 0, False)
        self.previous_started_event_id = previous_started_event_id

    def take_sequence(self, after_event_id: int) -> tuple[Sequence[HistoryEvent], bool]:
        """The next sequence, and whether nothing follows it; empty at the end of history."""
        self._skip_to(after_event_id)
        end, complete = self._end(after_event_id)
        if not complete and end <= self._next:
            return (), True
        taken = self._events[self._next : end + 1]
        self._next = end + 1
        return taken, self._next >= len(self._events)

    def peek_sequence(self, after_event_id: int) -> Sequence[HistoryEvent]:
        """What `take_sequence` would return next; at the end of history, what is left of it."""
        self._skip_to(after_event_id)
        if self._next >= len(self._events):
            return ()
        end, _ = self._end(after_event_id)
        return self._events[self._next : end + 1]

    def _end(self, after_event_id: int) -> tuple[int, bool]:
        """Where the next sequence ends. Kept, since whoever peeks takes the same one later."""
        begin, after, end, complete = self._found
        if begin != self._next or after != after_event_id:
            end, complete = _end_of_sequence(self._events, self._next, after_event_id)
            self._found = (self._next, after_event_id, end, complete)
        return end, complete

    def peek_completed(self, from_event_id: int) -> HistoryEvent | None:
        """The next WorkflowTaskCompleted that has not been taken yet."""
        events = self._events
        for index in range(self._next, len(events)):
            event = events[index]
            if event.event_type == TASK_COMPLETED and event.event_id >= from_event_id:
                return event
        return None

    def events_after(self, event_id: int) -> list[HistoryEvent]:
        """All events after that one, taken or not."""
        return [event for event in self._events if event.event_id > event_id]

    def _skip_to(self, after_event_id: int) -> None:
        events = self._events
        index = self._next
        while index < len(events) and events[index].event_id <= after_event_id:
            index += 1
        if index < len(events):
            self._next = index


def _end_of_sequence(
    events: Sequence[HistoryEvent], begin: int, after_event_id: int
) -> tuple[int, bool]:
    """The index of the last event of the sequence that begins there, and whether it is whole."""
    saw_command = saw_anything = False
    started: list[int] = []
    count = len(events)
    index = begin - 1
    for index in range(begin, count):
        event = events[index]
        event_type = event.event_type
        if event.event_id <= after_event_id:
            continue
        if event_type in COMMAND_EVENTS:
            saw_command = saw_anything = True
        elif event_type == STARTED:
            saw_anything = True
        if event_type in FINAL_EVENTS:
            return index, True
        if event_type != TASK_STARTED:
            continue
        if index + 1 < count:
            following = events[index + 1].event_type
            if following in _TASK_LOST:
                continue
            started.append(index)
            if following == TASK_COMPLETED and index + 2 < count:
                after = events[index + 2]
                if not saw_command and after.event_type == TASK_SCHEDULED:
                    continue  # it only kept a local activity alive
                return _before_update(events, started, after), True
        if saw_anything:
            return index, True
    return index, False


def _before_update(events: Sequence[HistoryEvent], started: list[int], after: HistoryEvent) -> int:
    """The last of the started tasks; but when what follows is an update that came after an earlier
    one of them, that one: the code was told of the update by itself."""
    if after.event_type == UPDATE_ACCEPTED:
        attributes = after.workflow_execution_update_accepted_event_attributes
        asked_at = attributes.accepted_request_sequencing_event_id
        for index in reversed(started):
            if events[index].event_id < asked_at:
                return index
    return started[-1]
