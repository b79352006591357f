"""A turn: what one decision changes, asks for and answers, collected while it is taken.

`record` appends an event: it gets its id and its time, is serialised once, and goes through
`evolve`. `change` does the same for what is pending. After the first of either, a decision can no
longer be refused.
"""

from __future__ import annotations

import msgspec
from temporalio.api.enums.v1 import event_type_pb2
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.effects import SendMessage
from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.ports import Ids, Kind, Limits
from perdure.server.machines.schedule.messages import ToSchedule
from perdure.server.machines.wire import history_entry, set_timestamp
from perdure.server.machines.workflow import changes, deadlines
from perdure.server.machines.workflow.codec import parts_of
from perdure.server.machines.workflow.effects import Effect
from perdure.server.machines.workflow.evolve import (
    Touched,
    evolve_event,
    evolve_pending,
    run_from_start,
)
from perdure.server.machines.workflow.messages import Message
from perdure.server.machines.workflow.outstanding_task import (
    offer_of,
    scheduled_event,
    started_event,
)
from perdure.server.machines.workflow.state import BlobName, RecordKind, Run, Workflow

_BATCH_OPENERS = frozenset(
    (
        event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
        event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
    )
)
"""A batch never spans the close of a workflow task: these begin a new one, so that reset can cut
between batches."""

SEARCH_ATTRIBUTES = (RecordKind.BLOB, BlobName.SEARCH_ATTRIBUTES)
"""The record of those that a run set."""


class Batch(msgspec.Struct):
    """Consecutive events of one turn: `entries` is a serialised History, once the turn is
    finished."""

    first_event_id: int
    last_event_id: int
    opens_with_close: bool
    entries: bytes


class Segment(msgspec.Struct):
    """What a turn does to one run."""

    run: Run
    is_new: bool
    batches: list[Batch] = []
    touched: Touched = set()
    steps: list[tuple[int, changes.Change]] = []
    """Changes of what is pending, in order, each with the id of the event that came next: together
    with the batches, all that was done to the run, in the order in which it was done."""
    copied_from: str = ""
    """The run whose history the new run begins with, as far as `copied_event_id`: the batches go on
    from there."""
    copied_event_id: int = 0
    visibility_changed: bool = False
    """Whether what lists find and order the run by has changed: when it begins, when it closes,
    when its search attributes change."""
    shown: tuple[object, ...] = ()
    """Of an earlier run: what its search attributes were made of, besides those that it set."""


