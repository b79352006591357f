"""One decision on a standalone activity in the making: the one place where its runs change."""

from __future__ import annotations

from typing import Any

import msgspec
from temporalio.api.activity.v1 import ActivityExecutionOutcome

from perdure.server.machines.activity import attempt as attempts
from perdure.server.machines.activity.attempt import Ends, Trigger
from perdure.server.machines.effects import DeleteRun
from perdure.server.machines.errors import FailedPrecondition, NotFound
from perdure.server.machines.ports import Ids, Limits
from perdure.server.machines.standalone import pauses
from perdure.server.machines.standalone.state import (
    START_KEY,
    START_RECORD,
    TASK_ID,
    ActivityRun,
    Head,
    StandaloneActivity,
    Status,
)
from perdure.server.machines.workflow import deadlines
from perdure.server.machines.workflow.effects import OfferTask, TaskKind, WithdrawTask
from perdure.server.machines.workflow.outstanding_task import priority_of
from perdure.server.machines.workflow.state import Attempt, AttemptState, PendingActivity

_replace = msgspec.structs.replace


class Segment(msgspec.Struct):
    """What a turn does to one run."""

    run: Any
    is_new: bool = False
    batches: tuple[Any, ...] = ()
    touched: set[tuple[int, bytes]] = set()
    visibility_changed: bool = False


class Decision(msgspec.Struct):
    """The result of a turn."""

    segments: list[Segment]
    effects: list[Any]
    reply: Any

    @property
    def has_changes(self) -> bool:
        """Whether anything must be committed."""
        return bool(self.segments)


class Turn:
    """Collects what a decision does. A refusal must come before the first change."""

    def __init__(self, activity: StandaloneActivity, now_ns: int, ids: Ids, limits: Limits) -> None:
        self.activity = activity
        self.now_ns = now_ns
        self.ids = ids
        self.limits = limits
        self.segments: list[Segment] = []
        self.effects: list[Any] = []
        self.counts = True
        """Whether descriptions count the turn among the transitions of the run."""

    @property
    def run(self) -> ActivityRun:
        """The current run, which there is."""
        assert self.activity.run is not None, "the phase says that there is a run"
        return self.activity.run

    @property
    def head(self) -> Head:
        """What changes of the current run."""
        return self.run.head

    def not_found(self) -> NotFound:
        """What those are told who name an activity, or an attempt, that is not there."""
        return NotFound(f"activity not found for ID: {self.activity.id}")

    def begin(self, head: Head, start: bytes) -> None:
        """A new run is the current one."""
        run = ActivityRun(head, start)
        self.activity.run = run
        touched = {(START_RECORD, START_KEY)}
        self.segments.append(Segment(run, is_new=True, touched=touched, visibility_changed=True))
        if head.pending.attempt.state == AttemptState.SCHEDULED:
            self._offer()
        self._finish()

    def change(self, **fields: Any) -> None:
        """Give the current run other values."""
        status = self.run.shown_status
        self.run.head = _replace(self.head, **fields)
        self._finish(is_news=self.run.shown_status != status)

    def rearm(self) -> None:
        """The wake-up came: the next one is when the next thing is due."""
        self.counts = False
        self.run.head = _replace(self.head, wake_at_ns=0)
        self._finish()

    def take(self, trigger: Trigger, **fields: Any) -> Ends | None:
        """Apply a trigger to the attempts. What ends the activity is left to the caller, with
        `end`. Raises NotFound, FailedPrecondition."""
        step = self.step(trigger)
        if isinstance(step, Ends):
            return step
        if step is not None:
            self.put(step, **fields)
        elif fields:
            self.change(**fields)
        return None

    def step(self, trigger: Trigger, pending: PendingActivity | None = None) -> attempts.Step:
        """What a trigger would do. Raises NotFound, FailedPrecondition."""
        try:
            return pauses.step(pending or self.head.pending, trigger, self.limits)
        except NotFound:
            raise self.not_found() from None

    def put(self, after: Attempt, **fields: Any) -> None:
        """The attempt is this one now: what was on offer is withdrawn, and what is, offered."""
        before = self.head.pending.attempt
        self.change(pending=PendingActivity(self.head.pending.activity, after), **fields)
        if (after.state, after.stamp) == (before.state, before.stamp):
            return
        if before.state == AttemptState.SCHEDULED:
            self._withdraw()
        if after.state == AttemptState.SCHEDULED:
            self._offer()

    def end(
        self, status: Status, outcome: ActivityExecutionOutcome, attempt: Attempt, **fields: Any
    ) -> None:
        """The activity is over."""
        if self.head.pending.attempt.state == AttemptState.SCHEDULED:
            self._withdraw()
        self.change(
            status=status,
            close_time_ns=self.now_ns,
            outcome=outcome.SerializeToString(deterministic=True),
            pending=PendingActivity(self.head.pending.activity, attempt),
            **fields,
        )

    def forget(self, run: ActivityRun) -> None:
        """A run leaves the store."""
        if run is self.activity.run:
            if not self.segments:
                self.change(transitions=self.head.transitions)
            self.activity.run = None
        else:
            run.head = _replace(run.head, transitions=run.head.transitions + 1)
            self.segments.append(Segment(run))
        self.effects.append(DeleteRun(run.run_id))

    def _finish(self, *, is_news: bool = False) -> None:
        """Count the change, and see to it that the run is woken up in time."""
        head = self.head
        if not self.segments:
            self.segments.append(Segment(self.run))
            head.transitions += self.counts
        elif self.segments[0].is_new and not head.transitions:
            head.transitions = 1
        self.segments[0].visibility_changed |= is_news
        if not self.run.is_open:
            head.wake_at_ns = deadlines.NEVER
            return
        due_ns = deadlines.earliest(*(deadline.time_ns for deadline in pauses.due_of(head.pending)))
        head.wake_at_ns = deadlines.earliest(head.wake_at_ns, due_ns)

    def _offer(self) -> None:
        pending = self.head.pending
        self.effects.append(
            OfferTask(
                run_id=self.run.run_id,
                kind=TaskKind.ACTIVITY,
                queue=pending.options.task_queue,
                scheduled_event_id=TASK_ID,
                stamp=pending.attempt.stamp,
                ready_at_ns=pending.attempt.scheduled_time_ns,
                priority=priority_of(pending.options.priority),
            )
        )

    def _withdraw(self) -> None:
        self.effects.append(WithdrawTask(self.run.run_id, TASK_ID))


def named(turn: Turn, run_id: str) -> None:
    """The current run must be the one that is meant. Raises NotFound."""
    if run_id and run_id != turn.run.run_id:
        raise turn.not_found()


def refuse(message: str) -> FailedPrecondition:
    """It is too early or too late for that."""
    return FailedPrecondition(message)
