"""Turning turns into rows: what a group holds of each workflow, and the one encoding of it when the
group is sealed.

Several turns of one workflow in a group become one write: the head and each touched part are
encoded once, as they stand when the group is sealed, and a dispatch row that was put and deleted
again cancels out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from perdure.server.engine.api import NamespaceRef
from perdure.server.engine.execution import Execution
from perdure.server.machines.ports import Kind, MachineRun, RunChange
from perdure.server.machines.registry import encode_envelope
from perdure.server.machines.workflow.effects import OfferTask
from perdure.server.machines.workflow.evolve import Touched
from perdure.server.machines.workflow.turn import Batch
from perdure.server.store.codec import seal
from perdure.server.store.ports import (
    DispatchRow,
    HistoryBatch,
    OutboxRow,
    Record,
    RunIdentity,
    RunNumber,
    RunWrite,
    VisibilityRow,
    WorkflowWrite,
)

Projection = Callable[[NamespaceRef, str, Any], VisibilityRow]
"""Makes what lists show of a run."""


class PendingRun(msgspec.Struct):
    """What a group holds of one run."""

    number: RunNumber
    run: MachineRun
    is_new: bool
    batches: list[Batch] = []
    touched: Touched = set()
    visibility_changed: bool = False
    offers: dict[int, OfferTask] = {}
    rows_deleted: set[int] = set()
    is_copy: bool = False
    """Its history was begun in the store by a copy."""
    is_deleted: bool = False

    def add(self, segment: RunChange) -> None:
        """Take over what a turn did to the run."""
        for batch in segment.batches:
            if self.batches and not batch.opens_with_close:
                last = self.batches[-1]
                last.entries += batch.entries
                last.last_event_id = batch.last_event_id
            else:
                self.batches.append(batch)
        self.touched |= segment.touched
        self.visibility_changed |= segment.visibility_changed


class Outgoing(msgspec.Struct, frozen=True):
    """A message to another subject, and the outbox row that it is until it is delivered."""

    sequence: int
    run: RunNumber
    namespace: int
    workflow_id: str
    """The id of whom it is for."""
    message: Any
    kind: Kind = Kind.WORKFLOW


class PendingWrite:
    """What a group holds of one workflow, and who waits for it."""

    __slots__ = (
        "_answers",
        "_callbacks",
        "_error",
        "_is_settled",
        "execution",
        "namespace",
        "outbox",
        "outbox_deleted",
        "runs",
    )

    def __init__(self, execution: Execution, namespace: NamespaceRef) -> None:
        self.execution = execution
        self.namespace = namespace
        self.runs: list[PendingRun] = []
        self.outbox: list[Outgoing] = []
        self.outbox_deleted: list[int] = []
        self._answers: list[asyncio.Future[None]] = []
        self._callbacks: list[Callable[[Exception | None], None]] = []
        self._is_settled = False
        self._error: Exception | None = None

    def answer(self, answer: asyncio.Future[None]) -> None:
        """Somebody waits for an answer: the future is done when the write is durable, and fails
        when it is lost, or when nobody can say for now."""
        self._answers.append(answer)

    def settle_answers(self, error: Exception | None) -> None:
        """Settle the answers, and nothing else."""
        answers, self._answers = self._answers, []
        for answer in answers:
            if answer.done():
                continue
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(error)

    def when_durable(self, callback: Callable[[Exception | None], None]) -> None:
        """Call back once: with None when the write is durable, with the reason when it is lost."""
        if self._is_settled:
            callback(self._error)
        else:
            self._callbacks.append(callback)

    def settle(self, error: Exception | None) -> None:
        """Tell everybody who waits."""
        self._is_settled, self._error = True, error
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(error)
        self.settle_answers(error)

    def seal(self, turn: int, project: Projection) -> WorkflowWrite:
        """Encode it. The execution's version moves on with each sealing."""
        execution = self.execution
        execution.version += 1
        newest = self.runs[-1]
        execution.rows |= newest.offers.keys()
        execution.rows -= newest.rows_deleted
        return WorkflowWrite(
            namespace=self.namespace.number,
            workflow_id=execution.key[1],
            runs=[self._seal_run(pending, turn, project) for pending in self.runs],
            current=newest.number if newest.is_new else None,
            outbox_put=[_outbox_row(outgoing) for outgoing in self.outbox],
            outbox_deleted=self.outbox_deleted,
            kind=execution.key[2],
            runs_deleted=[pending.number for pending in self.runs if pending.is_deleted],
        )

    def _seal_run(self, pending: PendingRun, turn: int, project: Projection) -> RunWrite:
        run, machine = pending.run, self.execution.machine
        write = RunWrite(
            run=pending.number,
            version=self.execution.version,
            turn=turn,
            head=seal(machine.encode_head(run)),
            wake_at_ns=run.wake_at_ns or None,
            held=machine.held(run),
            history=[
                HistoryBatch(
                    batch.first_event_id,
                    batch.last_event_id,
                    len(batch.entries),
                    seal(batch.entries),
                )
                for batch in pending.batches
            ],
            dispatch_put=[
                _dispatch_row(self.namespace, pending.number, offer)
                for offer in pending.offers.values()
            ],
            dispatch_deleted=list(pending.rows_deleted),
        )
        if pending.is_new:
            write.is_copy = pending.is_copy
            write.insert = RunIdentity(
                self.namespace.number,
                self.execution.key[1],
                bytes.fromhex(run.run_id.replace("-", "")),
                self.execution.key[2],
            )
        for kind, key in pending.touched:
            content = machine.encode_record(run, kind, key)
            if content is not None:
                name = machine.record_key(kind, key)
                write.records_put.append(Record(kind, name, seal(content)))
            elif not pending.is_new:
                write.records_deleted.append((kind, machine.record_key(kind, key)))
        if pending.visibility_changed:
            write.visibility = project(self.namespace, self.execution.key[1], run)
        return write


def _outbox_row(outgoing: Outgoing) -> OutboxRow:
    content = encode_envelope(
        outgoing.namespace, outgoing.kind, outgoing.workflow_id, outgoing.message
    )
    return OutboxRow(outgoing.sequence, outgoing.run, seal(content))


def _dispatch_row(namespace: NamespaceRef, run: RunNumber, offer: OfferTask) -> DispatchRow:
    return DispatchRow(
        run=run,
        event_id=offer.scheduled_event_id,
        namespace=namespace.number,
        queue=offer.queue,
        kind=offer.kind,
        priority=offer.priority,
        ready_at_ns=offer.ready_at_ns,
        stamp=offer.stamp,
        directive=offer.sticky_for.encode() or offer.directive,
    )
