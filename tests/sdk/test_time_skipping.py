"""Time skips in every feature that waits: months of it pass in milliseconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.testservice.v1 import (
    LockTimeSkippingRequest,
    SleepRequest,
    SleepUntilRequest,
)
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest

from perdure import activity, exceptions, workflow
from perdure.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleSpec,
    WorkflowExecutionStatus,
    WorkflowFailureError,
)
from perdure.common import RetryPolicy
from perdure.exceptions import ActivityError, ApplicationError, TimeoutType
from perdure.service import WORKFLOW_METHODS, RPCError, RPCStatusCode
from perdure.testing import WorkflowEnvironment
from perdure.testing.skipping import SkippingTransport
from perdure.transport.port import CallFailed, Code
from perdure.worker import Worker

QUEUE = "skipping"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REAL_SECONDS_MAX = 20.0
"""Far less than any of what is skipped, and far more than it takes."""


@workflow.defn
class Sleeping:
    @workflow.run
    async def run(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "awake"

    @workflow.query
    def now(self) -> float:
        return workflow.now().timestamp()

    @workflow.signal
    def nothing(self) -> None:
        pass


@workflow.defn
class WaitingForEver:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


@workflow.defn
class WithChild:
    @workflow.run
    async def run(self) -> str:
        result: str = await workflow.execute_child_workflow(Sleeping.run, 86400.0)
        return result


@workflow.defn
class Failing:
    @workflow.run
    async def run(self) -> int:
        attempt = workflow.info().attempt
        if attempt < 3:
            raise ApplicationError(f"attempt {attempt}")
        return attempt


@workflow.defn
class GoingOn:
    @workflow.run
    async def run(self, left: int) -> str:
        await asyncio.sleep(86400)
        if left:
            workflow.continue_as_new(left - 1)
        return "the end"


@workflow.defn
class Retrying:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_activity(
            third_time_lucky,
            start_to_close_timeout=HOUR,
            retry_policy=RetryPolicy(initial_interval=DAY),
        )


@activity.defn
async def third_time_lucky() -> int:
    if activity.info().attempt < 3:
        raise ApplicationError("not yet")
    return activity.info().attempt


@workflow.defn
class Silent:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity(
            "be_silent",
            start_to_close_timeout=DAY,
            heartbeat_timeout=HOUR,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


@workflow.defn
class Asserting:
    @workflow.run
    async def run(self) -> None:
        assert workflow.info().attempt > 1, "it was the first"


WORKFLOWS = [Sleeping, WaitingForEver, WithChild, Failing, GoingOn, Retrying, Silent, Asserting]


@asynccontextmanager
async def _skipping() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping() as environment:

        @activity.defn
        async def be_silent() -> None:
            await environment.sleep(2 * HOUR)

        async with Worker(
            environment.client,
            task_queue=QUEUE,
            workflows=WORKFLOWS,
            activities=[third_time_lucky, be_silent],
        ):
            begin = time.monotonic()
            yield environment
            assert time.monotonic() - begin < REAL_SECONDS_MAX


async def _ahead(environment: WorkflowEnvironment) -> timedelta:
    return await environment.get_current_time() - datetime.now(UTC)


def _about(passed: timedelta, expected: timedelta) -> bool:
    return abs(passed - expected) < timedelta(seconds=REAL_SECONDS_MAX)


async def _assert_locked_once(environment: WorkflowEnvironment) -> None:
    """Time has no lock too few: it passes as outside; and none too many: a result unlocks it."""
    client = environment.client
    begin = time.monotonic()
    with environment.auto_time_skipping_disabled():
        await client.execute_workflow(Sleeping.run, 0.2, id="locked", task_queue=QUEUE)
    assert time.monotonic() - begin >= 0.19
    await client.execute_workflow(Sleeping.run, 86400.0, id="unlocked", task_queue=QUEUE)


async def test_a_timer_is_skipped_while_its_result_is_awaited() -> None:
    async with _skipping() as environment:
        assert environment.supports_time_skipping
        result = await environment.client.execute_workflow(
            Sleeping.run, 30 * 86400.0, id="w", task_queue=QUEUE
        )
        assert result == "awake"
        assert _about(await _ahead(environment), 30 * DAY)


async def test_time_is_locked_while_nobody_awaits_a_result() -> None:
    async with _skipping() as environment:
        handle = await environment.client.start_workflow(
            Sleeping.run, 600.0, id="w", task_queue=QUEUE
        )
        await handle.query(Sleeping.now)
        assert _about(await _ahead(environment), timedelta(0))
        assert (await handle.describe()).status == WorkflowExecutionStatus.RUNNING


async def test_results_that_are_awaited_together_all_come() -> None:
    async with _skipping() as environment:
        results = await asyncio.gather(
            *(
                environment.client.execute_workflow(
                    Sleeping.run, days * 86400.0, id=f"w{days}", task_queue=QUEUE
                )
                for days in (1, 5, 3)
            )
        )
        assert results == ["awake"] * 3
        assert _about(await _ahead(environment), 5 * DAY)
        await _assert_locked_once(environment)


async def test_a_test_sleeps_and_workflows_see_it() -> None:
    async with _skipping() as environment:
        handle = await environment.client.start_workflow(
            Sleeping.run, 100000.0, id="w", task_queue=QUEUE
        )
        await handle.signal(Sleeping.nothing)
        before = await handle.query(Sleeping.now)
        await environment.sleep(1000)
        await handle.signal(Sleeping.nothing)
        assert 1000 <= await handle.query(Sleeping.now) - before < 1000 + REAL_SECONDS_MAX


async def test_results_do_not_skip_time_where_that_is_disabled() -> None:
    async with _skipping() as environment:
        with environment.auto_time_skipping_disabled():
            handle = await environment.client.start_workflow(
                Sleeping.run, 600.0, id="w", task_queue=QUEUE
            )
            running = asyncio.create_task(handle.result())
            await handle.query(Sleeping.now)  # Its first workflow task is over.
            for _ in range(50):
                assert _about(await _ahead(environment), timedelta(0))
            assert not running.done()
            await environment.sleep(601)
            assert await running == "awake"


async def test_run_and_execution_timeouts_are_skipped_to() -> None:
    async with _skipping() as environment:
        never: list[Coroutine[Any, Any, None]] = [
            environment.client.execute_workflow(
                WaitingForEver.run, id="run", task_queue=QUEUE, run_timeout=7 * DAY
            ),
            environment.client.execute_workflow(
                WaitingForEver.run, id="execution", task_queue=QUEUE, execution_timeout=7 * DAY
            ),
        ]
        for execution in never:
            before = await _ahead(environment)
            with pytest.raises(WorkflowFailureError) as failed:
                await execution
            assert isinstance(failed.value.cause, exceptions.TimeoutError)
            assert _about(await _ahead(environment) - before, 7 * DAY)


async def test_start_delays_and_retries_of_workflows_are_skipped() -> None:
    async with _skipping() as environment:
        await environment.client.execute_workflow(
            Sleeping.run, 1.0, id="delayed", task_queue=QUEUE, start_delay=3 * DAY
        )
        assert _about(await _ahead(environment), 3 * DAY)
        attempt = await environment.client.execute_workflow(
            Failing.run,
            id="failing",
            task_queue=QUEUE,
            retry_policy=RetryPolicy(initial_interval=DAY, backoff_coefficient=1),
        )
        assert attempt == 3
        assert _about(await _ahead(environment), 5 * DAY)


async def test_cron_runs_come_as_fast_as_they_are_slept_for() -> None:
    async with _skipping() as environment:
        handle = await environment.client.start_workflow(
            Sleeping.run, 1.0, id="cron", task_queue=QUEUE, cron_schedule="30 * * * *"
        )
        await environment.sleep(10 * HOUR)
        runs = [one async for one in environment.client.list_workflows("WorkflowId = 'cron'")]
        assert len(runs) == 11
        await handle.terminate()


async def test_schedules_act_while_a_test_sleeps() -> None:
    async with _skipping() as environment:
        action = ScheduleActionStartWorkflow(Sleeping.run, 60.0, id="due", task_queue=QUEUE)
        spec = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=HOUR)])
        handle = await environment.client.create_schedule("hourly", Schedule(action, spec))
        await environment.sleep(5 * HOUR)
        description = await handle.describe()
        assert description.info.num_actions == 5
        done = [
            one async for one in environment.client.list_workflows("ExecutionStatus = 'Completed'")
        ]
        assert len(done) >= 4
        await handle.delete()


async def test_children_and_runs_that_go_on_are_skipped_through() -> None:
    async with _skipping() as environment:
        assert await environment.client.execute_workflow(
            WithChild.run, id="parent", task_queue=QUEUE
        )
        assert _about(await _ahead(environment), DAY)
        assert await environment.client.execute_workflow(
            GoingOn.run, 4, id="chain", task_queue=QUEUE
        )
        assert _about(await _ahead(environment), 6 * DAY)


async def test_backoffs_of_activities_are_skipped_with_and_without_a_workflow() -> None:
    async with _skipping() as environment:
        assert (
            await environment.client.execute_workflow(Retrying.run, id="w", task_queue=QUEUE) == 3
        )
        assert _about(await _ahead(environment), 3 * DAY)
        attempt = await environment.client.execute_activity(
            third_time_lucky,
            id="a",
            task_queue=QUEUE,
            start_to_close_timeout=HOUR,
            retry_policy=RetryPolicy(initial_interval=DAY),
        )
        assert attempt == 3
        assert _about(await _ahead(environment), 6 * DAY)


async def test_an_activity_that_sleeps_through_its_heartbeats_times_out() -> None:
    async with _skipping() as environment:
        with pytest.raises(WorkflowFailureError) as failed:
            await environment.client.execute_workflow(Silent.run, id="w", task_queue=QUEUE)
        error = failed.value.cause
        assert isinstance(error, ActivityError)
        assert isinstance(error.cause, exceptions.TimeoutError)
        assert error.cause.type == TimeoutType.HEARTBEAT


async def test_closed_runs_are_gone_when_their_retention_was_slept_through() -> None:
    async with _skipping() as environment:
        client = environment.client
        request = UpdateNamespaceRequest(namespace="default")
        request.config.workflow_execution_retention_ttl.FromTimedelta(DAY)
        await client.workflow_service.update_namespace(request)
        await client.execute_workflow(Sleeping.run, 1.0, id="w", task_queue=QUEUE)
        await environment.sleep(DAY - HOUR)
        assert (await client.count_workflows()).count == 1
        await environment.sleep(2 * HOUR)
        assert (await client.count_workflows()).count == 0


async def test_results_can_still_be_had_after_a_sleep_of_years() -> None:
    async with _skipping() as environment:
        handle = await environment.client.start_workflow(
            Sleeping.run, 86400.0, id="w", task_queue=QUEUE
        )
        await environment.sleep(10 * 365 * DAY)
        assert await handle.result() == "awake"


async def test_whoever_gives_up_waiting_leaves_time_locked() -> None:
    async with _skipping() as environment:
        handle = await environment.client.start_workflow(
            WaitingForEver.run, id="w", task_queue=QUEUE
        )
        for turns in range(12):
            waiting = asyncio.ensure_future(handle.result())
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        await _assert_locked_once(environment)


async def test_assertions_in_workflows_fail_them() -> None:
    async with _skipping() as environment:
        with pytest.raises(WorkflowFailureError) as failed:
            await environment.client.execute_workflow(Asserting.run, id="w", task_queue=QUEUE)
        assert isinstance(failed.value.cause, ApplicationError)
        assert failed.value.cause.message.startswith("it was the first")


async def test_what_makes_no_sense_is_refused() -> None:
    async with await WorkflowEnvironment.start_time_skipping() as environment:
        service = environment.client.test_service
        negative, never, bad = SleepRequest(), SleepUntilRequest(), SleepUntilRequest()
        negative.duration.seconds = -1
        never.timestamp.FromDatetime(datetime(9999, 1, 1, tzinfo=UTC))
        bad.timestamp.nanos = -1
        for call, request in (
            (service.sleep, negative),
            (service.unlock_time_skipping_with_sleep, negative),
            (service.sleep_until, never),
            (service.sleep_until, bad),
        ):
            with pytest.raises(RPCError) as refused:
                await call(request)
            assert refused.value.status == RPCStatusCode.INVALID_ARGUMENT


async def test_without_time_skipping_the_test_service_is_unknown() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        assert not environment.supports_time_skipping
        with pytest.raises(RPCError) as refused:
            await environment.client.test_service.lock_time_skipping(LockTimeSkippingRequest())
        assert refused.value.status == RPCStatusCode.UNIMPLEMENTED
        assert refused.value.message == "unknown service temporal.api.testservice.v1.TestService"


class _Telling:
    """A transport on which unlocking takes its time, and may fail."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.asked = asyncio.Event()
        self.unlocked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def call(
        self,
        method: str,
        request: bytes,
        metadata: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> bytes:
        self.told.append(method.rpartition("/")[2])
        self.asked.set()
        return await self.unlocked if method.endswith("/UnlockTimeSkipping") else b""

    async def close(self) -> None:
        pass


async def _poll(transport: _Telling) -> asyncio.Future[bytes]:
    """A call that waits for a result, once it has begun to unlock time."""
    call = SkippingTransport(transport).call(f"{WORKFLOW_METHODS}PollActivityExecution", b"")
    waiting = asyncio.ensure_future(call)
    await transport.asked.wait()
    return waiting


async def test_who_gives_up_while_time_is_being_unlocked_locks_it_again() -> None:
    transport = _Telling()
    waiting = await _poll(transport)
    waiting.cancel()
    await asyncio.sleep(0)
    assert transport.told == ["UnlockTimeSkipping"]
    transport.unlocked.set_result(b"")
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert transport.told == ["UnlockTimeSkipping", "LockTimeSkipping"]


async def test_who_could_not_unlock_time_does_not_lock_it() -> None:
    transport = _Telling()
    waiting = await _poll(transport)
    transport.unlocked.set_exception(CallFailed(Code.UNAVAILABLE, "no"))
    with pytest.raises(CallFailed):
        await waiting
    assert transport.told == ["UnlockTimeSkipping"]
