"""Rules of the workflow side of the worker."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from perdure.client import (
    Client,
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowHandle,
)
from perdure.exceptions import ActivityError, ApplicationError, CancelledError
from perdure.worker import Worker
from perdure.worker.cache import BYTES_PER_HISTORY_BYTE
from tests.sdk import worker_programs as programs
from tests.sdk.looking import until, until_event

TASK_FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


LOST = {TASK_FAILED, EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT}


async def no_task_was_lost(handle: WorkflowHandle[Any, Any]) -> bool:
    """Every task of the workflow was completed."""
    return not [event async for event in handle.fetch_history_events() if event.event_type in LOST]


async def test_a_workflow_calls_an_activity(client: Client, queue: str) -> None:
    async with Worker(
        client,
        task_queue=queue,
        workflows=[programs.Greeting, programs.Pricing],
        activities=[programs.compose, programs.price],
    ):
        greeting = await client.execute_workflow(
            programs.Greeting.run, "World", id=queue, task_queue=queue
        )
        assert greeting == "Hello, World!"
        order = await client.execute_workflow(
            programs.Pricing.run, programs.Order(1, []), id=f"{queue} 2", task_queue=queue
        )
        assert order == programs.Order(1, ["price"])


async def test_a_workflow_starts_at_once_in_the_process_of_its_client(
    client: Client, queue: str
) -> None:
    async with Worker(
        client, task_queue=queue, workflows=[programs.Greeting], activities=[programs.compose]
    ):
        handle = await client.start_workflow(
            programs.Greeting.run, "you", id=queue, task_queue=queue, request_eager_start=True
        )
        assert await handle.result() == "Hello, you!"
    [started] = await until_event(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    assert started.workflow_execution_started_event_attributes.eager_execution_accepted


async def test_signals_arrive_in_their_order(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[programs.Collects]):
        handle = await client.start_workflow(programs.Collects.run, 3, id=queue, task_queue=queue)
        for word in ("a", "b", "c"):
            await handle.signal(programs.Collects.add, word)
        assert await handle.result() == ["a", "b", "c"]


async def test_a_timer_fires_while_no_worker_runs(client: Client, queue: str) -> None:
    options: dict[str, Any] = {"task_queue": queue, "workflows": [programs.Sleeps]}
    async with Worker(client, **options):
        handle = await client.start_workflow(programs.Sleeps.run, 0.1, id=queue, task_queue=queue)
        await until_event(handle, EventType.EVENT_TYPE_TIMER_STARTED)
    await until_event(handle, EventType.EVENT_TYPE_TIMER_FIRED)
    async with Worker(client, **options, activities=[programs.compose]):
        assert await handle.result() == "Good morning, you!"
    assert await no_task_was_lost(handle)


async def test_a_workflow_continues_as_new(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[programs.Counts]):
        handle = await client.start_workflow(
            programs.Counts.run, args=[2, []], id=queue, task_queue=queue
        )
        runs = await handle.result()
        assert len(set(runs)) == 3
        with pytest.raises(WorkflowContinuedAsNewError) as continued:
            await handle.result(follow_runs=False)
        assert continued.value.new_execution_run_id == runs[1]


async def test_a_failure_arrives_with_its_causes(client: Client, queue: str) -> None:
    async with Worker(
        client,
        task_queue=queue,
        workflows=[programs.Calls],
        activities=[programs.fail_with_cause],
    ):
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(
                programs.Calls.run, args=["fail_with_cause", []], id=queue, task_queue=queue
            )
    activity_error = failed.value.cause
    assert isinstance(activity_error, ActivityError)
    outer = activity_error.cause
    assert isinstance(outer, ApplicationError)
    assert (outer.type, outer.message) == ("ValueError", "outer")
    assert outer.failure is not None
    assert "in fail_with_cause" in outer.failure.stack_trace
    assert "perdure/worker" not in outer.failure.stack_trace
    inner = outer.cause
    assert isinstance(inner, ApplicationError)
    assert (inner.type, inner.message) == ("KeyError", "'inner'")


async def test_a_workflow_is_cancelled(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[programs.Collects]):
        handle = await client.start_workflow(programs.Collects.run, 1, id=queue, task_queue=queue)
        await until_event(handle, TASK_COMPLETED)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause, CancelledError)


@pytest.mark.parametrize("kept", [0, 1])
async def test_runs_that_are_not_kept_are_replayed(client: Client, queue: str, kept: int) -> None:
    async with Worker(
        client, task_queue=queue, workflows=[programs.Collects], max_cached_workflows=kept
    ):
        handles = [
            await client.start_workflow(
                programs.Collects.run, 2, id=f"{queue} {number}", task_queue=queue
            )
            for number in range(3)
        ]
        for handle in handles:
            await until_event(handle, TASK_COMPLETED)
        for word in ("a", "b"):
            for number, handle in enumerate(handles):
                await handle.signal(programs.Collects.add, f"{word}{number}")
        for number, handle in enumerate(handles):
            assert await handle.result() == [f"a{number}", f"b{number}"]
            assert await no_task_was_lost(handle)


async def test_a_history_of_several_pages_is_read_whole(client: Client, queue: str) -> None:
    words = [f"{number}" for number in range(600)]
    handle = await client.start_workflow(
        programs.Collects.run, len(words), id=queue, task_queue=queue
    )
    for start in range(0, len(words), 50):
        await asyncio.gather(
            *(handle.signal(programs.Collects.add, word) for word in words[start : start + 50])
        )
    async with Worker(client, task_queue=queue, workflows=[programs.Collects]):
        assert sorted(await handle.result()) == sorted(words)


async def test_an_unknown_workflow_waits_for_a_worker_that_has_it(
    client: Client, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "perdure.worker")
    async with Worker(client, task_queue=queue, workflows=[programs.Collects, programs.Sleeps]):
        handle = await client.start_workflow("Greeting", "you", id=queue, task_queue=queue)
        failed, *_ = await until_event(handle, TASK_FAILED)
        attributes = failed.workflow_task_failed_event_attributes
        assert attributes.failure.message == (
            "Workflow class Greeting is not registered on this worker, "
            "available workflows: Collects, Sleeps"
        )
    told = [one for one in caplog.records if "is not registered on this worker" in one.message]
    assert told
    assert all(one.exc_info is None and "\n" not in one.message for one in told)
    async with Worker(
        client, task_queue=queue, workflows=[programs.Greeting], activities=[programs.compose]
    ):
        assert await handle.result() == "Hello, you!"


async def test_changed_code_is_reported_with_event_command_and_line(
    client: Client, queue: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, "perdure.worker")
    options: dict[str, Any] = {
        "task_queue": queue,
        "workflows": [programs.Changes],
        "activities": [programs.compose],
    }
    async with Worker(client, **options):
        handle = await client.start_workflow(programs.Changes.run, id=queue, task_queue=queue)
        await until_event(handle, TASK_COMPLETED, 2)
    monkeypatch.setattr(programs.Version, "activity_first", False)
    async with Worker(client, **options):
        await handle.signal(programs.Changes.proceed)
        failed, *_ = await until_event(handle, TASK_FAILED)
        attributes = failed.workflow_task_failed_event_attributes
        assert attributes.cause == (
            WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
        )
        for expected in ("event 5 ActivityTaskScheduled", "StartTimer", "workflow.sleep(0.01)"):
            assert expected in attributes.failure.message
        monkeypatch.undo()
        assert await handle.result() == "done"
    assert "ActivityTaskScheduled" in caplog.text


async def test_the_traceback_of_a_failing_task_is_logged_once(
    client: Client, queue: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, "perdure.worker")
    monkeypatch.setattr(programs.Breaks, "times_left", 3)
    async with Worker(client, task_queue=queue, workflows=[programs.Breaks]):
        handle = await client.start_workflow(programs.Breaks.run, id=queue, task_queue=queue)
        assert await handle.result() == "mended"
    failed = [one for one in caplog.records if "broken" in one.message]
    assert [bool(one.exc_info) for one in failed] == [True, False, False]
    assert {vars(one)["__temporal_error_identifier"] for one in failed} == {"WorkflowTaskFailure"}
    told = [vars(one)["temporal_workflow"] for one in failed]
    assert {one["run_id"] for one in told} == {handle.result_run_id}
    assert [(one["workflow_type"], one["attempt"]) for one in told] == [
        ("Breaks", number) for number in (1, 2, 3)
    ]
    assert [one.message for one in failed] == [
        f"Workflow task of {queue} (Breaks, attempt {number}) failed: broken"
        + ("\nin two lines" if number == 1 else "")
        for number in (1, 2, 3)
    ]


async def test_code_that_blocks_is_reported_with_its_line(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.worker.running.DEADLOCK_SECONDS", 0.2)
    monkeypatch.setattr(programs.Blocks, "tried", 0)
    async with Worker(client, task_queue=queue, workflows=[programs.Blocks]):
        handle = await client.start_workflow(programs.Blocks.run, id=queue, task_queue=queue)
        assert await handle.result() == "let go"
    [failed] = await until_event(handle, TASK_FAILED)
    message = failed.workflow_task_failed_event_attributes.failure.message
    assert "Potential deadlock detected: workflow didn't yield within 0.2 second(s)" in message
    assert "while Blocks.tried == 1" in message


async def test_a_task_that_blocks_is_told_of_by_the_failure_alone(
    client: Client, queue: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.worker.running.DEADLOCK_SECONDS", 0.2)
    monkeypatch.setattr(programs.BlocksBeside, "tried", 0)
    async with Worker(client, task_queue=queue, workflows=[programs.BlocksBeside]):
        handle = await client.start_workflow(programs.BlocksBeside.run, id=queue, task_queue=queue)
        assert await handle.result() == "let go"
    [failed] = await until_event(handle, TASK_FAILED)
    message = failed.workflow_task_failed_event_attributes.failure.message
    assert "while BlocksBeside.tried == 1" in message
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_result_that_is_too_large_fails_the_task_and_not_the_workflow(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Worker(client, task_queue=queue, workflows=[programs.SaysMuch]):
        handle = await client.start_workflow(programs.SaysMuch.run, id=queue, task_queue=queue)
        failed, *_ = await until_event(handle, TASK_FAILED)
        assert failed.workflow_task_failed_event_attributes.cause == (
            WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE
        )
        monkeypatch.setattr(programs.SaysMuch, "size", 3)
        assert await handle.result() == "xxx"


async def test_two_workers_of_a_queue_share_its_workflows(client: Client, queue: str) -> None:
    options: dict[str, Any] = {"task_queue": queue, "workflows": [programs.Collects]}
    async with Worker(client, **options) as first:
        handle = await client.start_workflow(programs.Collects.run, 2, id=queue, task_queue=queue)
        await until_event(handle, TASK_COMPLETED)
        async with Worker(client, **options):
            await first.shutdown()
            await handle.signal(programs.Collects.add, "a")
            await until_event(handle, TASK_COMPLETED, 2)
            await handle.signal(programs.Collects.add, "b")
            assert await handle.result() == ["a", "b"]
    assert await no_task_was_lost(handle)


async def test_a_query_reads_a_running_and_a_closed_run(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[programs.Collects]):
        handle = await client.start_workflow(programs.Collects.run, 2, id=queue, task_queue=queue)
        await handle.signal(programs.Collects.add, "a")

        async def one() -> bool:
            count: int = await handle.query(programs.Collects.count)
            return count == 1

        await until(one)
        await handle.signal(programs.Collects.add, "b")
        await handle.result()
        assert await handle.query(programs.Collects.count) == 2


async def test_a_reset_draws_other_numbers_from_where_it_begins(client: Client, queue: str) -> None:
    async with Worker(client, task_queue=queue, workflows=[programs.Draws]):
        handle = await client.start_workflow(programs.Draws.run, id=queue, task_queue=queue)
        before, after = await handle.result()
        [*_, last] = await until_event(handle, TASK_COMPLETED)
        reset = await client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=queue),
                reason="other numbers",
                workflow_task_finish_event_id=last.event_id,
                request_id=queue,
            )
        )
        again = client.get_workflow_handle_for(programs.Draws.run, queue, run_id=reset.run_id)
        kept, drawn = await again.result()
    assert kept == before
    assert drawn != after


async def test_the_memory_of_a_run_is_told_by_all_of_its_history(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(client, task_queue=queue, workflows=[programs.Collects])
    async with worker:
        running = worker._running
        assert running is not None
        assert running._workflow_worker is not None
        runs = running._workflow_worker.runs
        handle = await client.start_workflow(programs.Collects.run, 9, id=queue, task_queue=queue)
        # Temporal's server does not count what comes while a task is under way until it is over.
        await until_event(handle, TASK_COMPLETED)
        await handle.signal("add", "x" * 100_000)
        await handle.query("__temporal_workflow_metadata")
        [run] = runs._runs.values()
        async with run.lock:  # The answer to the query is there before its task is done with.
            pass
        assert run.bytes_estimated > BYTES_PER_HISTORY_BYTE * 100_000
        assert runs._bytes_estimated == run.bytes_estimated
        await handle.terminate()
