"""Updates and the tasks that bring them: in memory until a worker accepts, told when they are
durable, and never lost without a word."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.protocol.v1 import Message
from temporalio.api.update.v1 import Outcome

from perdure.server.engine.api import (
    EngineStopped,
    EngineUnavailable,
    UpdateAnswer,
    WorkflowTaskWithHistory,
)
from perdure.server.machines.errors import BusyWorkflow, NotFound, WorkflowNotReady
from perdure.server.machines.ports import Kind
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.inputs import UpdateStage
from tests.engine.house import NAMESPACE, House, simulated, spawn, turns
from tests.machines import requests, updating

ADMITTED, ACCEPTED, COMPLETED = UpdateStage


def send(
    house: House, update_id: str, stage: int = COMPLETED, seconds: float = 30
) -> asyncio.Task[UpdateAnswer]:
    """Send an update to the workflow "w"."""
    message = updating.update(update_id)
    return spawn(house.engine.update(NAMESPACE, "w", message, stage=stage, timeout_seconds=seconds))


async def ask(house: House, update_id: str, run_id: str = "") -> UpdateAnswer:
    """What is known of an update now."""
    message = inputs.PollUpdate(run_id, update_id)
    return await house.engine.update(NAMESPACE, "w", message, stage=0, timeout_seconds=0)


def sent_with(task: WorkflowTaskWithHistory) -> list[str]:
    """The ids of the updates that a task brings."""
    return [Message.FromString(message).protocol_instance_id for message in task.task.messages]


async def idle(house: House, **options: str) -> None:
    """The workflow "w", which has seen everything."""
    await house.start("w")
    await house.complete(await house.take(), "", **options)


def outcome_of(answer: UpdateAnswer) -> Outcome:
    assert answer.outcome is not None
    return Outcome.FromString(answer.outcome)


@simulated
async def test_a_rejected_update_is_answered_and_nothing_was_ever_written(house: House) -> None:
    await idle(house)
    before, commits = await house.types("w"), len(house.wire.commits)
    polled = spawn(house.take())
    await turns()
    sent = send(house, "u")
    task = await polled
    assert sent_with(task) == ["u"]
    await house.complete(task, "", say="reject:u")
    answer = await sent
    assert outcome_of(answer).failure.message == "no"
    assert await house.types("w") == before
    assert len(house.wire.commits) == commits
    with pytest.raises(NotFound):
        await ask(house, "u")


@simulated
async def test_an_outcome_is_told_when_it_is_durable_and_known_after_a_crash(house: House) -> None:
    await idle(house)
    sent = send(house, "u")
    task = await house.take()
    house.wire.hold()
    completed = spawn(house.complete(task, "", say="accept:u,respond:u"))
    await turns()
    assert not sent.done()
    house.wire.release()
    await completed
    answer = await sent
    assert outcome_of(answer).success.payloads[0].data == b"done"
    await house.crash()
    assert await ask(house, "u") == answer
    assert await send(house, "u") == answer
    await house.terminate("w")
    assert await ask(house, "u") == answer


@simulated
async def test_nothing_is_kept_for_those_who_ask_for_an_update_that_is_over(house: House) -> None:
    await idle(house)
    sent = send(house, "u")
    await house.complete(await house.take(), "", say="accept:u,respond:u")
    answer = await sent
    assert await ask(house, "u") == await send(house, "u") == answer
    execution = house.engine.cache.get((NAMESPACE.number, "w", Kind.WORKFLOW))
    assert execution is not None
    assert (execution.waiting, execution.pins) == ({}, 0)


@simulated
async def test_a_waiting_caller_hears_of_each_stage(house: House) -> None:
    await idle(house)
    accepted, completed = send(house, "u", ACCEPTED), send(house, "u")
    await house.complete(await house.take(), "", say="accept:u")
    assert (await accepted).stage == ACCEPTED
    await turns()
    assert not completed.done()
    await house.signal("w")
    await house.complete(await house.take(), "", say="respond:u")
    assert (await completed).stage == COMPLETED


@simulated
async def test_who_waits_for_long_hears_how_far_the_update_has_come(house: House) -> None:
    await idle(house)
    assert await send(house, "u", seconds=3) == UpdateAnswer(
        (await house.run("w")).recorded.run_id, "u", ADMITTED
    )
    await house.complete(await house.take(), "", say="accept:u")
    assert (await send(house, "u", seconds=3)).stage == ACCEPTED


@simulated
async def test_a_rejection_waits_for_what_the_task_has_seen(house: House) -> None:
    await idle(house)
    await house.signal("w")
    task = await house.take()
    house.wire.hold()
    completed = spawn(house.complete(task, "timer t2 1h"))
    await turns()
    sent = send(house, "u")
    polled = spawn(house.take())
    await turns()
    assert not polled.done(), "a worker must not hear of what may be lost"
    house.wire.release()
    await completed
    await house.complete(await polled, "", say="reject:u")
    assert (await sent).stage == COMPLETED


@simulated
async def test_a_lost_commit_takes_the_updates_with_it_and_their_callers_try_again(
    house: House,
) -> None:
    await idle(house)
    sent = send(house, "u")
    task = await house.take()
    house.faults.poisoned_workflow_ids.add("w")
    with pytest.raises(EngineUnavailable):
        await house.complete(task, "", say="accept:u")
    with pytest.raises(EngineUnavailable):
        await sent
    house.faults.poisoned_workflow_ids.clear()
    with pytest.raises(NotFound):
        await house.complete(task, "", say="accept:u")
    again = send(house, "u")
    await house.complete(await house.take(), "", say="accept:u,respond:u")
    assert (await again).stage == COMPLETED
    assert (await house.types("w")).count("WORKFLOW_EXECUTION_UPDATE_ACCEPTED") == 1


@simulated
async def test_a_speculative_task_that_nobody_takes_is_stored_and_found_after_a_crash(
    house: House,
) -> None:
    await idle(house)
    sent = send(house, "u", seconds=20)
    await asyncio.sleep(6)
    assert (await house.types("w"))[-2:] == ["WORKFLOW_TASK_TIMED_OUT", "WORKFLOW_TASK_SCHEDULED"]
    assert (await sent).stage == ADMITTED
    await house.crash()
    assert sent_with(await house.take()) == []


@simulated
async def test_a_speculative_task_times_out_in_its_workers_hands(house: House) -> None:
    await idle(house)
    sent = send(house, "u")
    await house.take()
    await asyncio.sleep(11)
    again = await house.take()
    assert (again.task.attempt, sent_with(again)) == (2, ["u"])
    await house.complete(again, "", say="reject:u")
    assert (await sent).stage == COMPLETED


@simulated
async def test_a_speculative_task_whose_poll_was_gone_is_on_offer_again(house: House) -> None:
    await idle(house)
    polled = spawn(house.take())
    await turns()
    sent = send(house, "u")
    await asyncio.sleep(0)
    polled.cancel()
    await asyncio.gather(polled, return_exceptions=True)
    task = await house.take()
    assert (task.task.attempt, sent_with(task)) == (1, ["u"])
    await house.complete(task, "", say="reject:u")
    assert (await sent).stage == COMPLETED
    assert len(await house.types("w")) == 4, "it has left a trace"


@simulated
async def test_a_speculative_task_leaves_a_sticky_queue_that_nobody_polls(house: House) -> None:
    await idle(house, sticky="mine:5s")
    sent = send(house, "u")
    task = await house.take()
    await house.complete(task, "", say="reject:u")
    assert (await sent).stage == COMPLETED
    assert len(await house.types("w")) == 4, "it has left a trace"


@simulated
async def test_a_waiting_update_keeps_its_workflow_in_memory(house: House) -> None:
    await house.engine.close()
    await house.open(executions_max=1)
    await idle(house)
    sent = send(house, "u")
    await turns()
    for number in range(5):
        await house.start(f"other {number}", queue="elsewhere")
    await house.complete(await house.take(), "", say="reject:u")
    assert (await sent).stage == COMPLETED


@simulated
async def test_what_ends_an_update_says_why(house: House) -> None:
    await idle(house)
    sent = send(house, "u")
    refused = await house.complete(await house.take(), "message nothing")
    assert isinstance(refused, inputs.RefusedWorkflowTask)
    with pytest.raises(WorkflowNotReady):
        await sent
    sent = send(house, "u")
    await turns()
    await house.complete(await house.take(), "continue again")
    with pytest.raises(BusyWorkflow):
        await sent
    sent = send(house, "u")
    await turns()
    await house.terminate("w")
    with pytest.raises(NotFound):
        await sent


@simulated
async def test_an_update_of_an_earlier_run_is_found_there(house: House) -> None:
    await idle(house)
    run_id = (await house.run("w")).recorded.run_id
    sent = send(house, "u")
    await house.complete(await house.take(), "", say="accept:u,respond:u")
    answer = await sent
    await house.signal("w")
    await house.complete(await house.take(), "continue again")
    assert await ask(house, "u", run_id) == answer
    with pytest.raises(NotFound):
        await ask(house, "u")


@simulated
async def test_whoever_waits_for_an_update_hears_that_the_engine_stops(house: House) -> None:
    await idle(house)
    sent = send(house, "u", seconds=3_600)
    await turns()
    assert not sent.done()
    await house.engine.close()
    with pytest.raises(EngineStopped):
        await sent


@simulated
async def test_an_update_between_a_start_and_its_repetition_comes_with_a_later_task(
    house: House,
) -> None:
    async def start() -> inputs.WorkflowStarted:
        request = requests.start({}, is_eager=True)
        reply = await house.submit("w", inputs.StartWorkflow(request))
        assert isinstance(reply, inputs.WorkflowStarted)
        return reply

    first = await start()
    sent = send(house, "u")
    await turns()
    repeated = await start()
    assert first.eager_task is not None
    assert repeated.eager_task == first.eager_task, "it brings no more than the first did"
    task = WorkflowTaskWithHistory(first.eager_task, b"", 0)
    await house.complete(task, "")
    await house.complete(await house.take(), "", say="accept:u,respond:u")
    assert (await sent).stage == COMPLETED
