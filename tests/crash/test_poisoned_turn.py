"""A turn that cannot be written fails alone: others of its group do not notice.

The database itself refuses it: a trigger, which the server knows nothing of.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from pathlib import Path

import apsw
import msgspec
import pytest
from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import EventType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    GetSystemInfoRequest,
    GetSystemInfoResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from perdure.server.store.faulty import FaultyStore
from perdure.server.store.ports import Commit, CommitResult, Store
from perdure.server.store.sqlite import open_sqlite
from tests.crash.connection import Connection, ServerAway
from tests.crash.in_process import serving
from tests.crash.program import WORKFLOW_TYPE, Plan, payloads
from tests.crash.reading import NAMESPACE, read_history

POISONED = "poisoned"
HEALTHY = [f"healthy-{number}" for number in range(8)]


class RecordingStore(FaultyStore):
    """Knows which workflows were handed over together."""

    def __init__(self, inner: Store, delay: Callable[[], Awaitable[None]]) -> None:
        super().__init__(inner, delay=delay)
        self.groups: list[set[str]] = []

    async def commit(self, commit: Commit) -> CommitResult:
        """As the inner store."""
        self.groups.append({write.workflow_id for write in commit.writes})
        return await super().commit(commit)


class Stage:
    """A server whose commits wait while `gate` is closed, so that a test decides what is in one
    group."""

    def __init__(self, database: Path, store: RecordingStore, gate: asyncio.Event) -> None:
        self._database = database
        self._store = store
        self._gate = gate
        self.connection: Connection

    def poison(self, operation: str) -> None:
        """Let the database refuse an operation on the run of the poisoned workflow."""
        self._execute(
            f"CREATE TRIGGER poison BEFORE {operation} ON perdure_run"
            f" WHEN new.workflow_id = '{POISONED}'"
            " BEGIN SELECT RAISE(ABORT, 'refused on purpose'); END"
        )

    def heal(self) -> None:
        """Let it accept everything again."""
        self._execute("DROP TRIGGER poison")

    def _execute(self, sql: str) -> None:
        connection = apsw.Connection(str(self._database))
        try:
            connection.execute(sql)
        finally:
            connection.close()

    @contextlib.asynccontextmanager
    async def one_group(self, workflow_ids: Iterable[str]) -> AsyncIterator[None]:
        """What is begun inside is decided while a commit is under way, so it is one group."""
        self._gate.clear()
        first = asyncio.create_task(self.start("the commit that is under way"))
        await self._heard()
        yield
        await self._heard()
        self._gate.set()
        await first
        await self.start("the next commit")
        assert any(group.issuperset(workflow_ids) for group in self._store.groups)

    async def _heard(self) -> None:
        """Everything that was sent before on this connection has been decided on."""
        for _ in range(3):
            await self.connection.call(GetSystemInfoRequest(), GetSystemInfoResponse)

    async def start(self, workflow_id: str) -> str:
        """Start a workflow; its run id."""
        request = StartWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_id=workflow_id,
            workflow_type=WorkflowType(name=WORKFLOW_TYPE),
            task_queue=TaskQueue(name="queue"),
            input=payloads(msgspec.json.encode(Plan())),
            request_id=f"start {workflow_id}",
        )
        return (await self.connection.call(request, StartWorkflowExecutionResponse)).run_id

    async def signal(self, workflow_id: str) -> None:
        """Signal a workflow, always with the same request id."""
        request = SignalWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            signal_name="go",
            request_id=f"signal {workflow_id}",
        )
        await self.connection.call(request, SignalWorkflowExecutionResponse)

    async def poll(self) -> str:
        """The workflow id of the next workflow task."""
        request = PollWorkflowTaskQueueRequest(
            namespace=NAMESPACE, task_queue=TaskQueue(name="queue")
        )
        task = await self.connection.call(request, PollWorkflowTaskQueueResponse)
        return task.workflow_execution.workflow_id

    async def signals_of(self, workflow_id: str) -> int:
        """How many signals are in its history."""
        events = await read_history(self.connection, workflow_id, "")
        wanted = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
        return sum(event.event_type == wanted for event in events)


@contextlib.asynccontextmanager
async def _stage(database: Path) -> AsyncIterator[Stage]:
    gate = asyncio.Event()
    gate.set()

    async def delay() -> None:
        await gate.wait()

    store = RecordingStore(open_sqlite(database), delay)
    stage = Stage(database, store, gate)
    async with serving(store) as server:
        stage.connection = Connection(server.port)
        yield stage
        gate.set()
        await stage.connection.close()


@pytest.mark.crash
async def test_a_refused_signal_fails_alone_and_can_be_sent_again(tmp_path: Path) -> None:
    async with _stage(tmp_path / "perdure.db") as stage:
        everybody = [*HEALTHY[:4], POISONED, *HEALTHY[4:]]
        for workflow_id in everybody:
            await stage.start(workflow_id)
        stage.poison("UPDATE")
        async with stage.one_group(everybody):
            signals = [asyncio.create_task(stage.signal(name)) for name in everybody]
        outcomes = await asyncio.gather(*signals, return_exceptions=True)
        failed = {
            name: outcome
            for name, outcome in zip(everybody, outcomes, strict=True)
            if outcome is not None
        }
        assert failed.keys() == {POISONED}
        assert isinstance(failed[POISONED], ServerAway)
        assert str(failed[POISONED]).startswith("UNAVAILABLE")
        assert [await stage.signals_of(name) for name in HEALTHY] == [1] * len(HEALTHY)
        assert await stage.signals_of(POISONED) == 0
        stage.heal()
        await stage.signal(POISONED)
        await stage.signal(POISONED)
        assert await stage.signals_of(POISONED) == 1


@pytest.mark.crash
async def test_a_poll_that_was_matched_with_a_refused_start_gets_another_task(
    tmp_path: Path,
) -> None:
    async with _stage(tmp_path / "perdure.db") as stage:
        async with asyncio.TaskGroup() as group:
            # One gets the task of the commit that is under way.
            polls = [group.create_task(stage.poll()) for _ in range(2)]
            stage.poison("INSERT")
            async with stage.one_group((POISONED, "healthy")):
                refused = group.create_task(_refusal(stage.start(POISONED)))
                accepted = group.create_task(stage.start("healthy"))
        assert (await refused).startswith("UNAVAILABLE")
        assert await accepted
        assert {await poll for poll in polls} == {"the commit that is under way", "healthy"}
        stage.heal()
        assert await stage.start(POISONED)
        polled = {await stage.poll() for _ in range(2)}
        assert POISONED in polled


async def _refusal(call: Coroutine[object, object, object]) -> str:
    with pytest.raises(ServerAway) as refused:
        await call
    return str(refused.value)