class Turn:
    """One decision in the making, and its result."""

    def __init__(self, workflow: Workflow, now_ns: int, ids: Ids, limits: Limits) -> None:
        self.workflow = workflow
        self.now_ns = now_ns
        self.ids = ids
        self.limits = limits
        self.segments: list[Segment] = []
        self.effects: list[Effect] = []
        self.is_transition = True
        """Whether descriptions count the turn among the transitions of the run."""
        self._open_batch: Batch | None = None
        self._open_entries: list[bytes] = []
        """Of the open batch: joined once, since a turn may record a hundred thousand events."""
        if workflow.run is not None:
            self._open_segment(workflow.run, is_new=False)

    @property
    def run(self) -> Run:
        """The current run. Raises InvariantViolation when there is none."""
        if self.workflow.run is None:
            raise InvariantViolation("there is no run to decide on")
        return self.workflow.run

    @property
    def segment(self) -> Segment:
        """What the turn does to the current run."""
        return self.segments[-1]

    @property
    def has_changes(self) -> bool:
        """Whether anything must be committed."""
        for segment in self.segments:  # noqa: SIM110 (`any` costs more than all the rest of it)
            if segment.batches or segment.steps:
                return True
        return False

    def start_run(self, event: HistoryEvent) -> Run:
        """Begin a new run with its first event; it becomes the current one."""
        serialised = self._stamp(event, event_id=1, time_ns=self.now_ns)
        segment = Segment(run=None, is_new=True, visibility_changed=True)  # type: ignore[arg-type]
        segment.run = run_from_start(event, len(serialised), segment.touched)
        self.workflow.run = segment.run
        self.segments.append(segment)
        self._append(event.event_type, 1, serialised)
        return segment.run

    def adopt_run(self, run: Run, copied_from: str) -> None:
        """Let a run that was folded from the beginning of another's history become the current
        one."""
        self.workflow.run = run
        self.segments.append(
            Segment(
                run=run,
                is_new=True,
                touched=parts_of(run),
                visibility_changed=True,
                copied_from=copied_from,
                copied_event_id=run.recorded.next_event_id - 1,
            )
        )

    def change_other(self, run: Run, change: changes.Change) -> None:
        """Apply a change of what is pending of a run that is over, and not the current one."""
        for known in self.segments:
            if known.run is run:
                self._apply(known, change)
                return
        segment = Segment(run=run, is_new=False)
        self.segments.insert(0, segment)
        self._apply(segment, change)

    def make_normal(self, identity: str = "", worker_version: bytes | None = None) -> None:
        """A speculative workflow task, if there is one, becomes a normal one: recorded with the
        times that it had, and stored. What is recorded as its worker is who closes it, if anybody
        does, as on the real server: `worker_version` is a serialised stamp, if it sent one."""
        run = self.run
        speculative = run.speculative
        if speculative is None:
            return
        task = speculative.task
        scheduled = scheduled_event(run, task.start_to_close_ns, task.attempt)
        run.speculative = None
        if run.pending.sticky_queue and not speculative.is_sticky:
            self.change(changes.StickySet("", 0))
        self.record(scheduled, task.scheduled_time_ns)
        stamp = speculative.stamp - speculative.is_undelivered
        self.change(changes.TaskScheduled(None, task.scheduled_time_ns, stamp))
        if task.started_event_id:
            task = msgspec.structs.replace(task, identity=identity)
            self.record(started_event(task, worker_version), task.started_time_ns)
            self.change(changes.TaskStarted(None, speculative.delivered_ns))
        if speculative.is_undelivered:
            self.change(changes.TaskUndelivered())
        if not task.started_event_id or speculative.is_undelivered:
            self.effects.append(offer_of(run, self.now_ns))

    def record(self, event: HistoryEvent, time_ns: int | None = None) -> int:
        """Append an event to the current run (at the turn's time, unless given) and return its
        id."""
        run = self.run
        if run.speculative is not None:
            self.make_normal()
        event_id = run.recorded.next_event_id
        if time_ns is None:
            time_ns = max(self.now_ns, run.recorded.last_event_time_ns)
        serialised = self._stamp(event, event_id=event_id, time_ns=time_ns)
        evolve_event(run, event, len(serialised), self.segment.touched)
        self._append(event.event_type, event_id, serialised)
        return event_id

    def record_or_buffer(self, event: HistoryEvent, time_ns: int | None = None) -> int:
        """Append an event, or buffer it while a workflow task is started; its id, 0 when it has
        none yet."""
        if not self.run.is_task_started:
            return self.record(event, time_ns)
        self.buffer(event, time_ns)
        return 0

    def buffer(self, event: HistoryEvent, time_ns: int | None = None) -> None:
        """Keep an event, with its time, until the workflow task closes or the turn flushes the
        buffer."""
        set_timestamp(event.event_time, self.now_ns if time_ns is None else time_ns)
        self.change(
            changes.EventBuffered(event.event_type, event.SerializeToString(deterministic=True))
        )

    def change(self, change: changes.Change) -> None:
        """Apply a change of what is pending."""
        if self.run.speculative is not None:
            self.make_normal()
        self._apply(self.segment, change)

    def arm(self, wake_at_ns: int) -> None:
        """Arm the wake-up anew. It is no news for the workflow: a speculative task stays one."""
        if wake_at_ns != self.run.pending.wake_at_ns:
            self._apply(self.segment, changes.WakeArmed(wake_at_ns))

    def send(self, workflow_id: str, message: Message) -> None:
        """Tell another workflow, on behalf of the current run."""
        self.effects.append(SendMessage(self.run.recorded.run_id, workflow_id, message))

    def tell_schedule(self, schedule_id: str, message: ToSchedule) -> None:
        """Tell a schedule, on behalf of the current run."""
        run_id = self.run.recorded.run_id
        self.effects.append(SendMessage(run_id, schedule_id, message, Kind.SCHEDULE))

    def finish(self) -> None:
        """Count the turn, and arm the wake-ups that it made necessary."""
        self._close_batch()
        for segment in self.segments:
            if not segment.batches and not segment.steps:
                continue
            if self.is_transition:
                self._apply(segment, changes.TurnTaken())
            run = segment.run
            if not segment.visibility_changed:
                is_set = SEARCH_ATTRIBUTES in segment.touched
                segment.visibility_changed = is_set or _shown(run) != segment.shown
            armed_ns = run.pending.wake_at_ns
            wanted_ns = deadlines.callbacks_due(run) if run.callbacks else deadlines.NEVER
            if run.is_open:
                touched_ns = deadlines.wake_at_of_touched(run, segment.touched)
                wanted_ns = deadlines.earliest(armed_ns, touched_ns)
            if wanted_ns != armed_ns:
                self._apply(segment, changes.WakeArmed(wanted_ns))

    def _apply(self, segment: Segment, change: changes.Change) -> None:
        evolve_pending(segment.run, change, segment.touched)
        segment.steps.append((segment.run.recorded.next_event_id, change))

    def _open_segment(self, run: Run, *, is_new: bool) -> None:
        self.segments.append(Segment(run=run, is_new=is_new, shown=_shown(run)))

    def _stamp(self, event: HistoryEvent, *, event_id: int, time_ns: int) -> bytes:
        event.event_id = event_id
        event.task_id = event_id
        set_timestamp(event.event_time, time_ns)
        # Maps have no order of their own: without one, the same decision has other bytes each time.
        return history_entry(event.SerializeToString(deterministic=True))

    def _append(self, event_type: int, event_id: int, entry: bytes) -> None:
        batches = self.segment.batches
        closes_task = event_type in _BATCH_OPENERS
        if batches and not closes_task:
            batches[-1].last_event_id = event_id
        else:
            self._close_batch()
            self._open_batch = Batch(event_id, event_id, closes_task, b"")
            batches.append(self._open_batch)
        self._open_entries.append(entry)

    def _close_batch(self) -> None:
        if self._open_batch is not None:
            self._open_batch.entries = b"".join(self._open_entries)
            self._open_batch = None
            self._open_entries.clear()


def _shown(run: Run) -> tuple[object, ...]:
    """What the server's own search attributes of a run are made of."""
    recorded = run.recorded
    has_completed_task = recorded.completed_task_started_event_id > 0
    pending = run.pending
    return (
        has_completed_task,
        len(recorded.reset_points),
        tuple(pending.paused_types),
        tuple(pending.reported_problem),
    )
