"""Tuners: who decides how many tasks a worker works on at once."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import temporalio.worker

import perdure.worker
from perdure import activity, embedded, workflow
from perdure.client import Client
from perdure.worker import (
    ActivitySlotInfo,
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    LocalActivitySlotInfo,
    ResourceBasedSlotConfig,
    ResourceBasedSlotSupplier,
    ResourceBasedTunerConfig,
    SlotInfo,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    Worker,
    WorkerTuner,
    WorkflowSlotInfo,
)
from perdure.worker.host import FRESH_SECONDS, CpuSeconds, HostLoad
from perdure.worker.slots import Slots
from perdure.worker.slots_ahead import SlotsAhead
from perdure.worker.supplied_slots import ResourcePermits


@activity.defn
async def greet(name: str) -> str:
    """A greeting."""
    return f"Hello, {name}"


@workflow.defn
class Greets:
    """An activity of each kind."""

    @workflow.run
    async def run(self) -> list[str]:
        """What they say."""
        limit = timedelta(seconds=10)
        return [
            await workflow.execute_activity(greet, "you", start_to_close_timeout=limit),
            await workflow.execute_local_activity(greet, "me", start_to_close_timeout=limit),
        ]


class Recording(CustomSlotSupplier):
    """Gives out a slot for whatever asks, and writes it down."""

    def __init__(self) -> None:
        self.reserved: list[SlotReserveContext] = []
        self.used: list[SlotInfo] = []
        self.released: list[SlotInfo | None] = []
        self.open: set[SlotPermit] = set()

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        await asyncio.sleep(0)
        return self._permit(ctx)

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        return self._permit(ctx)

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        assert ctx.permit in self.open
        self.used.append(ctx.slot_info)

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        self.open.remove(ctx.permit)
        self.released.append(ctx.slot_info)

    def _permit(self, ctx: SlotReserveContext) -> SlotPermit:
        self.reserved.append(ctx)
        permit = SlotPermit()
        self.open.add(permit)
        return permit


def composite(supplier: CustomSlotSupplier) -> WorkerTuner:
    return WorkerTuner.create_composite(
        workflow_supplier=supplier,
        activity_supplier=supplier,
        local_activity_supplier=supplier,
        nexus_supplier=FixedSizeSlotSupplier(1),
    )


async def run_once(client: Client, tuner: WorkerTuner) -> None:
    worker = Worker(
        client,
        task_queue="tuned",
        workflows=[Greets],
        activities=[greet],
        tuner=tuner,
        identity="tuned worker",
    )
    async with worker:
        said = await client.execute_workflow(Greets.run, id="greets", task_queue="tuned")
    assert said == ["Hello, you", "Hello, me"]


async def test_a_supplier_gives_out_every_slot_and_gets_it_back() -> None:
    supplier = Recording()
    async with embedded(":memory:") as client:
        await run_once(client, composite(supplier))
    assert supplier.open == set()
    kinds = {one.slot_type for one in supplier.reserved}
    assert kinds == {"workflow", "activity", "local-activity"}
    assert {one.is_sticky for one in supplier.reserved if one.slot_type == "workflow"} == {
        True,
        False,
    }
    asked = supplier.reserved[0]
    assert (asked.task_queue, asked.worker_identity) == ("tuned", "tuned worker")
    assert asked.worker_build_id
    assert asked.worker_deployment_version is None
    assert ActivitySlotInfo(activity_type="greet") in supplier.used
    assert LocalActivitySlotInfo(activity_type="greet") in supplier.used
    assert WorkflowSlotInfo(workflow_type="Greets", is_sticky=False) in supplier.used
    done = [one for one in supplier.released if one is not None]
    assert sorted(map(repr, done)) == sorted(map(repr, supplier.used))
    assert None in supplier.released, "polls that brought nothing"


@workflow.defn
class GreetsElsewhere:
    """No local activity."""

    @workflow.run
    async def run(self) -> str:
        """What the activity says."""
        return await workflow.execute_activity(
            greet, "you", start_to_close_timeout=timedelta(seconds=10)
        )


async def test_a_place_for_local_activities_is_asked_for_before_there_is_one() -> None:
    supplier = Recording()
    async with embedded(":memory:") as client:
        worker = Worker(
            client,
            task_queue="tuned",
            workflows=[GreetsElsewhere],
            activities=[greet],
            tuner=composite(supplier),
        )
        async with worker:
            await client.execute_workflow(GreetsElsewhere.run, id="greets", task_queue="tuned")
    assert [one.slot_type for one in supplier.reserved].count("local-activity") == 1
    assert LocalActivitySlotInfo(activity_type="greet") not in supplier.used
    assert supplier.open == set()


async def test_the_next_place_is_taken_as_soon_as_one_is_gone() -> None:
    slots = Slots(2)
    ahead = SlotsAhead(slots)
    assert not ahead.try_take(), "before it is opened"
    ahead.open()
    async with asyncio.timeout(10):
        await ahead.take()
        await ahead.take()
        third = asyncio.create_task(ahead.take())
        fourth = asyncio.create_task(ahead.take())
        await asyncio.sleep(0)
        ahead.give_back()
        await third
        ahead.give_back()
        fourth.cancel()
        await asyncio.wait([fourth])
        await ahead.take()
    await ahead.close()
    assert not slots.try_take(), "two places are taken"
    ahead.give_back()
    ahead.give_back()
    assert slots.try_take()
    assert slots.try_take()
    assert not slots.try_take()


class Broken(Recording):
    """Raises in all but what is needed for one task of each kind to begin."""

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        raise ValueError("try")

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        super().mark_slot_used(ctx)
        raise ValueError("mark")

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        super().release_slot(ctx)
        raise ValueError("release")


async def test_what_a_supplier_raises_is_logged_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with embedded(":memory:") as client:
        await run_once(client, composite(Broken()))
    for method in ("try_reserve_slot", "mark_slot_used", "release_slot"):
        assert f"Error in custom slot supplier `{method}`" in caplog.text


class Never(Recording):
    """Has no slot for anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        self.asked.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody resolves it")


