"""The store that fails on purpose does what it was told, and no more."""

from __future__ import annotations

import asyncio
import random

import pytest

from perdure.server.store.faulty import Fault, FaultOdds, FaultyStore
from perdure.server.store.memory import MemoryStore
from perdure.server.store.ports import (
    CommitResult,
    CommitUnknown,
    NamedRow,
    QueueKey,
    StoreUnavailable,
)
from tests.store.rows import SHARD, change, group, start

ODDS = FaultOdds(
    unavailable=0.1, unknown_done=0.1, unknown_lost=0.1, outage=0.05, read_unavailable=0.1
)


async def test_a_script_decides_the_fate_of_each_commit() -> None:
    store = FaultyStore(MemoryStore())
    fence = await store.acquire(SHARD)
    store.play([Fault.NONE, Fault.UNAVAILABLE, Fault.UNKNOWN_DONE, Fault.UNKNOWN_LOST])
    assert await store.commit(group(fence, start(1))) == CommitResult({})
    with pytest.raises(StoreUnavailable):
        await store.commit(group(fence, start(2)))
    with pytest.raises(CommitUnknown):
        await store.commit(group(fence, start(3)))
    with pytest.raises(CommitUnknown):
        await store.commit(group(fence, start(4)))
    assert await store.commit(group(fence, start(5))) == CommitResult({})
    assert set(await store.run_versions(range(1, 6))) == {1, 3, 5}


async def test_an_outage_refuses_everything_for_a_while() -> None:
    odds = FaultOdds(outage_operations_max=4)
    store = FaultyStore(MemoryStore(), dice=random.Random(3), odds=odds)
    fence = await store.acquire(SHARD)
    store.play([Fault.OUTAGE])
    refused = 0
    while True:
        try:
            await store.commit(group(fence, start(1)))
        except StoreUnavailable:
            refused += 1
        else:
            break
    assert 1 <= refused <= 4
    assert await store.run_versions([1]) == {1: (1, 1)}


async def test_a_store_can_be_switched_off_and_on() -> None:
    store = FaultyStore(MemoryStore())
    fence = await store.acquire(SHARD)
    store.is_unavailable = True
    for call in (
        store.commit(group(fence, start(1))),
        store.acquire(SHARD),
        store.load_number(1),
        store.load_current(1, "x"),
        store.load_run(1, "x", b""),
        store.run_versions([1]),
        store.last_numbers(),
        store.read_history(1, 1, 1, 1),
        store.due(1, 1, 1),
        store.next_wake(1),
        store.queues_with_backlog(),
        store.backlog_parts(QueueKey(1, "q", 1)),
        store.queue_configs(),
        store.put_queue_config(QueueKey(1, "q", 1), b""),
        store.named(1),
        store.put_named(NamedRow(1, 1, "x", b"")),
        store.delete_named(1, 1, "x"),
        store.outbox(0, 1),
        store.started_runs(0, 1),
        store.runs_held(SHARD, 1, 0, 1),
        store.namespaces(),
        store.put_namespace("x", b""),
        store.list_executions(1, None, 1),
    ):
        with pytest.raises(StoreUnavailable):
            await call
    assert not store.absent(1, "x"), "nothing is certain of a store that cannot be read"
    store.is_unavailable = False
    assert store.absent(1, "x")
    assert await store.commit(group(fence, start(1))) == CommitResult({})


async def test_chosen_workflows_are_poisoned_with_what_follows_on_them() -> None:
    store = FaultyStore(MemoryStore())
    fence = await store.acquire(SHARD)
    await store.commit(group(fence, start(1), start(2)))
    store.poisoned_workflow_ids.add("workflow-1")
    result = await store.commit(group(fence, change(2), change(1), change(2, 3), change(1, 3)))
    assert set(result.poisoned) == {1, 3}
    assert await store.run_versions([1, 2]) == {1: (1, 1), 2: (3, 2003)}
    store.poisoned_workflow_ids.clear()
    assert await store.commit(group(fence, change(1))) == CommitResult({})


async def test_writes_that_the_inner_store_refuses_keep_their_place() -> None:
    store = FaultyStore(MemoryStore())
    fence = await store.acquire(SHARD)
    store.poisoned_workflow_ids.add("workflow-1")
    result = await store.commit(group(fence, start(1), start(2), change(7), start(3)))
    assert set(result.poisoned) == {0, 2}
    assert "7" in result.poisoned[2]


async def test_commits_that_take_time_keep_their_order_and_fail_together() -> None:
    dice = random.Random(5)

    async def delay() -> None:
        for _ in range(dice.randint(0, 5)):
            await asyncio.sleep(0)

    store = FaultyStore(MemoryStore(), delay=delay)
    fence = await store.acquire(SHARD)
    commits = [group(fence, start(1)), *(group(fence, change(1, version)) for version in (2, 3, 4))]
    assert await asyncio.gather(*map(store.commit, commits)) == [CommitResult({})] * 4
    assert await store.run_versions([1]) == {1: (4, 1004)}

    store.play([Fault.UNKNOWN_DONE])
    outcomes = await asyncio.gather(
        *(store.commit(group(fence, change(1, version))) for version in (5, 6)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [CommitUnknown, StoreUnavailable]
    assert await store.run_versions([1]) == {1: (5, 1005)}

    store.poisoned_workflow_ids.add("workflow-1")
    poisoned = store.commit(group(fence, change(1, 6)))
    first, second = await asyncio.gather(
        poisoned, store.commit(group(fence, change(1, 7), start(2)))
    )
    assert (list(first.poisoned), list(second.poisoned)) == ([0], [0])
    assert await store.run_versions([1, 2]) == {1: (5, 1005), 2: (1, 2)}


async def _fates(seed: int) -> list[str]:
    store = FaultyStore(MemoryStore(), dice=random.Random(seed), odds=ODDS)
    fates = []
    fence = await store.acquire(SHARD)
    for run in range(1, 300):
        try:
            await store.commit(group(fence, start(run)))
            await store.load_number(run)
            fates.append("done")
        except (StoreUnavailable, CommitUnknown) as error:
            fates.append(f"{type(error).__name__}: {error}")
    fates.append(str(sorted(await store.inner.run_versions(range(1, 300)))))
    return fates


async def test_the_same_seed_has_the_same_fates_and_every_fault_occurs() -> None:
    fates = await _fates(1)
    assert fates == await _fates(1)
    assert fates != await _fates(2)
    assert {"done", "StoreUnavailable: refused to read", "CommitUnknown: not carried out"} <= set(
        fates
    )
    assert any(fate.startswith("CommitUnknown: carried out") for fate in fates)
    assert "StoreUnavailable: refused before anything was written" in fates
