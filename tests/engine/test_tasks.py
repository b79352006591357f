"""Tasks find their polls, and find their way back when a poll is gone."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.history.v1 import History

from perdure.server.engine import history as history_module
from perdure.server.engine.api import EngineUnavailable, Poll, WorkflowTaskWithHistory
from perdure.server.machines.queue import queue as queue_module
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.effects import TaskKind
from perdure.server.matching import queues as queues_module
from perdure.server.store.faulty import Fault, FaultOdds
from perdure.server.store.ports import DispatchRow
from tests.engine.house import NAMESPACE, House, simulated, spawn, turns
from tests.machines import requests
from tests.machines.world import type_name


@simulated
async def test_a_task_whose_poll_died_is_offered_again_and_not_counted(house: House) -> None:
    polled = spawn(house.poll())
    await turns()
    house.wire.hold()
    starting = spawn(house.start("w"))
    await turns()
    polled.cancel()
    await turns()
    house.wire.release()
    await starting
    task = await house.take()
    assert (task.task.attempt, task.task.token.stamp) == (1, 2), "another offer, same attempt"
    assert task.task.started_event_id == 3
    assert (await house.types("w")).count("WORKFLOW_TASK_STARTED") == 1
    await house.complete(task, "done bye")
    assert (await house.types("w"))[-1] == "WORKFLOW_EXECUTION_COMPLETED"


@simulated
async def test_an_activity_whose_poll_died_is_offered_again_and_not_counted(house: House) -> None:
    await house.start("w")
    task = await house.take()
    await house.complete(task, "activity a retry=1s,1,1s,1")
    house.wire.hold()
    polled = spawn(house.poll_activity())
    await turns()
    polled.cancel()
    await turns()
    house.wire.release()
    found = await house.poll_activity()
    assert found is not None
    assert (found.task.attempt, found.task.token.stamp) == (1, 1), "another offer, same attempt"
    await house.submit(
        "w", inputs.CompleteActivity(found.task.token, requests.payloads("A"), "worker")
    )
    assert "ACTIVITY_TASK_COMPLETED" in await house.types("w")


@simulated
async def test_an_undelivered_task_is_offered_again_also_when_that_cannot_be_written_at_once(
    house: House,
) -> None:
    await house.start("w")
    await house.complete(await house.take(), "activity a start_to_close=86400s retry=1s,1,1s,1")
    house.wire.hold()
    polled = spawn(house.poll_activity())
    await turns()
    polled.cancel()
    await turns()
    house.faults.play([Fault.NONE, Fault.UNAVAILABLE, Fault.UNAVAILABLE])
    house.wire.release()
    found = await house.poll_activity()
    assert found is not None
    assert found.task.attempt == 1, "the attempt that nobody got does not count"


@simulated
async def test_a_poll_that_finds_nothing_returns_in_time(house: House) -> None:
    before = asyncio.get_running_loop().time()
    assert await house.poll(seconds=12) is None
    assert asyncio.get_running_loop().time() - before == pytest.approx(12)
    await house.start("w")
    assert await house.poll() is not None, "a poll that is over takes no task"


@simulated
async def test_a_sticky_queue_without_a_worker_falls_back(house: House) -> None:
    await house.start("w")
    await house.complete(await house.take(), "marker m", sticky="mine:60s")
    await house.signal("w")
    before = asyncio.get_running_loop().time()
    task = await house.take()
    assert asyncio.get_running_loop().time() - before < 1, "at once, not after its timeout"
    events = History.FromString(task.history).events
    assert events[0].event_id == 1, "another worker needs the whole history"
    assert "WORKFLOW_TASK_TIMED_OUT" not in await house.types("w")


@simulated
async def test_a_sticky_worker_gets_what_it_has_not_seen(house: House) -> None:
    await house.start("w")
    await house.complete(await house.take(), "marker m", sticky="mine:60s")
    polled = spawn(house.poll("mine", sticky_for="queue"))
    await turns()
    normal = spawn(house.poll(seconds=5))
    await house.signal("w")
    task = await polled
    assert task is not None
    events = History.FromString(task.history).events
    assert type_name(events[0]) == "WORKFLOW_TASK_COMPLETED"
    assert await normal is None


@simulated
async def test_a_sticky_worker_that_does_not_come_back_loses_its_task(house: House) -> None:
    await house.start("w")
    await house.complete(await house.take(), "marker m", sticky="mine:3s")
    assert await house.poll("mine", sticky_for="queue", seconds=1) is None
    await house.signal("w")
    task = await house.take()
    assert "WORKFLOW_TASK_TIMED_OUT" in await house.types("w")
    assert History.FromString(task.history).events[0].event_id == 1


@simulated
async def test_a_worker_that_shuts_down_is_offered_nothing_more(house: House) -> None:
    await house.start("w")
    await house.complete(await house.take(), "marker m", sticky="mine:60s")
    polled = spawn(house.poll("mine", sticky_for="queue", seconds=600))
    other = spawn(
        house.engine.poll_workflow_task(
            Poll(NAMESPACE, "mine", "other", "queue", worker_instance="worker-2"), 600
        )
    )
    await turns()
    assert house.engine.cancel_polls(NAMESPACE, "worker-1", "") == 1
    assert await polled is None
    assert not other.done()
    assert house.engine.cancel_polls(NAMESPACE, "worker-2", "mine") == 1
    assert await other is None
    late = Poll(NAMESPACE, "queue", "other", worker_instance="worker-2")
    async with asyncio.timeout(1):
        assert await house.engine.poll_workflow_task(late, 600) is None
    await house.signal("w")
    next_worker = Poll(NAMESPACE, "queue", "next", worker_instance="worker-3")
    found = await house.engine.poll_workflow_task(next_worker, 1)
    assert isinstance(found, WorkflowTaskWithHistory)
    assert found.task.history_from == 1


@simulated
async def test_a_backlog_beyond_memory_is_served_whole_and_in_order(house: House) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue_module, "BACKLOG_IN_MEMORY_MAX", 3)
        patch.setattr(queues_module, "BACKLOG_PAGE", 2)
        names = [f"w{number:02}" for number in range(12)]
        for name in names:
            await house.start(name)
            await asyncio.sleep(0.01)
        served = [(await house.take()).task.token.workflow_id for _ in names]
        assert served == names
        assert await house.poll(seconds=5) is None


@simulated
async def test_an_urgent_task_is_found_though_a_long_backlog_was_read_beyond_it(
    house: House,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue_module, "BACKLOG_IN_MEMORY_MAX", 2)
        patch.setattr(queues_module, "BACKLOG_PAGE", 1)
        for number in range(4):
            await house.start(f"w{number}")
        await house.take()
        await house.start("urgent", priority="1")
        served = {(await house.take()).task.token.workflow_id for _ in range(4)}
        assert "urgent" in served
        assert len(served) == 4


@simulated
async def test_polls_that_wait_are_served_in_the_order_in_which_they_came(house: House) -> None:
    polls = [spawn(house.poll()) for _ in range(3)]
    await turns()
    for number in range(3):
        await house.start(f"w{number}")
    found = await asyncio.gather(*polls)
    assert [task and task.task.token.workflow_id for task in found] == ["w0", "w1", "w2"]


@simulated
async def test_a_long_history_travels_in_parts(house: House) -> None:
    await house.start("w")
    for _ in range(300):
        await house.signal("w")
    task = await house.take()
    events = History.FromString(task.history).events
    assert 0 < task.next_event_id == len(events) + 1 < 300
    page = await house.engine.read_history(
        NAMESPACE, "w", "", first_event_id=task.next_event_id, events_max=1000
    )
    rest = History.FromString(page.history).events
    assert [event.event_id for event in [*events, *rest]] == list(range(1, 304))


@simulated
async def test_a_task_is_not_lost_whenever_its_poll_goes_away(house: House) -> None:
    was_given = set()
    for moment in range(25):
        name = f"w{moment}"
        house.wire.hold()
        polled, starting = spawn(house.poll()), spawn(house.start(name))
        await turns()
        house.wire.release()
        await turns(moment)
        was_given.add(polled.done())
        polled.cancel()
        await starting
        before = asyncio.get_running_loop().time()
        task = polled.result() if polled.done() and not polled.cancelled() else await house.take()
        assert task is not None
        assert task.task.token.workflow_id == name
        assert asyncio.get_running_loop().time() - before < 1, "at once, not after its timeout"
        await house.complete(task, "done bye")
    assert was_given == {True, False}, "polls went away before and after they were given a task"


@simulated
async def test_a_task_whose_history_cannot_be_read_is_offered_again(house: House) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_module, "TAIL_BYTES_MAX", 0)
        polled = spawn(house.poll())
        await turns()
        house.faults.odds = FaultOdds(read_unavailable=1.0)
        await house.start("w")
        with pytest.raises(EngineUnavailable):
            await polled
        house.faults.odds = FaultOdds()
        task = await house.take()
    assert task.task.attempt == 1


@simulated
async def test_a_run_that_another_replaces_has_nothing_on_offer_any_more(house: House) -> None:
    await house.start("w")
    assert len(await rows_of(house)) == 1
    await house.start("w", request="second", conflict="TERMINATE_EXISTING")
    second = await house.run("w")
    assert [row.stamp for row in await rows_of(house)] == [second.pending.task_stamp]
    assert len({row.run for row in await rows_of(house)}) == 1
    await house.complete(await house.take(), "activity a")
    await house.signal("w", request="news")
    kinds = {row.kind for row in await rows_of(house)}
    assert kinds == {TaskKind.WORKFLOW, TaskKind.ACTIVITY}
    await house.complete(await house.take(), "continue")
    assert TaskKind.ACTIVITY not in {row.kind for row in await rows_of(house)}


async def rows_of(house: House) -> list[DispatchRow]:
    """Everything that is on offer in the store."""
    return [
        row
        for queue in await house.faults.queues_with_backlog()
        for row in await house.faults.backlog(queue, None, 100)
    ]
