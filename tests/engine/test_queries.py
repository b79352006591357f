"""A query is answered by somebody who has seen all that came before it, or its caller hears why
not; and it leaves nothing behind."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.enums.v1 import query_pb2
from temporalio.api.history.v1 import History
from temporalio.api.query.v1 import WorkflowQueryResult

from perdure.server.engine.api import (
    EngineStopped,
    EngineUnavailable,
    Poll,
    QueryAnswer,
    QueryTaskWithHistory,
)
from perdure.server.machines.errors import (
    BusyWorkflow,
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    QueryFailed,
)
from perdure.server.machines.workflow import inputs
from tests.engine.house import NAMESPACE, House, simulated, spawn, turns
from tests.machines import requests

ANSWERED = query_pb2.QUERY_RESULT_TYPE_ANSWERED
FAILED = query_pb2.QUERY_RESULT_TYPE_FAILED


def ask(house: House, *, run_id: str = "", seconds: float = 30) -> asyncio.Task[QueryAnswer]:
    """Ask the workflow "w"."""
    message = inputs.QueryWorkflow(run_id, requests.query("q"))
    return spawn(house.engine.query(NAMESPACE, "w", message, seconds))


async def take_query(
    house: House, queue: str = "queue", *, sticky_for: str = ""
) -> QueryTaskWithHistory:
    """Poll a query that must be there."""
    poll = Poll(NAMESPACE, queue, "worker", sticky_for)
    found = await house.engine.poll_workflow_task(poll, 30)
    assert isinstance(found, QueryTaskWithHistory)
    return found


def answer(house: House, task: QueryTaskWithHistory, text: str = "yes") -> None:
    """Answer a query that was asked directly."""
    result = WorkflowQueryResult(result_type=ANSWERED, answer=requests.payloads(text))
    house.engine.answer_query(task.task_id, result)


def said(text: str) -> QueryAnswer:
    return QueryAnswer(requests.payloads(text).SerializeToString())


async def idle(house: House, **options: str) -> None:
    """The workflow "w", which has seen everything."""
    await house.start("w")
    await house.complete(await house.take(), "timer t 1h", **options)


@simulated
async def test_an_idle_workflow_is_asked_at_once_and_has_no_trace_of_it(house: House) -> None:
    await idle(house)
    before = await house.types("w")
    commits = len(house.wire.commits)
    asked = ask(house)
    task = await take_query(house)
    assert [event.event_id for event in History.FromString(task.history).events] == [1, 2, 3, 4, 5]
    assert (task.previous_started_event_id, task.next_event_id) == (3, 0)
    answer(house, task)
    assert await asked == said("yes")
    assert await house.types("w") == before
    assert len(house.wire.commits) == commits


@simulated
async def test_a_query_goes_before_the_tasks_that_are_not_more_urgent(house: House) -> None:
    await idle(house)
    for name in ("x", "y"):
        await house.start(name)
    asked = ask(house)
    await turns()
    answer(house, await take_query(house))
    assert await asked == said("yes")
    assert await house.poll() is not None


@simulated
async def test_an_answer_waits_for_the_commit_that_it_rests_on(house: House) -> None:
    await house.start("w")
    asked = ask(house)
    await turns()
    task = await house.take()
    [query_id] = task.task.queries
    house.wire.hold()
    completed = spawn(house.complete(task, "timer t 1h", answer=f"{query_id}:yes"))
    await turns()
    assert not asked.done()
    house.wire.release()
    await completed
    assert await asked == said("yes")


@simulated
async def test_a_query_sees_what_is_being_written_only_when_it_is_written(house: House) -> None:
    await house.start("w")
    task = await house.take()
    house.wire.hold()
    completed = spawn(house.complete(task, "timer t 1h"))
    await turns()
    asked = ask(house)
    polled = spawn(take_query(house))
    await turns()
    assert not polled.done(), "a worker must not hear of what may be lost"
    house.wire.release()
    await completed
    answer(house, await polled)
    assert await asked == said("yes")


@simulated
async def test_a_lost_completion_loses_its_answers_and_their_callers_try_again(
    house: House,
) -> None:
    await house.start("w")
    asked = ask(house)
    await turns()
    task = await house.take()
    [query_id] = task.task.queries
    house.faults.poisoned_workflow_ids.add("w")
    with pytest.raises(EngineUnavailable):
        await house.complete(task, "timer t 1h", answer=f"{query_id}:yes")
    with pytest.raises(EngineUnavailable):
        await asked
    house.faults.poisoned_workflow_ids.clear()
    again = ask(house)
    await turns()
    await house.complete(task, "timer t 1h")
    answer(house, await take_query(house), "no")
    assert await again == said("no")


@simulated
async def test_a_waiting_query_keeps_its_workflow_in_memory(house: House) -> None:
    await house.open(executions_max=1)
    await house.start("w")
    asked = ask(house)
    await turns()
    for number in range(20):
        await house.start(f"w{number}", queue="other")
    task = await house.take()
    [query_id] = task.task.queries
    await house.complete(task, "timer t 1h", answer=f"{query_id}:yes")
    assert await asked == said("yes")
    await house.start("another", queue="other")
    assert len(house.engine.cache) <= 2, "and no longer"


@simulated
async def test_a_caller_that_goes_away_makes_room_for_another(house: House) -> None:
    await house.start("w")
    first = ask(house)
    await turns()
    with pytest.raises(BusyWorkflow):
        await ask(house)
    first.cancel()
    await turns()
    second = ask(house, seconds=5)
    with pytest.raises(DeadlineExceeded):
        await second
    third = ask(house)
    await turns()
    task = await house.take()
    [query_id] = task.task.queries
    await house.complete(task, "timer t 1h", answer=f"{query_id}:yes")
    assert await third == said("yes")


@simulated
async def test_nobody_is_asked_for_a_caller_that_went_away(house: House) -> None:
    await idle(house)
    asked = ask(house)
    await turns()
    asked.cancel()
    await turns()
    assert await house.poll(seconds=2) is None
    asked = ask(house)
    task = await take_query(house)
    asked.cancel()
    await turns()
    with pytest.raises(NotFound, match="already expired"):
        answer(house, task)


@simulated
async def test_a_query_whose_poll_died_is_asked_again(house: House) -> None:
    await idle(house)
    poll = Poll(NAMESPACE, "queue", "worker")
    polled = spawn(house.engine.poll_workflow_task(poll, 30))
    await turns()
    asked = ask(house)
    await asyncio.sleep(0)
    polled.cancel()
    await turns()
    answer(house, await take_query(house))
    assert await asked == said("yes")
    asked = ask(house)
    task = await take_query(house)
    house.engine.lose_query(task.task_id)
    answer(house, await take_query(house), "again")
    assert await asked == said("again")


@simulated
async def test_a_worker_may_refuse(house: House) -> None:
    await idle(house)
    asked = ask(house)
    task = await take_query(house)
    house.engine.answer_query(
        task.task_id, WorkflowQueryResult(result_type=FAILED, error_message="no such query")
    )
    with pytest.raises(QueryFailed, match="no such query"):
        await asked


@simulated
async def test_a_caller_learns_that_there_is_no_worker(house: House) -> None:
    await idle(house)
    with pytest.raises(DeadlineExceeded):
        await ask(house, seconds=10)
    await asyncio.sleep(15)
    before = asyncio.get_running_loop().time()
    with pytest.raises(FailedPrecondition, match="no poller seen"):
        await ask(house, seconds=10)
    assert asyncio.get_running_loop().time() - before == pytest.approx(9)


@simulated
async def test_a_worker_that_thinks_for_long_is_a_worker(house: House) -> None:
    await idle(house)
    asked = ask(house)
    task = await take_query(house)
    await asyncio.sleep(29.5)
    answer(house, task)
    assert await asked == said("yes")


@simulated
async def test_the_sticky_worker_is_asked_first_and_needs_no_history(house: House) -> None:
    await idle(house, sticky="mine:5s")
    polled = spawn(take_query(house, "mine", sticky_for="queue"))
    await turns()
    asked = ask(house)
    task = await polled
    assert (task.history, task.next_event_id) == (b"", 0)
    answer(house, task)
    assert await asked == said("yes")


@simulated
async def test_a_sticky_worker_that_does_not_come_is_given_up(house: House) -> None:
    await idle(house, sticky="mine:5s")
    assert await house.poll("mine", sticky_for="queue", seconds=1) is None
    before = asyncio.get_running_loop().time()
    asked = ask(house)
    task = await take_query(house)
    assert asyncio.get_running_loop().time() - before == pytest.approx(5)
    assert task.history
    answer(house, task)
    assert await asked == said("yes")
    assert not (await house.run("w")).pending.sticky_queue


@simulated
async def test_a_sticky_worker_that_never_polled_is_not_waited_for(house: House) -> None:
    await idle(house, sticky="mine:5s")
    before = asyncio.get_running_loop().time()
    asked = ask(house)
    task = await take_query(house)
    assert asyncio.get_running_loop().time() == before
    answer(house, task)
    assert await asked == said("yes")


@simulated
async def test_a_run_that_was_followed_by_another_answers_from_its_own_history(
    house: House,
) -> None:
    started = await house.start("w")
    await house.complete(await house.take(), "continue again")
    asked = ask(house, run_id=started.run_id)
    task = await take_query(house)
    assert task.run_id == started.run_id
    assert len(History.FromString(task.history).events) == 5
    answer(house, task)
    assert await asked == said("yes")
    with pytest.raises(NotFound):
        await ask(house, run_id="00000000-0000-0000-0000-00000000dead")


@simulated
async def test_a_query_that_waits_is_asked_directly_when_its_run_ends(house: House) -> None:
    await idle(house)
    await house.signal("w")
    asked = ask(house)
    await turns()
    await house.terminate("w")
    task = await take_query(house)
    assert len(History.FromString(task.history).events) == 8
    answer(house, task)
    assert await asked == said("yes")


@simulated
async def test_whoever_waits_when_the_engine_stops_hears_of_it(house: House) -> None:
    await idle(house)
    direct = ask(house)
    await turns()
    await house.engine.close()
    with pytest.raises(EngineStopped):
        await direct
    with pytest.raises(EngineStopped):
        await ask(house)


@simulated
async def test_whoever_waits_for_a_task_when_the_engine_stops_hears_of_it(house: House) -> None:
    await house.start("w")
    waiting = ask(house)
    await turns()
    await house.engine.close()
    with pytest.raises(EngineStopped):
        await waiting


@simulated
async def test_a_terminated_run_is_asked_with_the_history_that_its_worker_has_not_seen(
    house: House,
) -> None:
    await idle(house, sticky="mine:5s")
    assert await house.poll("mine", sticky_for="queue", seconds=1) is None
    await house.signal("w")
    await house.terminate("w")
    sticky = spawn(house.poll("mine", sticky_for="queue"))
    asked = ask(house)
    task = await take_query(house)
    assert len(History.FromString(task.history).events) == task.last_event_id, "all of it"
    answer(house, task)
    assert await asked == said("yes")
    assert await sticky is None


@simulated
async def test_a_task_that_is_given_out_again_brings_no_query_that_is_behind_a_buffered_event(
    house: House,
) -> None:
    await idle(house)
    await house.signal("w", request="first")
    polled = spawn(house.poll())
    house.wire.hold()
    await turns()
    signalled = spawn(house.signal("w", request="second"))
    await turns()
    polled.cancel()
    await turns()
    house.wire.release()
    await signalled
    asked = ask(house)
    await turns()
    again = await house.take()
    assert not again.task.queries, "its worker does not see the second signal"
    await house.complete(again, "")
    following = await house.take()
    (query_id,) = following.task.queries
    await house.complete(following, "", answer=f"{query_id}:yes")
    assert await asked == said("yes")
