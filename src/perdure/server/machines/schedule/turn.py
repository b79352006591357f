"""A turn of a schedule: what one decision changes, asks for and answers, and the one fold that
changes a schedule."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.server.machines.effects import DeleteRun, SendMessage
from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.ports import Ids, Kind, Limits
from perdure.server.machines.schedule.messages import ToWorkflow
from perdure.server.machines.schedule.state import BLOB_RECORD, Blob, Run, Schedule, State

SHOWN = frozenset(("settings", "created_ns"))
"""Of these lists make what they find a schedule by."""

Touched = set[tuple[int, Blob]]


class Change(msgspec.Struct, frozen=True):
    """New values of some fields of the state, and of some blobs (b"" takes one away)."""

    fields: dict[str, Any]
    blobs: dict[Blob, bytes] = {}


def evolve(run: Run, change: Change, touched: Touched) -> None:
    """The one fold: apply a change."""
    for name, value in change.fields.items():
        setattr(run.state, name, value)
    if "settings" in change.fields:
        run.times = None
    for name, content in change.blobs.items():
        touched.add((BLOB_RECORD, name))
        if content:
            run.blobs[name] = content
        else:
            run.blobs.pop(name, None)


class Segment(msgspec.Struct):
    """What a turn does to a schedule."""

    run: Run
    is_new: bool
    batches: tuple[()] = ()
    """It has no history."""
    touched: Touched = set()
    visibility_changed: bool = False
    has_changes: bool = False


class Turn:
    """One decision in the making, and its result."""

    def __init__(self, schedule: Schedule, now_ns: int, ids: Ids, limits: Limits) -> None:
        self.schedule = schedule
        self.now_ns = now_ns
        self.ids = ids
        self.limits = limits
        self.segments: list[Segment] = []
        self.effects: list[SendMessage | DeleteRun] = []
        if schedule.run is not None:
            self.segments.append(Segment(schedule.run, is_new=False))

    @property
    def has_changes(self) -> bool:
        """Whether anything must be committed."""
        return any(segment.has_changes for segment in self.segments)

    @property
    def run(self) -> Run:
        """The schedule. Raises InvariantViolation when there is none."""
        if self.schedule.run is None:
            raise InvariantViolation("there is no schedule to decide on")
        return self.schedule.run

    @property
    def state(self) -> State:
        """What is kept of it."""
        return self.run.state

    def begin(self, state: State) -> None:
        """Let there be a schedule."""
        self.schedule.run = Run(state)
        new = Segment(self.schedule.run, is_new=True, visibility_changed=True, has_changes=True)
        self.segments.append(new)

    def change(self, blobs: dict[Blob, bytes] | None = None, **fields: Any) -> None:
        """Set fields of the state, and blobs."""
        segment = self.segments[-1]
        change = Change(fields, blobs or {})
        evolve(segment.run, change, segment.touched)
        segment.has_changes = True
        if not SHOWN.isdisjoint(fields) or Blob.SEARCH_ATTRIBUTES in change.blobs:
            segment.visibility_changed = True

    def send(self, workflow_id: str, message: ToWorkflow) -> None:
        """Tell a workflow."""
        self.effects.append(
            SendMessage(self.state.run_id, workflow_id, message, kind=Kind.WORKFLOW)
        )

    def delete(self) -> None:
        """Let there be none any more."""
        self.change(is_deleted=True, wake_at_ns=0)
        self.effects.append(DeleteRun(self.state.run_id))
        self.schedule.run = None
