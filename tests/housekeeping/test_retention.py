"""Retention: closed runs go when their time is over, and only those."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceResponse

from perdure.server.housekeeping.retention import PAUSE_SECONDS, Retention, due_ranges
from perdure.server.machines.errors import NotFound
from perdure.server.machines.ports import SECOND_NS
from perdure.server.namespaces.registry import (
    RETENTION_CHANGES_MAX,
    NamespaceRegistry,
    RetentionPeriod,
)
from tests.engine.house import NAMESPACE, House, simulated, spawn

KEPT_SECONDS = 1000


async def keep_house(house: House, retention: int = KEPT_SECONDS) -> NamespaceRegistry:
    """Begin to delete what is due of the house's namespace."""
    registry = NamespaceRegistry(house.faults, house.ids, house.clock.now_ns)
    await registry.register(NAMESPACE.name, Duration(seconds=retention))
    sweep(house, registry)
    return registry


def sweep(house: House, registry: NamespaceRegistry) -> None:
    """What a server does in the background."""
    retention = Retention(
        house.faults, house.engine, house.clock, registry.all, lambda namespace: NAMESPACE
    )
    house.background = spawn(retention.run())


async def keep_for(registry: NamespaceRegistry, seconds: int) -> None:
    """Change the retention."""

    def change(described: DescribeNamespaceResponse) -> None:
        described.config.workflow_execution_retention_ttl.FromSeconds(seconds)

    await registry.update(NAMESPACE.name, change)


async def exists(house: House, name: str) -> bool:
    """Whether a workflow is found."""
    try:
        await house.run(name)
    except NotFound:
        return False
    return True


async def closed(house: House, *names: str) -> None:
    """Workflows that are over."""
    for name in names:
        await house.start(name)
        await house.terminate(name)


@simulated
async def test_a_closed_run_goes_when_its_time_is_over_and_an_open_one_stays(house: House) -> None:
    await keep_house(house)
    await house.start("open")
    await closed(house, "w")
    await asyncio.sleep(KEPT_SECONDS - 1)
    assert await exists(house, "w")
    await asyncio.sleep(PAUSE_SECONDS + 1)
    assert not await exists(house, "w")
    assert await exists(house, "open")


@simulated
async def test_nothing_is_left_in_the_store_of_what_has_gone(house: House) -> None:
    await keep_house(house)
    await closed(house, "w")
    await asyncio.sleep(KEPT_SECONDS + 2 * PAUSE_SECONDS)
    assert await house.faults.leftovers() == []
    assert await house.faults.count_executions(NAMESPACE.number) in ({}, {None: 0})


@simulated
async def test_earlier_runs_of_a_workflow_go_before_its_current_one(house: House) -> None:
    await keep_house(house)
    await closed(house, "w")
    first = (await house.run("w")).recorded.run_id
    await asyncio.sleep(KEPT_SECONDS // 2)
    await house.start("w", request="second")
    await asyncio.sleep(KEPT_SECONDS)
    assert await exists(house, "w")
    with pytest.raises(NotFound):
        await house.engine.describe(NAMESPACE, "w", first)


@simulated
async def test_more_than_a_page_goes_and_work_goes_on_meanwhile(house: House) -> None:
    await keep_house(house)
    await closed(house, *(f"w{number}" for number in range(120)))
    await asyncio.sleep(KEPT_SECONDS + 2 * PAUSE_SECONDS)
    assert not any([await exists(house, f"w{number}") for number in range(120)])


@simulated
async def test_a_retention_that_changes_counts_for_what_closes_afterwards(house: House) -> None:
    registry = await keep_house(house)
    await closed(house, "long")
    await asyncio.sleep(1)
    await keep_for(registry, 100)
    await closed(house, "short")
    await asyncio.sleep(1)
    await keep_for(registry, 10_000)
    await closed(house, "longest")
    await asyncio.sleep(100 + 2 * PAUSE_SECONDS)
    assert [await exists(house, name) for name in ("long", "short", "longest")] == [1, 0, 1]
    await asyncio.sleep(KEPT_SECONDS)
    assert [await exists(house, name) for name in ("long", "short", "longest")] == [0, 0, 1]


@simulated
async def test_what_became_due_while_no_process_ran_goes_then(house: House) -> None:
    registry = await keep_house(house)
    await closed(house, "w")
    await asyncio.sleep(1)
    await keep_for(registry, 50_000)
    assert house.background is not None
    house.background.cancel()
    await house.crash()
    await asyncio.sleep(KEPT_SECONDS + 1)
    assert await exists(house, "w")
    again = NamespaceRegistry(house.faults, house.ids, house.clock.now_ns)
    await again.load(())
    assert again.by_name(NAMESPACE.name).retentions == registry.by_name("default").retentions
    sweep(house, again)
    await asyncio.sleep(PAUSE_SECONDS)
    assert not await exists(house, "w")


@simulated
async def test_an_outage_delays_it(house: House) -> None:
    await keep_house(house)
    await closed(house, "w")
    house.faults.is_unavailable = True
    await asyncio.sleep(KEPT_SECONDS + PAUSE_SECONDS)
    house.faults.is_unavailable = False
    assert await exists(house, "w")
    await asyncio.sleep(2 * PAUSE_SECONDS)
    assert not await exists(house, "w")


@simulated
async def test_many_changes_of_a_retention_never_shorten_what_was_promised(house: House) -> None:
    registry = await keep_house(house, 5000)
    for seconds in range(100, 100 + 2 * RETENTION_CHANGES_MAX):
        await keep_for(registry, seconds)
        await asyncio.sleep(1)
    periods = registry.by_name(NAMESPACE.name).retentions
    assert len(periods) == RETENTION_CHANGES_MAX
    assert periods[0] == RetentionPeriod(0, 5000 * SECOND_NS)


def test_a_range_ends_where_the_next_retention_begins() -> None:
    periods = [RetentionPeriod(0, 100), RetentionPeriod(50, 10), RetentionPeriod(70, 500)]
    assert due_ranges(periods, 90) == [(50, 70)]
    assert due_ranges(periods, 65) == [(50, 56)]
    assert due_ranges(periods, 149) == [(0, 50), (50, 70)]
    assert due_ranges(periods, 570) == [(0, 50), (50, 70), (70, 71)]
    assert due_ranges([RetentionPeriod(0, 0)], 10**18) == [], "without a retention all is kept"
