"""A run that one SDK has begun is continued by the other, and handed back, at every step."""

from __future__ import annotations

import uuid
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from temporalio.client import Client as OfficialClient
from temporalio.worker import Replayer as OfficialReplayer
from temporalio.worker import UnsandboxedWorkflowRunner
from temporalio.worker import Worker as OfficialWorker

from perdure.client import Client
from perdure.client import WorkflowHistory as OwnHistory
from perdure.worker import Replayer, Worker
from tests.interop.stage import silent_runtime
from tests.sdk import handover_programs as programs
from tests.sdk.homes import Homes
from tests.sdk.translated import translated

own_programs: Any = translated(programs.__name__)


def official_worker(client: OfficialClient, queue: str) -> AbstractAsyncContextManager[Any]:
    """Keeps no runs, so each task begins with the history that others have written."""
    return OfficialWorker(
        client,
        task_queue=queue,
        workflows=[programs.HandedOver, programs.Below],
        activities=[programs.echo, programs.fail_once, programs.refuse],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=0,
    )


def own_worker(client: Client, queue: str) -> AbstractAsyncContextManager[Any]:
    """Ours, in the same way."""
    return Worker(
        client,
        task_queue=queue,
        workflows=[own_programs.HandedOver, own_programs.Below],
        activities=[own_programs.echo, own_programs.fail_once, own_programs.refuse],
        max_cached_workflows=0,
    )


@pytest.mark.parametrize(
    "home", ["ours", pytest.param("real", marks=pytest.mark.interop)], indirect=True
)
@pytest.mark.parametrize("first", ["official", "own"])
async def test_either_sdk_goes_on_where_the_other_has_left_off(
    home: str, homes: Homes, first: str
) -> None:
    address = homes.address(home)
    official = await OfficialClient.connect(address, runtime=silent_runtime())
    own = await Client.connect(address)
    queue = uuid.uuid4().hex
    handle = await official.start_workflow(programs.HandedOver.run, id=queue, task_queue=queue)
    steps = len(programs.STEPS)
    for number in range(steps):
        is_official = (number % 2 == 0) == (first == "official")
        worker = official_worker(official, queue) if is_official else own_worker(own, queue)
        async with worker:
            await handle.signal(programs.HandedOver.go)
            await handle.execute_update(programs.HandedOver.reach, number + 1)
            assert await handle.query(programs.HandedOver.seen) == number + 1
    async with own_worker(own, queue) if first == "own" else official_worker(official, queue):
        result = await handle.result()
    chosen = result.pop(3)
    assert len(chosen.split()[1]) == 36
    assert result == ["abcde", "abc", "late", "True", "started", "word", "7"]
    history = await handle.fetch_history()
    replayer = OfficialReplayer(
        workflows=[programs.HandedOver], workflow_runner=UnsandboxedWorkflowRunner()
    )
    await replayer.replay_workflow(history)
    await Replayer(workflows=[own_programs.HandedOver]).replay_workflow(
        OwnHistory.from_json(queue, history.to_json())
    )
    await own.service_client.close()
