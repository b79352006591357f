"""From the writes of a commit to rows: one list of parameters per statement.

Several writes may touch one row; the last one counts, as if they had been carried out one by one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from perdure.server.store.ports import RunNumber, RunWrite, VisibilityRow, WorkflowWrite

Parameters = tuple[object, ...]


class RowRefused(Exception):
    """A write that contradicts itself or what is stored; the message says how."""


class Rows:
    """The parameters of every statement that a group needs, and the highest numbers in it."""

    __slots__ = (
        "_build_lists",
        "attributes_deleted",
        "attributes_put",
        "build_lists_unknown",
        "dispatch_deleted",
        "dispatch_put",
        "history",
        "inserts",
        "made_current",
        "outbox_deleted",
        "outbox_max",
        "outbox_put",
        "records_deleted",
        "records_put",
        "run_max",
        "runs_completed",
        "runs_deleted",
        "turn_max",
        "uncurrent",
        "updates",
        "visible_updates",
    )

    def __init__(
        self, shard: int, writes: Sequence[WorkflowWrite], build_lists: Mapping[str, int]
    ) -> None:
        self._build_lists = build_lists
        self.build_lists_unknown: set[str] = set()
        self.history: list[Parameters] = []
        self.runs_completed: list[Parameters] = []
        self.runs_deleted: list[Parameters] = []
        self.run_max = self.turn_max = self.outbox_max = 0
        current: dict[tuple[int, str, int], RunNumber] = {}
        runs: dict[RunNumber, _MergedRun] = {}
        records: dict[tuple[RunNumber, int, bytes], bytes | None] = {}
        dispatch: dict[tuple[RunNumber, int], Parameters | None] = {}
        outbox: dict[int, Parameters | None] = {}
        for write in writes:
            for run_write in write.runs:
                merged = runs.get(run_write.run)
                if merged is None:
                    runs[run_write.run] = _MergedRun(write, run_write)
                else:
                    merged.follow(run_write)
                self._gather_parts(run_write, records, dispatch)
            self.runs_deleted += [(number,) for number in write.runs_deleted]
            if write.current is not None:
                current[write.namespace, write.workflow_id, write.kind] = write.current
            if write.outbox_put or write.outbox_deleted:
                self._gather_outbox(shard, write, outbox)
        self._place_runs(shard, runs, current)
        self.records_put = [(*key, blob) for key, blob in records.items() if blob is not None]
        self.records_deleted = [key for key, blob in records.items() if blob is None]
        self.dispatch_put = [row for row in dispatch.values() if row is not None]
        self.dispatch_deleted = [key for key, row in dispatch.items() if row is None]
        self.outbox_put = [row for row in outbox.values() if row is not None]
        self.outbox_deleted = [(sequence,) for sequence, row in outbox.items() if row is None]

    def _gather_parts(
        self,
        write: RunWrite,
        records: dict[tuple[RunNumber, int, bytes], bytes | None],
        dispatch: dict[tuple[RunNumber, int], Parameters | None],
    ) -> None:
        run = write.run
        if write.is_copy:
            self.runs_completed.append((run,))
        for batch in write.history:
            self.history.append(
                (run, batch.first_event_id, batch.last_event_id, batch.size_bytes, batch.blob)
            )
        if write.records_put and write.records_deleted:
            put = {(record.kind, record.key) for record in write.records_put}
            if not put.isdisjoint(write.records_deleted):
                raise RowRefused(f"run {run} has a record both put and deleted")
        for record in write.records_put:
            records[run, record.kind, record.key] = record.blob
        for kind, key in write.records_deleted:
            records[run, kind, key] = None
        for row in write.dispatch_put:
            dispatch[row.run, row.event_id] = (
                row.run, row.event_id, row.namespace, row.queue, row.kind,
                row.priority, row.ready_at_ns, row.stamp, row.directive,
            )  # fmt: skip
        for event_id in write.dispatch_deleted:
            dispatch[run, event_id] = None

    def _gather_outbox(
        self, shard: int, write: WorkflowWrite, outbox: dict[int, Parameters | None]
    ) -> None:
        for row in write.outbox_put:
            if outbox.get(row.sequence) is not None:
                raise RowRefused("an outbox sequence is in use already")
            outbox[row.sequence] = (row.sequence, shard, row.run, row.blob)
            self.outbox_max = max(self.outbox_max, row.sequence)
        for sequence in write.outbox_deleted:
            outbox[sequence] = None

    def _place_runs(
        self,
        shard: int,
        runs: dict[RunNumber, _MergedRun],
        current: dict[tuple[int, str, int], RunNumber],
    ) -> None:
        self.uncurrent: list[Parameters] = []
        self.inserts: list[Parameters] = []
        self.updates: list[Parameters] = []
        self.visible_updates: list[Parameters] = []
        self.attributes_deleted: list[Parameters] = []
        self.attributes_put: list[Parameters] = []
        made_current: set[RunNumber] = set()
        for (namespace, workflow_id, kind), number in current.items():
            self.uncurrent.append((namespace, workflow_id, kind))
            made_current.add(number)
        for number, merged in runs.items():
            last, seen = merged.last, merged.visibility
            identity = merged.insert
            self.run_max = max(self.run_max, number)
            self.turn_max = max(self.turn_max, merged.turn_max)
            state = (last.version, last.turn, last.wake_at_ns, last.held)
            if identity is not None:
                self.inserts.append(
                    (number, shard, identity.namespace, number in made_current, *state,
                     identity.workflow_id, identity.run_id, last.head,
                     *self._visible(seen, merged.kind), identity.kind)
                )  # fmt: skip
                made_current.discard(number)
            elif seen is None:
                self.updates.append((*state, last.head, number))
            else:
                self.visible_updates.append(
                    (*state, last.head, *self._visible(seen, merged.kind), number)
                )
                self.attributes_deleted.append((number,))
            if seen is not None and seen.attributes:
                place = (-merged.kind or seen.status, seen.close_time_ns or seen.start_time_ns)
                self.attributes_put += [
                    (merged.namespace, *attribute, *place, number) for attribute in seen.attributes
                ]
        self.made_current: list[Parameters] = [(number,) for number in made_current]

    def _visible(self, row: VisibilityRow | None, kind: int) -> Parameters:
        if row is None:
            return (None,) * 15
        return (
            row.status, row.start_time_ns,
            -row.close_time_ns or None if kind else row.close_time_ns,
            row.workflow_type,
            row.execution_time_ns or None, row.task_queue, row.history_length or None,
            row.history_size_bytes or None, row.state_transitions or None,
            row.parent_workflow_id or None, row.parent_run_id or None,
            row.root_workflow_id or None, row.root_run_id or None,
            *(self._build_list(row.build_ids) if row.build_ids else (None, None)),
        )  # fmt: skip

    def _build_list(self, build_ids: tuple[str, ...]) -> Parameters:
        """The list itself, or the number under which it is known."""
        text = json.dumps(build_ids)
        number = self._build_lists.get(text)
        if number is not None:
            return (None, number)
        self.build_lists_unknown.add(text)
        return (text, None)


class _MergedRun:
    """What the writes of one run in a group come to."""

    __slots__ = ("insert", "kind", "last", "namespace", "turn_max", "visibility")

    def __init__(self, write: WorkflowWrite, first: RunWrite) -> None:
        self.namespace = write.namespace
        self.kind = write.kind
        self.insert = first.insert
        self.last = first
        self.visibility = first.visibility
        self.turn_max = first.turn

    def follow(self, later: RunWrite) -> None:
        """Let a later write of the same run count."""
        if later.insert is not None:
            raise RowRefused(f"run {later.run} exists already")
        self.last = later
        self.turn_max = max(self.turn_max, later.turn)
        if later.visibility is not None:
            self.visibility = later.visibility
