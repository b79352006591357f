"""H6: no answer, whatever it says, reaches anybody before the commit that it rests on."""

from __future__ import annotations

import asyncio

import pytest

from perdure.server.engine.api import EngineStopped
from perdure.server.machines.errors import AlreadyStarted, NotFound
from perdure.server.machines.workflow import inputs
from tests.engine.house import NAMESPACE, House, none_done, simulated, spawn, turns
from tests.machines import requests


@simulated
async def test_a_start_is_answered_when_it_is_durable(house: House) -> None:
    house.wire.hold()
    starting = spawn(house.start("w"))
    await asyncio.sleep(60)
    assert not starting.done()
    assert await house.faults.load_current(1, "w") is None
    house.wire.release()
    assert (await starting).is_new
    assert await house.faults.load_current(1, "w") is not None


@simulated
async def test_whatever_rests_on_a_commit_waits_for_it(house: House) -> None:
    house.wire.hold()
    starting = spawn(house.start("w"))
    await turns()
    refusal = spawn(house.start("w", request="another"))
    repeated = spawn(house.start("w"))
    described = spawn(house.run("w"))
    read = spawn(house.types("w"))
    signalled = spawn(house.signal("w", request="r1"))
    news = spawn(house.engine.wait_for_events(NAMESPACE, "w", "", 0, 600))
    polled = spawn(house.poll())
    waiting = [starting, refusal, repeated, described, read, signalled, news, polled]
    await asyncio.sleep(20)
    assert none_done(waiting)
    house.wire.release()
    await turns()
    with pytest.raises(AlreadyStarted):
        await refusal
    assert (await repeated).run_id == (await starting).run_id
    assert (await described).is_open
    assert (await read)[:2] == ["WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED"]
    await asyncio.gather(signalled, news)
    assert await polled is not None


@simulated
async def test_a_refusal_waits_for_what_it_rests_on(house: House) -> None:
    await house.start("w")
    house.wire.hold()
    ended = spawn(house.terminate("w"))
    await turns()
    too_late = spawn(house.signal("w"))
    cancelled = spawn(house.submit("w", inputs.CancelWorkflow("", requests.cancel({}))))
    await asyncio.sleep(60)
    assert none_done([ended, too_late, cancelled])
    house.wire.release()
    await ended
    with pytest.raises(NotFound, match="already completed"):
        await too_late
    assert await cancelled == inputs.Done()


@simulated
async def test_a_refusal_by_a_run_just_superseded_waits_for_its_end(house: House) -> None:
    first = await house.start("w")
    task = await house.take()
    house.wire.hold()
    continued = spawn(house.complete(task, "continue"))
    await turns()
    signal = inputs.SignalWorkflow(first.run_id, requests.signal("go", {}))
    too_late = spawn(house.submit("w", signal))
    await asyncio.sleep(60)
    assert none_done([continued, too_late])
    house.wire.release()
    await continued
    with pytest.raises(NotFound, match="already completed"):
        await too_late


@simulated
async def test_a_repeated_signal_waits_for_the_first(house: House) -> None:
    await house.start("w")
    house.wire.hold()
    first = spawn(house.signal("w", request="r"))
    await turns()
    second = spawn(house.signal("w", request="r"))
    await asyncio.sleep(60)
    assert none_done([first, second])
    house.wire.release()
    await asyncio.gather(first, second)
    assert (await house.types("w")).count("WORKFLOW_EXECUTION_SIGNALED") == 1


@simulated
async def test_a_poll_gets_its_task_when_the_start_is_durable(house: House) -> None:
    polled = spawn(house.poll())
    await turns()
    house.wire.hold()
    starting = spawn(house.start("w"))
    await asyncio.sleep(5)
    assert none_done([polled, starting])
    house.wire.release()
    task = await polled
    assert task is not None
    assert task.task.started_event_id == 3
    assert len(house.wire.commits) == 1, "start and hand-over are one commit"
    (write,) = house.wire.commits[0].writes
    assert write.runs[0].dispatch_put == [], "a row that came and went is not written"


@simulated
async def test_turns_that_come_together_share_a_commit(house: House) -> None:
    await asyncio.gather(*(house.start(f"w{number}") for number in range(20)))
    assert len(house.wire.commits) == 1
    assert len(house.wire.commits[0].writes) == 20


@simulated
async def test_turns_are_decided_while_the_commit_before_is_written(house: House) -> None:
    await house.start("w")
    house.wire.hold()
    first = spawn(house.signal("w"))
    await turns()
    second = spawn(house.signal("w"))
    await turns()
    assert len(house.wire.commits) == 2, "one is in the store's hands, the other is not sealed"
    house.wire.release()
    await asyncio.gather(first, second)
    types = await house.types("w")
    assert types.count("WORKFLOW_EXECUTION_SIGNALED") == 2


@simulated
async def test_readers_wake_up_for_news_and_not_before(house: House) -> None:
    await house.start("w")
    news = spawn(house.engine.wait_for_events(NAMESPACE, "w", "", 2, 600))
    await asyncio.sleep(60)
    assert not news.done()
    house.wire.hold()
    signalled = spawn(house.signal("w"))
    await asyncio.sleep(60)
    assert none_done([news, signalled])
    house.wire.release()
    await asyncio.gather(news, signalled)


@simulated
async def test_a_reader_that_waits_long_enough_returns_without_news(house: House) -> None:
    await house.start("w")
    before = asyncio.get_running_loop().time()
    await house.engine.wait_for_events(NAMESPACE, "w", "", 2, 7)
    assert asyncio.get_running_loop().time() - before == pytest.approx(7)
    with pytest.raises(NotFound):
        await house.engine.wait_for_events(NAMESPACE, "unknown", "", 2, 7)


@simulated
async def test_an_engine_that_closes_writes_what_it_has_decided(house: House) -> None:
    polled = spawn(house.poll(seconds=600))
    await turns()
    house.wire.hold()
    starting = spawn(house.start("w", queue="elsewhere"))
    await turns()
    closing = spawn(house.engine.close())
    await asyncio.sleep(1)
    assert none_done([starting, closing])
    house.wire.release()
    await closing
    assert (await starting).is_new
    assert await polled is None
    with pytest.raises(EngineStopped):
        await house.start("x")


@simulated
async def test_a_description_waits_for_what_was_decided_while_it_waited(house: House) -> None:
    await house.start("w")
    house.wire.hold()
    first = spawn(house.signal("w"))
    await turns()
    describing = spawn(house.run("w"))
    await turns()
    second = spawn(house.signal("w"))
    await turns()
    house.wire.release()
    house.wire.hold()  # Only the commit that waits goes on.
    await turns()
    assert first.done()
    assert none_done([describing, second])
    house.wire.release()
    assert (await describing).recorded.signals == 2
    await second


@simulated
async def test_a_reader_of_history_sees_no_further_than_what_is_durable(house: House) -> None:
    await house.start("w")
    house.wire.hold()
    first = spawn(house.signal("w"))
    await turns()
    reading = spawn(house.types("w"))
    await turns()
    second = spawn(house.signal("w"))
    await turns()
    house.wire.release()
    house.wire.hold()  # Only the commit that waits goes on.
    assert (await reading).count("WORKFLOW_EXECUTION_SIGNALED") == 1
    assert first.done()
    assert none_done([second])
    house.wire.release()
    await second
    assert (await house.types("w")).count("WORKFLOW_EXECUTION_SIGNALED") == 2
