"""SQLite does what the reference model does, whatever is written and read, in whatever order."""

from __future__ import annotations

import asyncio
import operator
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure.server.store.memory import MemoryStore
from perdure.server.store.ports import (
    BacklogCursor,
    Commit,
    DispatchRow,
    HistoryBatch,
    LeaseLost,
    NamedRow,
    OutboxRow,
    QueueKey,
    Record,
    RunIdentity,
    RunWrite,
    Store,
    VisibilityCursor,
    WorkflowWrite,
)
from perdure.server.store.sqlite import SqliteSettings, open_sqlite
from tests.store.rows import SHARD, run_id, shown

RUN_MAX = 6
RUNS = st.integers(1, RUN_MAX)
SMALL = st.integers(0, 5)
TIMES_SHOWN = st.integers(0, 2)
SHOWN = st.builds(shown, TIMES_SHOWN, TIMES_SHOWN)
TIMES = st.one_of(st.none(), st.integers(0, 5))
BLOBS = st.binary(max_size=6)
WORKFLOWS = [(1, "a"), (1, "ä"), (2, "a")]
RECORD_KEYS = st.tuples(st.integers(1, 2), st.sampled_from([b"", b"k"]))
ROWS_MAX = RUN_MAX * 6 + 1
"""Of a kind: that many pages have no end."""
QUEUES = [
    QueueKey(namespace, queue, kind)
    for namespace in (1, 2)
    for queue in ("q", "r")
    for kind in (1, 2)
]


@st.composite
def run_writes(draw: st.DrawFn, workflow: tuple[int, str], new: bool) -> RunWrite:
    """Any write of a run: also ones that must be refused."""
    run = draw(RUNS)
    put = draw(st.dictionaries(RECORD_KEYS, BLOBS, max_size=3))
    visible = draw(st.booleans())
    return RunWrite(
        run=run,
        version=draw(SMALL),
        turn=draw(SMALL),
        head=draw(BLOBS),
        insert=RunIdentity(*workflow, run_id(run)) if new else None,
        wake_at_ns=draw(TIMES),
        held=draw(st.integers(0, 3)),
        records_put=[Record(*key, blob) for key, blob in put.items()],
        records_deleted=draw(st.lists(RECORD_KEYS, max_size=2)),
        history=[
            # As in any history no two overlap; one that is there already must be refused.
            HistoryBatch(
                5 * place, 5 * place + draw(st.integers(0, 4)), 1 + draw(SMALL), draw(BLOBS)
            )
            for place in draw(st.lists(SMALL, max_size=2))
        ],
        visibility=draw(SHOWN) if visible else None,
        dispatch_put=[
            DispatchRow(
                run, event, queue.namespace, queue.queue, queue.kind, draw(SMALL), draw(SMALL), 1
            )
            for event, queue in draw(
                st.lists(st.tuples(SMALL, st.sampled_from(QUEUES)), max_size=2)
            )
        ],
        dispatch_deleted=draw(st.lists(SMALL, max_size=1)),
    )


@st.composite
def workflow_writes(draw: st.DrawFn) -> WorkflowWrite:
    """Any write of a workflow."""
    workflow = draw(st.sampled_from(WORKFLOWS))
    runs = [draw(run_writes(workflow, new)) for new in draw(st.lists(st.booleans(), max_size=2))]
    return WorkflowWrite(
        *workflow,
        runs=runs,
        current=draw(st.one_of(st.none(), st.sampled_from([write.run for write in runs])))
        if runs
        else None,
        outbox_put=[OutboxRow(sequence, 1, b"x") for sequence in draw(st.lists(SMALL, max_size=2))],
        outbox_deleted=draw(st.lists(SMALL, max_size=1)),
    )


