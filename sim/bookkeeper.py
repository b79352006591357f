"""What each commit does besides changing runs: messages that are sent and settled, and runs that
are deleted. It sees the store before and after, and writes what it sees into the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perdure.server.engine.pipeline import run_of
from perdure.server.machines.ports import Kind
from perdure.server.machines.registry import decode_envelope
from perdure.server.store.codec import unseal
from perdure.server.store.ports import LoadedRun, OutboxRow, WorkflowWrite
from sim.ledger import Deletion, Ledger, Sent, Settled


class Bookkeeper:
    """Writes down what becomes of messages, and which runs go."""

    def __init__(self, ledger: Ledger, now_ns: Callable[[], int]) -> None:
        self._ledger = ledger
        self._now_ns = now_ns
        self._latest_ns = 0
        self._keys: dict[int, str] = {}
        """Whose each run is."""

    def look_at_clock(self) -> None:
        """The clock is about to be set, or was set a moment ago."""
        self._latest_ns = max(self._latest_ns, self._now_ns())

    def written(
        self,
        write: WorkflowWrite,
        rows: Mapping[int, OutboxRow],
        deleted: list[LoadedRun],
    ) -> None:
        """A write is durable; `rows` are the messages before it, `deleted` the runs that went."""
        self.look_at_clock()
        numbers = {run.run for run in write.runs}
        self._keys.update(dict.fromkeys(numbers, _key_of(write)))
        for run in write.runs:
            self._ledger.born.setdefault(run.run, len(self._ledger.born))
        for row in write.outbox_put:
            self._ledger.sent[row.sequence] = Sent(row.run, row.run in numbers)
        for sequence in write.outbox_deleted:
            row_before = rows.get(sequence)
            if row_before is None:
                self._ledger.settled.append(Settled(sequence, "", "", _key_of(write)))
                continue
            source = self._keys.get(row_before.run, "")
            settled = Settled(sequence, _target_of(row_before), source, _key_of(write))
            self._ledger.settled.append(settled)
        for loaded in deleted:
            kind = Kind(loaded.identity.kind)
            if kind is Kind.WORKFLOW:
                recorded: Any = run_of(loaded).recorded
                is_asked = write.workflow_id in self._ledger.deleting
                self._forget(recorded.run_id, recorded.close_time_ns, is_asked=is_asked)
                self._ledger.forgotten.add(write.workflow_id)
            elif kind in (Kind.ACTIVITY, Kind.NEXUS_OPERATION):
                head: Any = run_of(loaded).head
                self._forget(head.run_id, head.close_time_ns)
                self._ledger.forgotten.add(write.workflow_id)

    def _forget(self, run_id: str, close_time_ns: int, *, is_asked: bool = False) -> None:
        is_asked = is_asked or run_id in self._ledger.deleted
        self._ledger.deletions.append(Deletion(run_id, close_time_ns, self._latest_ns, is_asked))
        self._ledger.deleted[run_id] = True


def _key_of(write: WorkflowWrite) -> str:
    return f"{write.kind} {write.workflow_id}" if write.runs or write.runs_deleted else ""


def _target_of(row: OutboxRow) -> str:
    envelope = decode_envelope(unseal(row.blob))
    return f"{envelope.kind.value} {envelope.id}"
