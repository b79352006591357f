"""Schedules start workflows exactly once and hear of their ends, whatever crashes or fails."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.schedule.v1 import Schedule

from perdure.server.frontend.schedule_checks import settings_of
from perdure.server.machines.errors import AlreadyStarted, NotFound
from perdure.server.machines.ports import DEFAULT_LIMITS, Address, Kind
from perdure.server.machines.schedule import inputs
from perdure.server.machines.schedule.state import Backfill, Overlap, State
from perdure.server.store.ports import Store
from perdure.server.visibility.query.tree import EVERYTHING
from tests.engine.house import NAMESPACE, House, simulated
from tests.engine.test_outbox import crashed_everywhere, failing_everywhere, outbox_rows
from tests.machines.schedules.world import at, schedule

WHOM = Address(Kind.SCHEDULE, "schedule")
THREE = (Backfill(at("2020-01-01T00:00:00") - 1, at("2020-01-01T02:00:00"), Overlap.UNSPECIFIED),)
NAMES = [f"job-2020-01-01T0{hour}:00:00Z" for hour in range(3)]


async def create(house: House, given: Schedule, **patch: object) -> None:
    """Begin a schedule, which may be there already."""
    settings, blobs = settings_of(given, NAMESPACE, DEFAULT_LIMITS)
    message = inputs.CreateSchedule("create", settings, blobs, inputs.Patch(**patch))  # type: ignore[arg-type]
    await house.engine.ask(NAMESPACE, WHOM, message)


async def described(house: House) -> State:
    """All of the schedule."""
    reply = await house.engine.ask(NAMESPACE, WHOM, inputs.DescribeSchedule())
    assert isinstance(reply, inputs.Described)
    return reply.state


async def workflows(house: House) -> list[str]:
    """Every run of a workflow that there is, by its id."""
    store: Store = house.faults.inner
    page = await store.list_executions(NAMESPACE.number, None, 100, (), EVERYTHING)
    return sorted(run.identity.workflow_id for run in page.runs)


@simulated
async def test_each_action_starts_one_workflow_whatever_crashes(house: House) -> None:
    async def nothing(house: House) -> None:
        return None

    async def act(house: House) -> None:
        await create(house, schedule(Overlap.ALLOW_ALL), backfills=THREE)

    count = 0
    async for house in crashed_everywhere(nothing, act):
        state = await described(house)
        assert await workflows(house) == NAMES
        assert state.counts.actions == 3
        assert not state.buffer
        assert await outbox_rows(house) == 0
        count += 1
    assert count > 4


@simulated
async def test_each_action_starts_one_workflow_whatever_fails(house: House) -> None:
    async def nothing(house: House) -> None:
        return None

    async def act(house: House) -> None:
        await create(house, schedule(Overlap.ALLOW_ALL), backfills=THREE)

    async for house in failing_everywhere(nothing, act):
        assert await workflows(house) == NAMES
        assert (await described(house)).counts.actions == 3


@simulated
async def test_the_end_of_a_workflow_lets_the_next_one_start_whatever_crashes(house: House) -> None:
    async def prepare(house: House) -> None:
        await create(house, schedule(Overlap.BUFFER_ALL), backfills=THREE)
        await house.take()

    async def act(house: House) -> None:
        try:
            await house.terminate(NAMES[0])
        except NotFound:
            return  # It was heard before the crash.

    async for house in crashed_everywhere(prepare, act):
        state = await described(house)
        assert await workflows(house) == NAMES[:2]
        assert [started.workflow_id for started in state.started] == [NAMES[1]]
        assert [action.status for action in state.actions] == [5, 1]
        assert len(state.buffer) == 1


@simulated
async def test_time_starts_workflows_after_a_crash_too(house: House) -> None:
    await create(house, schedule(Overlap.ALLOW_ALL))
    await house.crash()
    await asyncio.sleep(3 * 3600)
    assert len(await workflows(house)) == 3
    await house.crash()
    await asyncio.sleep(3600)
    assert len(await workflows(house)) == 4


@simulated
async def test_other_workflows_in_the_way_are_no_loss(house: House) -> None:
    await house.start("job")
    await create(house, schedule(keep_original_workflow_id=True), trigger=Overlap.UNSPECIFIED)
    await asyncio.sleep(1)
    state = await described(house)
    assert state.counts.actions == 0
    assert not state.buffer
    assert await outbox_rows(house) == 0


@simulated
async def test_a_schedule_and_a_workflow_may_have_the_same_id(house: House) -> None:
    await house.start("schedule")
    await create(house, schedule())
    assert (await described(house)).conflict_token == 1
    assert (await house.run("schedule")).is_open
    await house.engine.ask(NAMESPACE, WHOM, inputs.DeleteSchedule())
    assert (await house.run("schedule")).is_open
    await house.crash()
    with pytest.raises(NotFound):
        await described(house)


@simulated
async def test_an_id_that_is_taken_is_refused_after_a_crash(house: House) -> None:
    await create(house, schedule())
    await house.crash()
    await create(house, schedule())
    settings, blobs = settings_of(schedule(), NAMESPACE, DEFAULT_LIMITS)
    with pytest.raises(AlreadyStarted):
        await house.engine.ask(NAMESPACE, WHOM, inputs.CreateSchedule("other", settings, blobs))


@simulated
async def test_nothing_is_left_of_a_deleted_schedule(house: House) -> None:
    await create(house, schedule())
    await house.engine.ask(NAMESPACE, WHOM, inputs.DeleteSchedule())
    await asyncio.sleep(1)
    assert await house.faults.inner.leftovers() == []