class Stores(RuleBasedStateMachine):
    """Two stores, written alike."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        # Not `Runner.run`, which watches for Ctrl-C: that is half of what such short calls take.
        self.run = self.runner.get_loop().run_until_complete
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "perdure.db"
        self.settings = SqliteSettings(synchronous="OFF", checkpoint_bytes=50_000)
        self.model: Store = MemoryStore()
        self.sqlite: Store = open_sqlite(self.path, settings=self.settings)
        self.fence = self.both("acquire", SHARD)
        self.owners: dict[int, tuple[int, str]] = {}
        self.events = 10
        self.sequence = 10

    def teardown(self) -> None:
        self.run(self.sqlite.close())
        self.runner.close()
        self.folder.cleanup()

    def both(self, method: str, *arguments: Any) -> Any:
        """The answer of both stores, which must be one."""

        async def ask(store: Store) -> Any:
            try:
                return await getattr(store, method)(*arguments)
            except LeaseLost as error:
                return str(error)

        expected, found = self.run(ask(self.model)), self.run(ask(self.sqlite))
        assert found == expected, method
        return expected

    @rule(
        writes=st.lists(workflow_writes(), max_size=4),
        stale=st.integers(0, 9),
        honest=st.integers(0, 3),
    )
    def commit(self, writes: list[WorkflowWrite], stale: int, honest: int) -> None:
        fence = self.fence
        if stale == 0:
            self.fence = self.both("acquire", SHARD)
        # A run belongs to one workflow for good, and so does its place as the current one.
        known = dict(self.owners)
        for write in writes:
            owner = (write.namespace, write.workflow_id)
            before = set(known)
            write.runs = [run for run in write.runs if known.setdefault(run.run, owner) == owner]
            if honest:
                self._make_honest(write, before)
            if write.current not in {run.run for run in write.runs}:
                write.current = None
        commit = Commit(fence, writes)
        expected = self.run(self._poisoned(self.model, commit))
        assert self.run(self._poisoned(self.sqlite, commit)) == expected
        if expected is not None:
            for index, write in enumerate(writes):
                for run in write.runs if index not in expected else ():
                    self.owners.setdefault(run.run, (write.namespace, write.workflow_id))

    def _make_honest(self, write: WorkflowWrite, known: set[int]) -> None:
        """Take out what would have the write refused, in most cases."""
        for run in write.runs:
            identity = RunIdentity(write.namespace, write.workflow_id, run_id(run.run))
            run.insert = None if run.run in known else identity
            known.add(run.run)
            put = {(record.kind, record.key) for record in run.records_put}
            run.records_deleted = [key for key in run.records_deleted if key not in put]
            self.events += 7
            run.history = [
                HistoryBatch(self.events, self.events + 6, one.size_bytes, one.blob)
                for one in run.history[:1]
            ]
        self.sequence += 1
        write.outbox_put = [OutboxRow(self.sequence, 1, b"x") for _ in write.outbox_put[:1]]

    async def _poisoned(self, store: Store, commit: Commit) -> set[int] | None:
        """Which writes were refused; None when all were, for the fence. Reasons may differ."""
        try:
            return set((await store.commit(commit)).poisoned)
        except LeaseLost:
            return None

    @rule(name=st.sampled_from(["a", "b"]), blob=BLOBS)
    def put_namespace(self, name: str, blob: bytes) -> None:
        self.both("put_namespace", name, blob)

    @rule(queue=st.sampled_from(QUEUES), blob=BLOBS)
    def put_queue_config(self, queue: QueueKey, blob: bytes) -> None:
        self.both("put_queue_config", queue, blob)
        self.both("queue_configs")

    @rule(name=st.sampled_from(["a", "b"]), kind=st.integers(1, 2), blob=st.none() | BLOBS)
    def put_or_delete_named(self, name: str, kind: int, blob: bytes | None) -> None:
        if blob is None:
            self.both("delete_named", kind, 1, name)
        else:
            self.both("put_named", NamedRow(kind, 1, name, blob))
        self.both("named", kind)

    @precondition(lambda self: self.owners)
    @rule()
    def reopen(self) -> None:
        self.run(self.sqlite.close())
        self.sqlite = open_sqlite(self.path, settings=self.settings)

    @invariant()
    def runs_are_equal(self) -> None:
        self.both("run_versions", range(1, RUN_MAX + 1))
        numbers = self.run(self.sqlite.last_numbers())
        used = self.run(self.model.last_numbers())
        assert all(map(operator.ge, numbers, used)), (numbers, used)
        for run in range(1, RUN_MAX + 1):
            self.both("load_number", run)
            self.both("load_run", *self.owners.get(run, (1, "a")), run_id(run))
        for workflow in WORKFLOWS:
            self.both("load_current", *workflow)
            assert self.sqlite.absent(*workflow) == self.model.absent(*workflow)

    @rule(first=st.integers(0, 60), last=st.integers(0, 60), limit=st.integers(0, 20))
    def history_is_equal(self, first: int, last: int, limit: int) -> None:
        for run in self.owners:
            self.both("read_history", run, first, last, limit)

    @rule(limit=st.integers(1, 5), until=SMALL)
    def indexes_are_equal(self, limit: int, until: int) -> None:
        self.both("due", SHARD, until, limit)
        self.both("next_wake", SHARD)
        self.both("outbox", until, limit)
        self.both("started_runs", until, limit)
        for what in (1, 2, 3):
            self.both("runs_held", SHARD, what, until, limit)
        self.both("namespaces")
        self.both("queues_with_backlog")
        self.both("queue_configs")
        self.both("named", 1)
        for queue in QUEUES:
            self.both("backlog_parts", queue)
            after = None
            pages = 0
            while page := self.both("backlog", queue, after, limit):
                assert (pages := pages + 1) < ROWS_MAX
                last = page[-1]
                after = BacklogCursor(last.priority, last.ready_at_ns, last.run, last.event_id)
        for namespace in (1, 2):
            place: VisibilityCursor | None = None
            pages = 0
            while place := self.both("list_executions", namespace, place, limit).next:
                assert (pages := pages + 1) < ROWS_MAX


Stores.TestCase.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
TestStores = Stores.TestCase
