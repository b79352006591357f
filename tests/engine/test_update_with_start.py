"""Updates with start: both in one commit, the update in memory, and decided anew when an open run
closes first."""

from __future__ import annotations

import asyncio

import pytest

from perdure.server.engine.api import UpdateAnswer
from perdure.server.machines.errors import (
    AlreadyStarted,
    NotFound,
    StartDeduplicated,
    UpdateRefused,
)
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.inputs import UpdateStage, WorkflowStarted
from tests.engine.house import NAMESPACE, House, simulated, spawn, turns
from tests.machines import requests, updating

ADMITTED, ACCEPTED, COMPLETED = UpdateStage


def send(
    house: House,
    update_id: str,
    stage: int = COMPLETED,
    seconds: float = 30,
    **options: str,
) -> asyncio.Task[tuple[WorkflowStarted, UpdateAnswer]]:
    """Start the workflow "w" with an update, or only update it."""
    request = requests.start({"request": "one", **options})
    request.workflow_id = "w"
    message = inputs.UpdateWithStart(inputs.StartWorkflow(request), updating.update(update_id))
    return spawn(
        house.engine.update_with_start(
            NAMESPACE, "w", message, stage=stage, timeout_seconds=seconds
        )
    )


@simulated
async def test_a_run_and_its_update_begin_together(house: House) -> None:
    sent = send(house, "u")
    await house.complete(await house.take(), "", say="accept:u,respond:u")
    started, answer = await sent
    assert started.is_new
    assert (answer.run_id, answer.stage) == (started.run_id, COMPLETED)
    assert not answer.was_completed
    again, answer = await send(house, "u")
    assert not again.is_new
    assert answer.was_completed


@simulated
async def test_nothing_is_answered_before_the_start_is_durable(house: House) -> None:
    house.wire.hold()
    sent = send(house, "u", stage=0)
    await turns()
    assert not sent.done()
    house.wire.release()
    started, answer = await sent
    assert answer == UpdateAnswer(started.run_id, "u", ADMITTED)


@simulated
async def test_after_a_crash_the_run_is_there_and_the_update_is_sent_again(house: House) -> None:
    sent = send(house, "u")
    await turns()
    await house.crash()
    sent.cancel()
    again = send(house, "u")
    await house.complete(await house.take(), "", say="accept:u,respond:u")
    started, answer = await again
    assert not started.is_new
    assert answer.stage == COMPLETED
    assert (await house.run("w")).recorded.run_id == started.run_id


@simulated
async def test_a_new_run_that_closes_first_was_started_all_the_same(house: House) -> None:
    sent = send(house, "u")
    await house.complete(await house.take(), "done bye")
    with pytest.raises(UpdateRefused) as refused:
        await sent
    assert refused.value.has_started
    assert isinstance(refused.value.refusal, NotFound)


@simulated
async def test_an_open_run_that_closes_first_gives_way_to_another(house: House) -> None:
    await house.start("w")
    await house.complete(await house.take(), "")
    first = (await house.run("w")).recorded.run_id
    sent = send(house, "u", conflict="use_existing")
    await house.complete(await house.take(), "done bye")
    await house.complete(await house.take(), "", say="accept:u,respond:u")
    started, answer = await sent
    assert started.is_new
    assert answer.run_id == started.run_id != first


@simulated
async def test_the_request_that_has_started_a_closed_run_starts_no_other(house: House) -> None:
    await send(house, "u", stage=0)
    await house.complete(await house.take(), "done bye")
    with pytest.raises(StartDeduplicated):
        await send(house, "v")


@simulated
async def test_an_open_run_of_another_request_is_in_the_way(house: House) -> None:
    await house.start("w")
    with pytest.raises(AlreadyStarted):
        await send(house, "u", request="two")


@simulated
async def test_who_wants_the_outcome_hears_of_no_earlier_stage(house: House) -> None:
    sent, accepted = send(house, "u"), send(house, "u", ACCEPTED)
    await house.complete(await house.take(), "", say="accept:u")
    assert (await accepted)[1].stage == ACCEPTED
    await turns()
    assert not sent.done()
    await house.signal("w")
    await house.complete(await house.take(), "", say="respond:u")
    assert (await sent)[1].stage == COMPLETED
