"""Schedules through our client: it sends what the official SDK sends, and tells what comes back."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import temporalio.client as theirs
from google.protobuf.message import Message
from temporalio.api.workflowservice.v1 import CreateScheduleRequest, PatchScheduleRequest
from temporalio.common import RetryPolicy as TheirRetryPolicy

import perdure.client as ours
from perdure import workflow
from perdure.client import (
    Client,
    CreateScheduleInput,
    Interceptor,
    OutboundInterceptor,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleListActionStartWorkflow,
    ScheduleOverlapPolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from perdure.common import (
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from perdure.service import RPCError, RPCStatusCode
from perdure.testing import WorkflowEnvironment
from perdure.worker import Worker
from tests.sdk.recording_service import RecordingService

KEY = SearchAttributeKey.for_keyword("Color")
START = datetime(2030, 1, 1, tzinfo=UTC)


def schedule_of(sdk: Any, retry_policy: Any) -> Any:
    """A schedule with everything."""
    return sdk.Schedule(
        action=sdk.ScheduleActionStartWorkflow(
            "workflow",
            args=[1, "two"],
            id="started",
            task_queue="tests",
            execution_timeout=timedelta(hours=1),
            run_timeout=timedelta(minutes=1),
            task_timeout=timedelta(seconds=1),
            retry_policy=retry_policy,
            memo={"size": 3},
            static_summary="summary",
            static_details="details",
        ),
        spec=sdk.ScheduleSpec(
            calendars=[
                sdk.ScheduleCalendarSpec(
                    second=[sdk.ScheduleRange(1, 2), sdk.ScheduleRange(7, 9, 2)],
                    year=[sdk.ScheduleRange(2040)],
                    comment="now and then",
                )
            ],
            intervals=[
                sdk.ScheduleIntervalSpec(timedelta(hours=1)),
                sdk.ScheduleIntervalSpec(timedelta(hours=2), timedelta(minutes=5)),
            ],
            cron_expressions=["0 12 * * MON"],
            skip=[sdk.ScheduleCalendarSpec()],
            start_at=START,
            end_at=START + timedelta(days=1),
            jitter=timedelta(seconds=3),
            time_zone_name="Europe/Berlin",
        ),
        policy=sdk.SchedulePolicy(
            overlap=sdk.ScheduleOverlapPolicy.BUFFER_ALL,
            catchup_window=timedelta(hours=3),
            pause_on_failure=True,
        ),
        state=sdk.ScheduleState(
            note="a note", paused=True, limited_actions=True, remaining_actions=4
        ),
    )


async def calls(sdk: Any, client: Any, schedule: Any) -> None:
    """Everything that can be sent without an answer."""
    backfill = sdk.ScheduleBackfill(
        START, START + timedelta(days=1), sdk.ScheduleOverlapPolicy.ALLOW_ALL
    )
    handle = await client.create_schedule(
        "schedule",
        schedule,
        trigger_immediately=True,
        backfill=[backfill],
        memo={"weight": 5},
    )
    await handle.pause()
    await handle.pause(note="why")
    await handle.unpause()
    await handle.unpause(note="why not")
    await handle.trigger()
    await handle.trigger(overlap=sdk.ScheduleOverlapPolicy.SKIP)
    await handle.backfill(backfill, dataclasses.replace(backfill, overlap=None))


def without_ids(messages: list[Message]) -> list[Message]:
    """The requests without what differs each time."""
    for message in messages:
        assert isinstance(message, CreateScheduleRequest | PatchScheduleRequest)
        message.request_id = message.identity = ""
    return messages


async def test_requests_are_those_of_the_official_sdk() -> None:
    service = RecordingService({})
    await calls(
        ours, Client._over(service.in_process()), schedule_of(ours, RetryPolicy(maximum_attempts=3))
    )
    sent: list[Message] = []
    client = await theirs.Client.connect("127.0.0.1:1", lazy=True)

    async def record(request: Message, **_: Any) -> None:
        sent.append(request)

    client.workflow_service.create_schedule = record  # type: ignore[assignment]
    client.workflow_service.patch_schedule = record  # type: ignore[assignment]
    await calls(theirs, client, schedule_of(theirs, TheirRetryPolicy(maximum_attempts=3)))
    found = [request for _, request in service.requests]
    assert without_ids(found) == without_ids(sent)


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return f"Hello, {name}!"


@pytest.fixture
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_local(search_attributes=[KEY]) as found:
        yield found


def greeting(**state: Any) -> Schedule:
    """A schedule that acts once a day."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            Greeting.run, "World", id="greeting", task_queue="tests", memo={"a": 1}
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(timedelta(days=1))]),
        state=ScheduleState(**state),
    )


async def test_a_schedule_is_described_as_it_was_made(environment: WorkflowEnvironment) -> None:
    client = environment.client
    made = schedule_of(ours, RetryPolicy(maximum_attempts=3))
    made.spec.cron_expressions = []
    handle = await client.create_schedule("everything", made, memo={"weight": 5})
    found = await handle.describe()
    action = found.schedule.action
    assert isinstance(action, ScheduleActionStartWorkflow)
    payloads: list[Any] = [*action.args, action.static_summary, action.static_details]
    decoded = await client.data_converter.decode([*payloads, (action.memo or {})["size"]])
    assert decoded == [1, "two", "summary", "details", 3]
    assert found.schedule.spec.calendars[0].second == tuple(made.spec.calendars[0].second)
    assert found.schedule.spec.intervals == made.spec.intervals
    assert (found.schedule.policy, found.schedule.state) == (made.policy, made.state)
    assert (action.execution_timeout, action.task_queue) == (timedelta(hours=1), "tests")
    assert await found.memo() == {"weight": 5}
    assert await found.memo_value("weight") == 5
    assert await found.memo_value("length", 7) == 7
    with pytest.raises(KeyError):
        await found.memo_value("length")