async def test_a_worker_that_waits_for_slots_can_be_shut_down() -> None:
    supplier = Never()
    async with embedded(":memory:") as client:
        worker = Worker(client, task_queue="tuned", workflows=[Greets], tuner=composite(supplier))
        async with worker, asyncio.timeout(10):
            await supplier.asked.wait()


async def test_tuners_of_all_kinds_run_workflows() -> None:
    low = ResourceBasedSlotConfig(minimum_slots=2)
    tuners = (
        WorkerTuner.create_fixed(workflow_slots=2),
        WorkerTuner.create_resource_based(
            target_memory_usage=1.0,
            target_cpu_usage=1.0,
            workflow_config=low,
            activity_config=low,
        ),
    )
    for tuner in tuners:
        async with embedded(":memory:") as client:
            await run_once(client, tuner)


def permits(
    load: list[float], clock: list[float], config: ResourceBasedSlotConfig
) -> ResourcePermits:
    return ResourcePermits(
        ResourceBasedSlotSupplier(config, ResourceBasedTunerConfig(0.5, 0.5)),
        is_workflow=False,
        load=lambda: (load[0], load[1]),
        clock=lambda: clock[0],
    )


CONTEXT = SlotReserveContext(
    slot_type="activity",
    task_queue="tuned",
    worker_identity="me",
    worker_build_id="1",
    worker_deployment_version=None,
    is_sticky=False,
)


def test_the_load_of_the_machine_decides_beyond_the_minimum() -> None:
    load, clock = [0.9, 0.9], [0.0]
    config = ResourceBasedSlotConfig(minimum_slots=2, maximum_slots=4)
    supplier = permits(load, clock, config)
    given = [supplier.try_reserve_slot(CONTEXT) for _ in range(3)]
    assert [permit is not None for permit in given] == [True, True, False]
    clock[0] += 1
    load[:] = [0.1, 0.9]
    assert supplier.try_reserve_slot(CONTEXT) is None, "memory"
    load[:] = [0.9, 0.1]
    assert supplier.try_reserve_slot(CONTEXT) is None, "CPU"
    load[:] = [0.1, 0.1]
    assert supplier.try_reserve_slot(CONTEXT) is not None
    assert supplier.try_reserve_slot(CONTEXT) is None, "not so soon after the one before"
    clock[0] += 0.05
    assert supplier.try_reserve_slot(CONTEXT) is not None
    clock[0] += 1
    assert supplier.try_reserve_slot(CONTEXT) is None, "no more than the maximum"
    permit = given[0]
    assert permit is not None
    supplier.release_slot(SlotReleaseContext(None, permit))
    assert supplier.try_reserve_slot(CONTEXT) is not None


async def test_numbers_and_a_tuner_exclude_each_other() -> None:
    async with embedded(":memory:") as client:
        with pytest.raises(ValueError, match=r"Cannot specify .* when also specifying tuner"):
            Worker(
                client,
                task_queue="tuned",
                workflows=[Greets],
                tuner=WorkerTuner.create_fixed(),
                max_concurrent_activities=5,
            )


async def test_too_few_threads_are_warned_of() -> None:
    tuner = WorkerTuner.create_resource_based(target_memory_usage=0.5, target_cpu_usage=0.5)
    expected = "Worker max_concurrent_activities is 500 but activity_executor's max_workers is only"
    async with embedded(":memory:") as client:
        with ThreadPoolExecutor(1) as executor, pytest.warns(UserWarning, match=expected):
            Worker(
                client,
                task_queue="tuned",
                activities=[greet],
                activity_executor=executor,
                tuner=tuner,
            )


@pytest.mark.parametrize(
    "name", [name for name in temporalio.worker.__all__ if "Slot" in name or "Tuner" in name]
)
def test_the_official_names_are_there(name: str) -> None:
    assert name in perdure.worker.__all__
    theirs = getattr(temporalio.worker, name)
    fields = [one for one in getattr(theirs, "__annotations__", {}) if not one.startswith("_")]
    ours = getattr(getattr(perdure.worker, name), "__annotations__", {})
    assert [one for one in fields if one not in ours] == []


def test_the_load_is_measured_since_the_same_one_measured_last() -> None:
    now, busy = 0.0, 0.0
    both = [HostLoad(lambda: now, lambda: CpuSeconds(busy, 2 * now)) for _ in range(2)]
    for shares in (0.5, 1.0, 0.0):
        now += 1.0
        busy += 2 * shares
        assert [load.usage()[0] for load in both] == [shares, shares]
    now += FRESH_SECONDS / 2  # Too short to tell anything.
    busy += FRESH_SECONDS
    assert both[0].usage()[0] == 0.0


def test_the_load_of_this_machine_is_a_share() -> None:
    now = 0.0
    load = HostLoad(lambda: now)
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    now += 1.0
    cpu, memory = load.usage()
    assert 0 < cpu <= 1
    assert 0 < memory < 1
