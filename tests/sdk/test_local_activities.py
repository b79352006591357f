"""Local activities: what comes of them, and that both SDKs record and replay the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import temporalio.client
import temporalio.worker
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from perdure import activity, workflow
from perdure.client import WorkflowHistory
from perdure.exceptions import ApplicationError
from perdure.testing import WorkflowEnvironment
from perdure.worker import Replayer, Worker
from tests.sdk import local_activity_programs as theirs
from tests.sdk.local_activity_programs import CASES
from tests.sdk.translated import translated

ours = translated(theirs.__name__)

TASK_TIMEOUT = timedelta(seconds=1)

EXPECTED = {
    "one": "1",
    "several": "[0, 1, 2, 7, 8]",
    "side by side": "['paused 0.05', 2, 7, None]",
    "retried": "3",
    "failed": "ApplicationError: never",
    "given up": "ApplicationError: NotYet: not yet",
    "backing off": "3",
    "timed out": "ActivityError: Local Activity timed out < TimeoutError: Activity timed out",
    "run out": "ActivityError: Local Activity timed out < TimeoutError: Activity timed out",
    "cancelled": ("ActivityError: Local Activity cancelled < CancelledError: Activity cancelled"),
    "cancelled and awaited": (
        "ActivityError: Local Activity cancelled < CancelledError: Cancelled"
    ),
    "cancelled at once": (
        "ActivityError: Local Activity cancelled < CancelledError: Activity cancelled"
    ),
    "kept alive": "paused 1.8",
    "kept alive beside a timer": "['paused 1.2', None, True]",
    "signalled while kept alive": "['paused 1.8', 4]",
}


@pytest.fixture
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_local() as found:
        yield found


async def run_all(client: Any) -> tuple[dict[str, str], dict[str, list[HistoryEvent]]]:
    """The results of all cases, side by side, and their histories."""
    handles = {
        case: await client.start_workflow(
            "Local", case, id=case, task_queue="tests", task_timeout=TASK_TIMEOUT, result_type=str
        )
        for case in CASES
    }
    await asyncio.sleep(0.2)
    await handles["signalled while kept alive"].signal("signal")
    results = await asyncio.gather(*(handle.result() for handle in handles.values()))
    histories = {
        case: [event async for event in handle.fetch_history_events()]
        for case, handle in handles.items()
    }
    return dict(zip(handles, results, strict=True)), histories


async def test_local_activities_come_out_as_with_the_official_sdk_and_replay_there(
    environment: WorkflowEnvironment,
) -> None:
    async with Worker(
        environment.client,
        task_queue="tests",
        workflows=[ours.Local],
        activities=ours.ACTIVITIES,
    ):
        results, histories = await run_all(environment.client)
    assert results == EXPECTED
    replayer = temporalio.worker.Replayer(workflows=[theirs.Local])
    for case, events in histories.items():
        await replayer.replay_workflow(temporalio.client.WorkflowHistory(case, events))
        await Replayer(workflows=[ours.Local]).replay_workflow(WorkflowHistory(case, events))


async def test_local_activities_of_the_official_sdk_replay_here(
    environment: WorkflowEnvironment,
) -> None:
    client = await temporalio.client.Client.connect(
        environment.client.service_client.config.target_host
    )
    async with temporalio.worker.Worker(
        client,
        task_queue="tests",
        workflows=[theirs.Local],
        activities=theirs.ACTIVITIES,
    ):
        results, histories = await run_all(client)
    assert results == EXPECTED
    for case, events in histories.items():
        await Replayer(workflows=[ours.Local]).replay_workflow(WorkflowHistory(case, events))


async def test_a_marker_is_that_of_the_official_sdk(environment: WorkflowEnvironment) -> None:
    async with Worker(
        environment.client,
        task_queue="tests",
        workflows=[ours.Local],
        activities=ours.ACTIVITIES,
    ):
        handle = await environment.client.start_workflow(
            "Local", "one", id="one", task_queue="tests"
        )
        await handle.result()
    [marker] = [
        event
        async for event in handle.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED
    ]
    attributes = marker.marker_recorded_event_attributes
    data = json.loads(attributes.details["data"].payloads[0].data)
    assert attributes.marker_name == "core_local_activity"
    assert attributes.details["result"].payloads[0].data == b"1"
    assert marker.user_metadata.summary.data == b'"A label"'
    assert list(data) == [
        "seq",
        "attempt",
        "activity_id",
        "activity_type",
        "complete_time",
        "backoff",
        "original_schedule_time",
        "activation_index",
    ]
    assert (data["seq"], data["attempt"], data["activity_id"]) == (1, 1, "mine")


async def test_without_a_cache_a_task_begins_its_local_activities_again(
    environment: WorkflowEnvironment,
) -> None:
    async with Worker(
        environment.client,
        task_queue="tests",
        workflows=[ours.Local],
        activities=ours.ACTIVITIES,
        max_cached_workflows=0,
    ):
        results = [
            await environment.client.execute_workflow(
                "Local", case, id=case, task_queue="tests", result_type=str
            )
            for case in ("several", "side by side", "backing off")
        ]
    assert results == [EXPECTED[case] for case in ("several", "side by side", "backing off")]


@activity.defn
def in_a_thread() -> str:
    info = activity.info()
    activity.heartbeat("of no use")
    return f"{info.is_local} {info.activity_id} {info.workflow_type} {info.task_queue}"


@workflow.defn
class Local2:
    @workflow.run
    async def run(self, name: str) -> str:
        try:
            return str(
                await workflow.execute_local_activity(
                    name, start_to_close_timeout=timedelta(seconds=5)
                )
            )
        except ValueError as error:
            raise ApplicationError(str(error)) from None


async def test_a_function_in_a_thread_can_be_a_local_activity(
    environment: WorkflowEnvironment,
) -> None:
    async with Worker(
        environment.client, task_queue="tests", workflows=[Local2], activities=[in_a_thread]
    ):
        client = environment.client
        found = await client.execute_workflow(
            Local2.run, "in_a_thread", id="known", task_queue="tests"
        )
        assert found == "True 1 Local2 tests"
        handle = await client.start_workflow(
            Local2.run, "unknown", id="unknown", task_queue="tests"
        )
        with pytest.raises(Exception) as caught:  # noqa: PT011 -- the cause is what counts
            await handle.result()
        assert str(caught.value.__cause__) == (
            "Activity function unknown is not registered on this worker, available activities: "
            "in_a_thread"
        )


async def test_a_worker_that_leaves_hands_its_local_activities_to_another(
    environment: WorkflowEnvironment,
) -> None:
    began = asyncio.Event()
    leaves = True

    @activity.defn(name="wait")
    async def wait() -> str:
        began.set()
        if leaves:
            await asyncio.Future()
        return "done"

    async with Worker(
        environment.client, task_queue="tests", workflows=[Local2], activities=[wait]
    ):
        handle = await environment.client.start_workflow(
            Local2.run, "wait", id="handed over", task_queue="tests"
        )
        await began.wait()
    leaves = False
    async with Worker(
        environment.client, task_queue="tests", workflows=[Local2], activities=[wait]
    ):
        assert await handle.result() == "done"
