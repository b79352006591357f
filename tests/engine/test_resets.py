"""Resets through the shell: what is copied, what is durable, and what a crash leaves."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import History
from temporalio.api.update.v1 import Outcome
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from perdure.server.engine.api import EngineUnavailable, UpdateAnswer
from perdure.server.engine.history import TAIL_BYTES_MAX
from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.server.machines.ports import Address, Kind
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.inputs import PollUpdate, UpdateStage
from tests.engine.house import NAMESPACE, House, simulated, spawn, turns
from tests.machines import requests, updating

LARGE = f"*{TAIL_BYTES_MAX}"


async def reset(house: House, cut: int, run_id: str = "", name: str = "reset") -> str:
    """Reset "w" to before an event."""
    request = ResetWorkflowExecutionRequest(
        workflow_execution=WorkflowExecution(workflow_id="w", run_id=run_id),
        reason="because",
        workflow_task_finish_event_id=cut,
        request_id=name,
    )
    return await house.engine.reset(NAMESPACE, "w", request)


async def update(house: House, update_id: str, seconds: float = 30) -> UpdateAnswer:
    """Send an update to "w", and wait for its outcome."""
    return await house.engine.update(
        NAMESPACE,
        "w",
        updating.update(update_id),
        stage=UpdateStage.COMPLETED,
        timeout_seconds=seconds,
    )


async def begin(house: House, commands: str = "timer t 1h; activity a") -> str:
    """A run whose first task has been completed."""
    started = await house.start("w", request=f"start {commands}")
    await house.complete(await house.take(), commands)
    return started.run_id


@simulated
async def test_a_reset_is_there_after_a_crash_and_goes_on(house: House) -> None:
    first = await begin(house)
    await house.signal("w", request="one")
    run_id = await reset(house, 4)
    await house.crash()
    assert (await house.run("w")).recorded.run_id == run_id != first
    assert (await house.types("w"))[2:] == [
        "WORKFLOW_TASK_STARTED",
        "WORKFLOW_TASK_FAILED",
        "WORKFLOW_EXECUTION_SIGNALED",
        "WORKFLOW_TASK_SCHEDULED",
    ]
    await house.complete(await house.take(), "done bye")
    old = await house.engine.describe(NAMESPACE, "w", first)
    assert old.run.pending.reset_run_id == run_id


@simulated
async def test_a_run_that_a_reset_began_is_retried_as_the_first_one_was(house: House) -> None:
    await house.start("w", retry="1s,2,10s,3", input="hello")
    await house.complete(await house.take(), "timer t 1h")
    await reset(house, 4)
    await house.complete(await house.take(), "fail broken")
    await house.complete(await house.take(), "done bye")
    started = (await house.history("w"))[0].workflow_execution_started_event_attributes
    assert started.attempt == 2
    assert started.input.payloads[0].data == b"hello"


@simulated
async def test_a_cut_within_a_batch_copies_exactly_what_is_before_it(house: House) -> None:
    # An eager start writes the start of its task in the batch of its beginning.
    reply = await house.submit(
        "w", inputs.StartWorkflow(requests.start({"request": "eager"}, is_eager=True))
    )
    assert isinstance(reply, inputs.WorkflowStarted)
    await reset(house, 3)
    events = await house.history("w")
    assert [event.event_id for event in events] == [1, 2, 3, 4, 5]
    assert events[2].workflow_task_started_event_attributes.identity == "history-service"
    await house.crash()
    assert [event.event_id for event in await house.history("w")] == [1, 2, 3, 4, 5]


@simulated
async def test_a_closed_run_is_reset_while_another_is_open(house: House) -> None:
    first = await begin(house, "done bye")
    second = (await house.start("w", request="another")).run_id
    third = await reset(house, 4, first)
    assert (await house.run("w")).recorded.run_id == third
    await house.crash()
    assert (await house.engine.describe(NAMESPACE, "w", first)).run.pending.reset_run_id == third
    ended = (await house.engine.describe(NAMESPACE, "w", second)).run.recorded
    assert ended.close_event_id == ended.next_event_id - 1


@simulated
async def test_a_reset_keeps_to_its_run_when_another_begins_meanwhile(house: House) -> None:
    for pause in range(12):
        first = await begin(house, f"marker m{pause}; done bye")
        resetting = spawn(reset(house, 4, first, f"reset {pause}"))
        await turns(pause)
        await house.start("w", request=f"second {pause}", conflict="TERMINATE_EXISTING")
        run_id = await resetting
        page = await house.engine.read_history(
            NAMESPACE, "w", run_id, first_event_id=1, events_max=100
        )
        events = History.FromString(page.history).events
        failed = events[3].workflow_task_failed_event_attributes
        assert (failed.base_run_id, failed.new_run_id) == (first, run_id)
        assert not any(event.HasField("marker_recorded_event_attributes") for event in events)
        await house.terminate("w")
        polled = await house.poll(seconds=1)
        assert polled is None


@simulated
async def test_large_signals_that_left_the_memory_are_done_again(house: House) -> None:
    await begin(house)
    for name in ("one", "two", "three"):
        await house.signal("w", request=name, input=LARGE)
    await reset(house, 4)
    assert (await house.types("w")).count("WORKFLOW_EXECUTION_SIGNALED") == 3
    assert (await house.run("w")).recorded.signals == 3


@simulated
async def test_signals_that_come_while_a_reset_is_made_are_not_lost(house: House) -> None:
    await begin(house)
    house.wire.hold()
    signalling = [spawn(house.signal("w", request=f"before {n}")) for n in range(5)]
    await turns()
    resetting = spawn(reset(house, 4))
    signalling += [spawn(house.signal("w", request=f"after {n}")) for n in range(5)]
    await turns()
    house.wire.release()
    await asyncio.gather(resetting, *signalling)
    requests_seen = [
        event.workflow_execution_signaled_event_attributes.request_id
        for event in await house.history("w")
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert len(requests_seen) == len(set(requests_seen)) == 10


@simulated
async def test_a_repeated_request_gets_its_first_answer_also_after_a_crash(house: House) -> None:
    await begin(house)
    first, second = await asyncio.gather(reset(house, 4), reset(house, 4))
    assert first == second
    await house.crash()
    assert await reset(house, 4) == first


@simulated
async def test_a_crash_before_the_deciding_commit_leaves_nothing(house: House) -> None:
    run_id = await begin(house)
    house.wire.hold()
    resetting = spawn(reset(house, 4))
    await turns()
    assert await house.faults.leftovers(), "history has been copied"
    await house.crash()
    await turns()
    assert not resetting.done()
    assert await house.faults.leftovers() == []
    assert (await house.run("w")).recorded.run_id == run_id
    assert await reset(house, 4) != run_id


@simulated
async def test_a_reset_whose_commit_is_lost_leaves_nothing(house: House) -> None:
    run_id = await begin(house)
    house.wire.hold()
    resetting = spawn(reset(house, 4))
    await turns()
    house.faults.is_unavailable = True
    house.wire.release()
    with pytest.raises(EngineUnavailable):
        await resetting
    house.faults.is_unavailable = False
    await house.crash()
    await turns()
    assert await house.faults.leftovers() == []
    assert (await house.run("w")).recorded.run_id == run_id


@simulated
async def test_a_refused_reset_copies_nothing_and_changes_nothing(house: House) -> None:
    await begin(house)
    for cut, run_id, refusal in (
        (5, "", InvalidArgument),
        (99, "", InvalidArgument),
        (4, "00000000-0000-0000-0000-00000000dead", NotFound),
    ):
        with pytest.raises(refusal):
            await reset(house, cut, run_id)
    await turns()
    assert await house.faults.leftovers() == []
    assert len(await house.types("w")) == 6


@simulated
async def test_the_activity_of_the_new_run_is_not_that_of_the_old_one(house: House) -> None:
    await begin(house)
    await house.signal("w", request="one")
    await house.complete(await house.take(), "timer u 1h")
    await reset(house, 9)
    task = await house.poll_activity()
    assert task is not None
    assert task.task.token.run_id == (await house.run("w")).recorded.run_id
    assert await house.poll_activity(seconds=1) is None


@simulated
async def test_a_reset_whose_caller_goes_away_keeps_its_history(house: House) -> None:
    first = await begin(house)
    house.wire.hold()
    resetting = spawn(reset(house, 4))
    await turns()
    resetting.cancel()
    await turns()
    house.wire.release()
    await turns()
    await house.crash()
    assert (await house.run("w")).recorded.run_id != first
    events = await house.history("w")
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    assert await house.faults.leftovers() == []


@simulated
async def test_a_deletion_whose_caller_goes_away_leaves_no_rows(house: House) -> None:
    await begin(house)
    house.wire.hold()
    deleting = spawn(house.engine.delete(NAMESPACE, Address(Kind.WORKFLOW, "w"), ""))
    await turns()
    deleting.cancel()
    await turns()
    house.wire.release()
    await turns()
    assert await house.faults.leftovers() == []
    with pytest.raises(NotFound):
        await house.run("w")


@simulated
async def test_a_run_is_deleted_once_however_many_ask(house: House) -> None:
    run_id = await begin(house, "done bye")
    await house.start("w", request="another")
    house.wire.hold()
    deleting = [
        spawn(house.engine.delete(NAMESPACE, Address(Kind.WORKFLOW, "w"), run_id)) for _ in range(3)
    ]
    await turns()
    house.wire.release()
    outcomes = await asyncio.gather(*deleting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), NotFound, NotFound]


@simulated
async def test_an_update_that_a_reset_admits_is_durable(house: House) -> None:
    await begin(house)
    sent = spawn(update(house, "u"))
    await house.complete(await house.take(), "", say="accept:u")
    await reset(house, 4)
    assert (await sent).stage == UpdateStage.COMPLETED  # The old run has failed it.
    await house.crash()
    assert (await update(house, "u", seconds=0)).stage == UpdateStage.ADMITTED
    waiting = spawn(update(house, "u"))
    await house.complete(await house.take(), "", say="accept:u,respond:u")
    assert (await waiting).stage == UpdateStage.COMPLETED


@simulated
async def test_an_update_that_a_reset_admits_can_be_rejected_for_good(house: House) -> None:
    await begin(house)
    sent = spawn(update(house, "u"))
    await house.complete(await house.take(), "", say="accept:u")
    await reset(house, 4)
    await sent
    waiting = spawn(update(house, "u"))
    await turns()
    await house.complete(await house.take(), "", say="reject:u")
    answer = await waiting
    assert answer.outcome is not None
    assert Outcome.FromString(answer.outcome).failure.message == "no"
    await house.crash()
    with pytest.raises(NotFound):
        await house.engine.update(NAMESPACE, "w", PollUpdate("", "u"), stage=0, timeout_seconds=0)


@simulated
async def test_a_task_whose_run_is_deleted_on_the_way_is_no_task(house: House) -> None:
    for pause in range(20):
        run_id = await begin(house, f"marker m{pause}")
        await house.signal("w", request=f"news {pause}")
        house.engine.cache.drop_all()  # Its history has to be read.
        polled = spawn(house.poll(seconds=1))
        await turns(pause)
        await house.engine.delete(NAMESPACE, Address(Kind.WORKFLOW, "w"), run_id)
        found = await polled
        assert found is None or found.task.token.run_id == run_id
