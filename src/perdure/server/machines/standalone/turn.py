"""What one decision on an execution without a workflow writes: to its head, and to the outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple

import msgspec
from temporalio.api.failure.v1 import Failure

from perdure.server.machines.effects import DeleteRun
from perdure.server.machines.errors import NotFound, Rejected
from perdure.server.machines.ports import Ids, Limits
from perdure.server.machines.standalone.state import (
    START_KEY,
    START_RECORD,
    HeadT,
    Phase,
    RunT,
    Standalone,
)
from perdure.server.machines.workflow import deadlines

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


class Family(NamedTuple):
    """What tells one kind of executions without a workflow from another."""

    noun: str
    """What refusals call one."""
    statuses: Mapping[int, str]
    """How refusals spell the statuses."""
    deletion: str
    """Why one that goes on ends, when it is deleted."""
    already_started: Callable[[str, str], Rejected]
    """The refusal of a start, by the request id and the run id of the one that has the id."""
    deadline: Callable[[Any], int]
    """When something of what is pending in a head is due; 0: nothing is."""
    terminate: Callable[[Any, Failure, str], None]
    """End the run of a turn at once: with this failure, as this request has asked for."""


class Turn(Generic[RunT, HeadT]):
    """Collects what a decision does. A refusal must come before the first change."""

    def __init__(
        self, family: Family, subject: Standalone[RunT], now_ns: int, ids: Ids, limits: Limits
    ) -> None:
        self.family = family
        self.subject = subject
        self.now_ns = now_ns
        self.ids = ids
        self.limits = limits
        self.segments: list[Segment] = []
        self.effects: list[Any] = []

    @property
    def run(self) -> RunT:
        """The current run, which there is."""
        assert self.subject.run is not None, "the phase says that there is a run"
        return self.subject.run

    @property
    def head(self) -> HeadT:
        """What changes of the current run."""
        head: HeadT = self.run.head
        return head

    def not_found(self) -> NotFound:
        """What those are told who name what is not there: an id, a run or an attempt."""
        return NotFound(no_such(self.family, self.subject.id))

    def begin(self, run: RunT) -> None:
        """A new run is the current one."""
        self.subject.run = run
        touched = {(START_RECORD, START_KEY)}
        self.segments.append(Segment(run, is_new=True, touched=touched, visibility_changed=True))
        self.change()

    def change(self, *, counts: bool = True, **fields: Any) -> None:
        """Give the current run other values. `counts`: descriptions count that among its
        transitions."""
        run = self.run
        shown = run.shown_status
        run.head = _replace(run.head, **fields)
        if not self.segments:
            self.segments.append(Segment(run))
        run.head.transitions += counts
        self.segments[0].visibility_changed |= run.shown_status != shown

    def end(self, status: int, pending: Any, **fields: Any) -> None:
        """The run is over, and this is what was pending then."""
        self.change(status=status, close_time_ns=self.now_ns, pending=pending, **fields)

    def rearm(self) -> None:
        """If the wake-up came: the next one is when the next thing is due."""
        if self.run.is_open and self.run.head.wake_at_ns <= self.now_ns:
            self.change(counts=False, wake_at_ns=deadlines.NEVER)

    def forget(self, run: RunT) -> None:
        """A run leaves the store."""
        if run is not self.subject.run:
            self.segments.append(Segment(run))
        else:
            if not self.segments:
                self.change(counts=False)
            self.subject.run = None
        self.effects.append(DeleteRun(run.run_id))

    def finish(self, reply: Any) -> Decision:
        """All is decided: see to it that the current run is woken up in time."""
        for segment in self.segments:
            if segment.run is self.subject.run:
                self._arm()
        return Decision(self.segments, self.effects, reply)

    def _arm(self) -> None:
        run, head = self.run, self.run.head
        if run.is_open:
            due_ns = self.family.deadline(head.pending)
            head.wake_at_ns = deadlines.earliest(head.wake_at_ns, due_ns)
        else:
            head.wake_at_ns = deadlines.NEVER


def take(
    turn: Turn[Any, Any],
    table: Mapping[tuple[Phase, type], Callable[[Any, Any], Any]],
    message: Any,
    run_id: str,
) -> Decision:
    """Do what a table says of an input that names this run; "" is whichever is current. Who names
    another finds none."""
    run = turn.subject.run
    is_another = bool(run_id) and run is not None and run_id != run.run_id
    phase = Phase.ABSENT if is_another else turn.subject.phase
    return turn.finish(table[phase, type(message)](turn, message))


def no_such(family: Family, id_: str) -> str:
    """What those are told who name what is not there."""
    return f"{family.noun} not found for ID: {id_}"
