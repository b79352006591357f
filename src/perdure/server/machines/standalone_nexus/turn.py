"""What one decision on a standalone Nexus operation writes: to its head, and to the outside."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.server.machines.effects import DeleteRun
from perdure.server.machines.errors import NotFound
from perdure.server.machines.ports import Ids, Limits
from perdure.server.machines.standalone.turn import Segment
from perdure.server.machines.standalone_nexus.state import (
    NO_EVENT,
    START_KEY,
    START_RECORD,
    Head,
    OperationRun,
    StandaloneOperation,
    Status,
)
from perdure.server.machines.workflow import deadlines
from perdure.server.machines.workflow.effects import CallNexus
from perdure.server.machines.workflow.nexus.due import CallToMake
from perdure.server.machines.workflow.nexus.state import Calls, CallState, PendingOperation
from perdure.server.machines.workflow.nexus.timing import operation_deadline

_replace = msgspec.structs.replace


class Turn:
    """Collects what a decision does. A refusal must come before the first change."""

    def __init__(
        self, operation: StandaloneOperation, now_ns: int, ids: Ids, limits: Limits
    ) -> None:
        self.operation = operation
        self.now_ns = now_ns
        self.ids = ids
        self.limits = limits
        self.segments: list[Segment] = []
        self.effects: list[Any] = []

    @property
    def run(self) -> OperationRun:
        """The current run, which there is."""
        assert self.operation.run is not None, "the phase says that there is a run"
        return self.operation.run

    @property
    def head(self) -> Head:
        """What changes of the current run."""
        return self.run.head

    def not_found(self) -> NotFound:
        """What those are told who name an operation, or a run of it, that is not there."""
        return NotFound(f"operation not found for ID: {self.operation.id}")

    def begin(self, head: Head, start: bytes) -> None:
        """A new run is the current one."""
        run = OperationRun(head, start)
        self.operation.run = run
        touched = {(START_RECORD, START_KEY)}
        self.segments.append(Segment(run, is_new=True, touched=touched, visibility_changed=True))
        self.change(counts=True)

    def change(self, *, counts: bool, **fields: Any) -> None:
        """Give the current run other values. `counts`: descriptions count that among its
        transitions."""
        status = self.head.status
        self.run.head = _replace(self.head, **fields)
        if not self.segments:
            self.segments.append(Segment(self.run))
        head = self.head
        head.transitions += counts
        self.segments[0].visibility_changed |= head.status != status

    def finish(self) -> None:
        """All is decided: see to it that the run is woken up in time."""
        if self.operation.run is None or not self.segments:
            return
        head = self.head
        if self.run.is_open:
            due_ns = operation_deadline(head.pending)
            head.wake_at_ns = deadlines.earliest(head.wake_at_ns, due_ns)
        else:
            head.wake_at_ns = deadlines.NEVER

    def put(self, calls: Calls, *, counts: bool, **fields: Any) -> None:
        """Its calls stand like this now."""
        pending = PendingOperation(self.head.pending.operation, calls)
        self.change(counts=counts, pending=pending, **fields)

    def call(self, call: CallToMake, calls: Calls) -> None:
        """Have its handler asked."""
        self.put(calls, counts=False)
        self.effects.append(
            CallNexus(
                run_id=self.run.run_id,
                scheduled_event_id=NO_EVENT,
                attempt=call.attempt,
                is_cancel=call.is_cancel,
                timeout_ns=call.timeout_ns,
                operation_timeout_ns=call.operation_timeout_ns,
            )
        )

    def end(self, status: Status, calls: Calls, **fields: Any) -> None:
        """The operation is over."""
        self.put(
            _replace(calls, due_ns=deadlines.NEVER),
            counts=True,
            status=status,
            close_time_ns=self.now_ns,
            **fields,
        )

    def rearm(self) -> None:
        """The wake-up came: the next one is when the next thing is due."""
        self.change(counts=False, wake_at_ns=deadlines.NEVER)

    def forget(self, run: OperationRun) -> None:
        """A run leaves the store."""
        if run is self.operation.run:
            if not self.segments:
                self.change(counts=False)
            self.operation.run = None
        else:
            self.segments.append(Segment(run))
        self.effects.append(DeleteRun(run.run_id))


def tried(calls: Calls) -> int:
    """How many calls to start it there were, with the one that is under way."""
    return calls.attempt + (calls.state == CallState.SCHEDULED)
