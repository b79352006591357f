"""Tasks that come with the answer to a completion, and an answer that does not reach its worker."""

from __future__ import annotations

import pytest

from perdure.server.engine.api import EngineUnavailable
from perdure.server.machines.workflow import inputs
from perdure.server.store.faulty import Fault, FaultOdds
from tests.engine.house import NAMESPACE, House, simulated, spawn, turns

ACTIVITY = "activity a eager start_to_close=86400s retry=1s,1,1s,1"


@simulated
async def test_an_eager_activity_whose_answer_was_refused_is_offered_to_others(
    house: House,
) -> None:
    """The commit is carried out, and for a while nobody can tell so."""
    await house.start("w")
    task = await house.take()
    house.faults.play([Fault.UNKNOWN_DONE])
    house.faults.odds = FaultOdds(read_unavailable=1.0)
    with pytest.raises(EngineUnavailable):
        await house.complete(task, ACTIVITY)
    house.faults.odds = FaultOdds()
    await _is_offered_as_first_attempt(house)


@simulated
async def test_an_eager_activity_whose_worker_went_away_is_offered_to_others(house: House) -> None:
    await house.start("w")
    task = await house.take()
    house.wire.hold()
    completed = spawn(house.complete(task, ACTIVITY))
    await turns()
    completed.cancel()
    await turns()
    house.wire.release()
    await _is_offered_as_first_attempt(house)


@simulated
async def test_tasks_that_cannot_be_read_for_an_answer_are_offered_to_others(house: House) -> None:
    await house.start("w")
    reply = await house.complete(await house.take(), ACTIVITY)
    assert isinstance(reply, inputs.WorkflowTaskCompleted)
    assert len(reply.activity_tasks) == 1
    house.engine.cache.drop_all()
    house.faults.odds = FaultOdds(read_unavailable=1.0)
    with pytest.raises(EngineUnavailable):
        await house.engine.with_tasks(NAMESPACE, "w", reply)
    house.faults.odds = FaultOdds()
    await _is_offered_as_first_attempt(house)


async def _is_offered_as_first_attempt(house: House) -> None:
    found = await house.poll_activity()
    assert found is not None, "it would have waited for its timeout"
    assert found.task.attempt == 1