async def test_a_schedule_acts_and_tells_of_it(environment: WorkflowEnvironment) -> None:
    client = environment.client
    async with Worker(client, task_queue="tests", workflows=[Greeting]):
        handle = await client.create_schedule("daily", greeting(), trigger_immediately=True)
        description = await handle.describe()
        [action] = [one.action for one in description.info.recent_actions]
        assert isinstance(action, ScheduleActionExecutionStartWorkflow)
        started = client.get_workflow_handle(
            action.workflow_id, run_id=action.first_execution_run_id
        )
        assert await started.result() == "Hello, World!"
    assert description.info.num_actions == 1
    times = description.info.next_action_times
    assert len(times) == 10
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(days=1)}


async def test_a_schedule_can_be_changed(environment: WorkflowEnvironment) -> None:
    handle = await environment.client.create_schedule("daily", greeting(paused=True))
    before = await handle.describe()

    def hourly(given: ScheduleUpdateInput) -> ScheduleUpdate:
        schedule = given.description.schedule
        schedule.spec.intervals = [ScheduleIntervalSpec(timedelta(hours=1))]
        attributes = TypedSearchAttributes([SearchAttributePair(KEY, "red")])
        return ScheduleUpdate(schedule, attributes)

    async def leave(given: ScheduleUpdateInput) -> ScheduleUpdate | None:
        assert given.description.typed_search_attributes.get(KEY) == "red"
        return None

    await handle.update(hourly)
    await handle.update(leave)
    after = await handle.describe()
    assert after.schedule.spec.intervals == [ScheduleIntervalSpec(timedelta(hours=1))]
    assert after.schedule.action == before.schedule.action
    assert after.typed_search_attributes.get(KEY) == "red"
    await handle.unpause()
    assert (await handle.describe()).schedule.state == ScheduleState("Unpaused via Python SDK")
    await handle.pause(note="enough")
    assert (await handle.describe()).schedule.state == ScheduleState("enough", paused=True)
    await handle.backfill(
        ScheduleBackfill(START, START + timedelta(days=2), ScheduleOverlapPolicy.ALLOW_ALL)
    )
    with pytest.raises(ValueError, match="At least one"):
        await handle.backfill()


async def test_schedules_are_listed_by_pages_and_forgotten(
    environment: WorkflowEnvironment,
) -> None:
    client = environment.client
    red = TypedSearchAttributes([SearchAttributePair(KEY, "red")])
    for number in range(3):
        await client.create_schedule(
            f"daily {number}",
            greeting(paused=True),
            search_attributes=red if number else None,
            memo={"number": number},
        )
    listed = {one.id: one async for one in await client.list_schedules(page_size=2)}
    assert sorted(listed) == ["daily 0", "daily 1", "daily 2"]
    one = listed["daily 1"]
    assert await one.memo_value("number") == 1
    assert one.schedule is not None
    assert one.schedule.action == ScheduleListActionStartWorkflow("Greeting")
    assert one.schedule.state.paused
    reds = [found.id async for found in await client.list_schedules("Color = 'red'")]
    assert sorted(reds) == ["daily 1", "daily 2"]
    await client.get_schedule_handle("daily 1").delete()
    with pytest.raises(RPCError) as gone:
        await client.get_schedule_handle("daily 1").describe()
    assert gone.value.status is RPCStatusCode.NOT_FOUND


async def test_a_schedule_that_cannot_be_is_refused(environment: WorkflowEnvironment) -> None:
    client = environment.client
    await client.create_schedule("daily", greeting(paused=True))
    with pytest.raises(ScheduleAlreadyRunningError, match="already running"):
        await client.create_schedule("daily", greeting())
    with pytest.raises(ValueError, match="limited actions to false"):
        await client.create_schedule("other", greeting(limited_actions=True))
    with pytest.raises(ValueError, match="limited actions to true"):
        await client.create_schedule("other", greeting(remaining_actions=1))
    with pytest.raises(ValueError, match="ID required"):
        ScheduleActionStartWorkflow("workflow", id="", task_queue="tests")
    with pytest.raises(ValueError, match="Task queue required"):
        ScheduleActionStartWorkflow("workflow", id="started", task_queue="")


class Renaming(Interceptor):
    """Gives schedules another id."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        return _Renaming(next)


class _Renaming(OutboundInterceptor):
    async def create_schedule(self, input: CreateScheduleInput) -> ScheduleHandle:  # noqa: A002
        input.id = f"renamed {input.id}"
        return await super().create_schedule(input)


async def test_interceptors_see_the_calls(environment: WorkflowEnvironment) -> None:
    config = environment.client.config()
    config["interceptors"] = [Renaming()]
    client = Client(**config)
    handle = await client.create_schedule("daily", greeting(paused=True))
    assert handle.id == "renamed daily"
    assert (await handle.describe()).schedule.state.paused
