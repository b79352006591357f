"""Records histories of `replay_programs.py` as the official SDK writes them on the real server.

    python -m tests.sdk.replay_record       writes them to tests/sdk/replay_histories/

`test_replay_official.py` records them anew; the stored ones are replayed in every run of the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import nexusrpc
import nexusrpc.handler
from google.protobuf.json_format import MessageToJson, Parse
from temporalio import activity, nexus
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, IndexedValueType
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    CreateNexusEndpointRequest,
)
from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.interop.servers import server
from tests.interop.stage import Stage, next_run_id, silent_runtime
from tests.sdk import replay_programs as programs

# They tell where the machine that recorded keeps its files.
_STACK_TRACE = re.compile(r'"stackTrace": "(?:[^"\\]|\\.)*"')

STORED = Path(__file__).with_name("replay_histories")


@activity.defn
async def echo(word: str) -> str:
    """The word."""
    return word


@activity.defn
async def hang() -> str:
    """Until it is cancelled."""
    while True:
        await asyncio.sleep(0.05)
        activity.heartbeat()


@activity.defn
async def fail(reason: str) -> None:
    """Fails."""
    raise ApplicationError(reason, {"reason": reason}, type="Failed")


WORKFLOWS = [
    programs.Gathers,
    programs.Randoms,
    programs.Signalled,
    programs.Updated,
    programs.CleansUp,
    programs.CancelsItself,
    programs.Branches,
    programs.Continues,
    programs.Child,
    programs.Parent,
    programs.FailsByKey,
    programs.FailsByActivity,
    programs.Compensates,
    programs.CallsOperations,
]


@nexusrpc.handler.service_handler(name="Replayed")
class Operations:
    """What `CallsOperations` calls."""

    @nexusrpc.handler.sync_operation
    async def answer(self, ctx: nexusrpc.handler.StartOperationContext, word: str) -> str:
        """The word."""
        return word

    @nexusrpc.handler.sync_operation
    async def refuse(self, ctx: nexusrpc.handler.StartOperationContext, word: str) -> str:
        """Fails."""
        raise nexusrpc.OperationError(word, state=nexusrpc.OperationErrorState.FAILED)

    @nexus.workflow_run_operation
    async def go_on(
        self, ctx: nexus.WorkflowRunOperationContext, kind: str
    ) -> nexus.WorkflowHandle[str]:
        """A workflow that ends, or waits for ever."""
        return await ctx.start_workflow(programs.Child.run, kind, id=f"go-on-{ctx.request_id}")


RunWorker = Callable[[Client, str], AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def official_worker(
    client: Client, queue: str, workflows: Sequence[type] = WORKFLOWS
) -> AsyncIterator[None]:
    """A worker of the official SDK; without workflows, for the activities alone."""
    async with Worker(
        client,
        task_queue=queue,
        workflows=workflows,
        activities=[echo, hang, fail],
        nexus_service_handlers=[Operations()],
        workflow_runner=UnsandboxedWorkflowRunner(),
        default_heartbeat_throttle_interval=programs.SOON,
        max_heartbeat_throttle_interval=programs.SOON,
    ):
        yield


class Recorder:
    """Runs workflows one by one and keeps the history of every run."""

    def __init__(self, client: Client, worker: RunWorker) -> None:
        self.client = client
        self._worker = worker
        self.stage = Stage(client, "record")
        self.queue = f"record-{uuid.uuid4().hex[:8]}"
        self.histories: dict[str, list[HistoryEvent]] = {}

    def worker(self) -> AbstractAsyncContextManager[None]:
        """Runs the worker that is recorded."""
        return self._worker(self.client, self.queue)

    async def start(self, workflow: Any, *args: Any, name: str) -> WorkflowHandle[Any, Any]:
        """Starts a workflow."""
        handle: WorkflowHandle[Any, Any] = await self.client.start_workflow(
            workflow, args=args, id=f"{name}-{uuid.uuid4().hex[:8]}", task_queue=self.queue
        )
        return handle

    async def until_scheduled(self, handle: WorkflowHandle[Any, Any]) -> None:
        """Waits until an activity has been scheduled."""
        await self.stage.event(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)

    async def keep(self, name: str, handle: WorkflowHandle[Any, Any]) -> None:
        """Waits for the end of the chain of runs and keeps the history of each."""
        with contextlib.suppress(WorkflowFailureError):
            await handle.result()
        run_id = handle.first_execution_run_id or ""
        number = 0
        while run_id:
            run = WorkflowExecution(workflow_id=handle.id, run_id=run_id)
            events = await self.stage.fetch(run)
            number += 1
            self.histories[f"{name}-{number}"] = events
            run_id = next_run_id(events[-1])


async def record(
    address: str, worker: RunWorker = official_worker
) -> dict[str, list[HistoryEvent]]:
    """The histories of all programs, by name."""
    client = await Client.connect(address, runtime=silent_runtime())
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes={"CustomKeywordField": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD},
        )
    )
    recorder = Recorder(client, worker)
    target = EndpointTarget.Worker(namespace=client.namespace, task_queue=recorder.queue)
    await client.operator_service.create_nexus_endpoint(
        CreateNexusEndpointRequest(
            spec=EndpointSpec(name=ENDPOINT, target=EndpointTarget(worker=target))
        )
    )
    async with recorder.worker():
        await asyncio.gather(
            _plain(recorder),
            _signals(recorder),
            _updates(recorder),
            *(_cleanup(recorder, kind) for kind in KINDS),
        )
    await _signals_before_the_first_task(recorder)
    return recorder.histories


KINDS = ("try", "wait", "abandon")
ENDPOINT = "replayed"

_PLAIN: Sequence[tuple[str, Any, tuple[Any, ...]]] = (
    ("gathers", programs.Gathers.run, (5,)),
    ("randoms", programs.Randoms.run, ()),
    ("cancels-itself", programs.CancelsItself.run, ()),
    ("branches", programs.Branches.run, (4,)),
    ("continues", programs.Continues.run, (programs.Order(2, ["begin"]),)),
    ("fails-by-key", programs.FailsByKey.run, ()),
    ("fails-by-activity", programs.FailsByActivity.run, ()),
    ("parent", programs.Parent.run, ()),
    ("child", programs.Child.run, ("echo",)),
    ("compensates", programs.Compensates.run, ()),
    ("calls-operations", programs.CallsOperations.run, (ENDPOINT,)),
)


async def _plain(recorder: Recorder) -> None:
    for name, workflow, args in _PLAIN:
        await recorder.keep(name, await recorder.start(workflow, *args, name=name))


async def _signals(recorder: Recorder) -> None:
    handle = await recorder.start(programs.Signalled.run, name="signalled")
    for word in ("one", "two", "three"):
        await handle.signal(programs.Signalled.add, word)
    await handle.signal("unknown", "word")
    await handle.signal("finish it")
    await recorder.keep("signalled", handle)


async def _updates(recorder: Recorder) -> None:
    handle = await recorder.start(programs.Updated.run, name="updated")
    update = programs.Updated
    await handle.execute_update(update.put, "one", id="put")
    for _ in range(2):
        with contextlib.suppress(WorkflowUpdateFailedError):
            await handle.execute_update(update.put, "", id="refused")
    accepted = WorkflowUpdateStage.ACCEPTED
    slow = [
        await handle.start_update("slowly", word, id=f"slow {word}", wait_for_stage=accepted)
        for word in ("two", "bad")
    ]
    await handle.signal(update.add, "three")
    await handle.execute_update("whatever", args=["a", "b"], id="dynamic")
    for one in slow:
        with contextlib.suppress(WorkflowUpdateFailedError):
            await one.result()
    await recorder.keep("updated", handle)


async def _cleanup(recorder: Recorder, kind: str) -> None:
    handle = await recorder.start(programs.CleansUp.run, kind, name=f"cleans-up-{kind}")
    await recorder.until_scheduled(handle)
    await handle.cancel()
    await recorder.keep(f"cleans-up-{kind}", handle)


async def _signals_before_the_first_task(recorder: Recorder) -> None:
    handle = await recorder.start(programs.Signalled.run, name="signalled-early")
    updated = await recorder.start(programs.Updated.run, name="updated-early")
    await updated.signal(programs.Updated.add, "signal")
    waiting = [
        asyncio.create_task(updated.execute_update(programs.Updated.put, word, id=word))
        for word in ("one", "two", "three")
    ]
    cancelled = await recorder.start(programs.CleansUp.run, "try", name="cancelled-early")
    for word in ("one", "two", "three"):
        await handle.signal(programs.Signalled.add, word)
    await handle.signal("finish it")
    await cancelled.cancel()
    async with recorder.worker():
        await recorder.keep("signalled-early", handle)
        await asyncio.gather(*waiting)
        await recorder.keep("updated-early", updated)
        await recorder.keep("cancelled-early", cancelled)


def stored() -> dict[str, list[HistoryEvent]]:
    """The histories in the repository, by name."""
    return {
        path.stem: list(Parse(path.read_text(), History()).events)
        for path in sorted(STORED.glob("*.json"))
    }


def main() -> None:
    """Writes the stored histories anew."""
    with server("real") as address:
        histories = asyncio.run(record(address))
    STORED.mkdir(exist_ok=True)
    for old in STORED.glob("*.json"):
        old.unlink()
    for name, events in histories.items():
        text = MessageToJson(History(events=events), indent=1)
        text = _STACK_TRACE.sub('"stackTrace": ""', text)
        (STORED / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
