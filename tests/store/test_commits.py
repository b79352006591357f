"""What a commit promises, on every store."""

from __future__ import annotations

import asyncio

import pytest

from perdure.server.store.codec import seal
from perdure.server.store.ports import (
    CommitResult,
    Fence,
    LeaseLost,
    ListedRun,
    LoadedRun,
    NamedRow,
    OutboxRow,
    QueueKey,
    Record,
    Store,
    WorkflowWrite,
)
from tests.store.conftest import Home
from tests.store.rows import (
    NAMESPACE,
    SHARD,
    batch,
    change,
    group,
    identity,
    later,
    listed,
    new_run,
    run_id,
    shown,
    start,
    task,
)

ALL_EVENTS = (1, 2**40, 2**40)


async def test_a_new_run_can_be_loaded_by_each_of_its_names(store: Store, fence: Fence) -> None:
    assert await store.commit(group(fence, start(7, wake_at_ns=55))) == CommitResult({})
    expected = LoadedRun(
        run=7,
        identity=identity(7, "workflow-7"),
        version=1,
        turn=7,
        head=seal(b"head of 7"),
        wake_at_ns=55,
        records=[],
        is_current=True,
    )
    assert await store.load_current(NAMESPACE, "workflow-7") == expected
    assert await store.load_run(NAMESPACE, "workflow-7", run_id(7)) == expected
    assert await store.load_number(7) == expected


async def test_what_was_never_written_is_not_found(store: Store, fence: Fence) -> None:
    await store.commit(group(fence, start(7)))
    assert await store.load_current(NAMESPACE, "workflow-8") is None
    assert await store.load_current(NAMESPACE + 1, "workflow-7") is None
    assert await store.load_run(NAMESPACE, "workflow-7", run_id(8)) is None
    assert await store.load_run(NAMESPACE, "workflow-8", run_id(7)) is None
    assert await store.load_run(NAMESPACE + 1, "workflow-7", run_id(7)) is None
    assert await store.load_number(8) is None
    assert await store.read_history(8, *ALL_EVENTS) == []
    assert await store.run_versions([8]) == {}


async def test_namespaces_keep_equal_workflow_ids_apart(store: Store, fence: Fence) -> None:
    writes = [
        WorkflowWrite(namespace, "same", [new_run(namespace, "same", namespace)], current=namespace)
        for namespace in (1, 2)
    ]
    await store.commit(group(fence, *writes))
    for namespace in (1, 2):
        loaded = await store.load_current(namespace, "same")
        assert loaded is not None
        assert loaded.run == namespace


async def test_an_older_fence_is_refused_and_changes_nothing(store: Store) -> None:
    old = await store.acquire(SHARD)
    await store.commit(group(old, start(1)))
    new = await store.acquire(SHARD)
    assert new.range_id > old.range_id
    with pytest.raises(LeaseLost):
        await store.commit(group(old, start(2)))
    # Also when a row would be refused: who does not own the shard is told that, and nothing else.
    with pytest.raises(LeaseLost):
        await store.commit(group(old, start(1)))
    assert await store.load_number(2) is None
    assert await store.commit(group(new, start(2))) == CommitResult({})


async def test_a_shard_that_was_never_acquired_cannot_be_written(store: Store) -> None:
    await store.acquire(SHARD)
    with pytest.raises(LeaseLost):
        await store.commit(group(Fence(SHARD + 1, 1), start(1)))
    with pytest.raises(LeaseLost):
        await store.commit(group(Fence(SHARD + 1, 0), start(1)))
    assert await store.load_number(1) is None


async def test_shards_have_ranges_of_their_own(store: Store) -> None:
    first, second = await store.acquire(1), await store.acquire(2)
    await store.acquire(2)
    assert await store.commit(group(first, start(1))) == CommitResult({})
    with pytest.raises(LeaseLost):
        await store.commit(group(second, start(2)))


async def test_commits_handed_over_together_are_carried_out_in_order(
    store: Store, fence: Fence
) -> None:
    commits = [group(fence, start(1))]
    commits += [group(fence, change(1, version, wake_at_ns=version)) for version in range(2, 30)]
    finished: list[int] = []

    async def one(place: int) -> None:
        assert await store.commit(commits[place]) == CommitResult({})
        finished.append(place)

    await asyncio.gather(*(one(place) for place in range(len(commits))))
    assert finished == list(range(len(commits)))
    assert await store.run_versions([1]) == {1: (29, 1029)}


async def test_versions_and_turns_are_those_of_the_newest_write(store: Store, fence: Fence) -> None:
    await store.commit(group(fence, start(1), start(2)))
    await store.commit(group(fence, change(2, 9)))
    assert await store.run_versions([1, 2, 3]) == {1: (1, 1), 2: (9, 2009)}


async def test_a_head_and_a_wake_up_are_always_replaced_and_the_rest_is_kept(
    store: Store, fence: Fence
) -> None:
    first = start(1, wake_at_ns=10, visibility=shown(5), records_put=[Record(1, b"a", b"kept")])
    await store.commit(group(fence, first))
    await store.commit(group(fence, change(1)))
    loaded = await store.load_number(1)
    assert loaded is not None
    assert loaded.head == seal(b"head of 1, version 2")
    assert loaded.wake_at_ns is None
    assert loaded.records == [Record(1, b"a", b"kept")]
    assert loaded.is_current
    assert await listed(store) == [1]
    assert await store.read_history(1, *ALL_EVENTS) == [batch(1, 2)]


async def test_records_are_put_replaced_and_deleted_one_by_one(store: Store, fence: Fence) -> None:
    first = [
        Record(2, b"a", b"1"),
        Record(1, b"b", b"2"),
        Record(1, b"", b"3"),
        Record(1, b"c", b"4"),
    ]
    await store.commit(group(fence, start(1, records_put=first), start(2, records_put=first)))
    second = change(
        1,
        records_put=[Record(1, b"b", b"new"), Record(3, b"d", b"5")],
        records_deleted=[(2, b"a"), (1, b"never there")],
    )
    await store.commit(group(fence, second))
    loaded, other = await store.load_number(1), await store.load_number(2)
    assert loaded is not None
    assert other is not None
    assert loaded.records == [
        Record(1, b"", b"3"),
        Record(1, b"b", b"new"),
        Record(1, b"c", b"4"),
        Record(3, b"d", b"5"),
    ]
    assert len(other.records) == 4


async def test_several_writes_of_a_run_in_one_commit_are_as_if_made_one_by_one(
    store: Store, fence: Fence
) -> None:
    result = await store.commit(
        group(
            fence,
            start(1, wake_at_ns=1, visibility=shown(5), records_put=[Record(1, b"gone", b"x")]),
            change(
                1, 2, wake_at_ns=2, records_put=[Record(1, b"new", b"y")], history=[batch(3, 4)]
            ),
            change(1, 3, wake_at_ns=3, records_deleted=[(1, b"gone")], history=[batch(5, 5)]),
        )
    )
    assert result == CommitResult({})
    loaded = await store.load_number(1)
    assert loaded is not None
    assert (loaded.version, loaded.turn, loaded.wake_at_ns) == (3, 1003, 3)
    assert_used(await store.last_numbers(), (1, 1003, 0))
    assert loaded.records == [Record(1, b"new", b"y")]
    assert await store.read_history(1, *ALL_EVENTS) == [batch(1, 2), batch(3, 4), batch(5, 5)]
    assert await listed(store) == [1]


async def test_rows_put_and_deleted_in_one_commit_leave_nothing(store: Store, fence: Fence) -> None:
    first = start(1, dispatch_put=[task(1, 2)])
    first.outbox_put = [OutboxRow(1, 1, b"x")]
    second = change(1, dispatch_deleted=[2])
    second.outbox_deleted = [1]
    await store.commit(group(fence, first, second))
    both = start(2, dispatch_put=[task(2, 2)], dispatch_deleted=[2])
    both.outbox_put, both.outbox_deleted = [OutboxRow(2, 2, b"x")], [2]
    await store.commit(group(fence, both))
    assert await store.queues_with_backlog() == []
    assert await store.outbox(0, 10) == []


async def test_the_last_write_of_a_row_in_a_commit_counts(store: Store, fence: Fence) -> None:
    await store.commit(group(fence, start(1, dispatch_put=[task(1, 2), task(1, 5)])))
    await store.commit(
        group(
            fence,
            change(1, 2, dispatch_deleted=[2], records_deleted=[(1, b"a")]),
            change(1, 3, dispatch_put=[task(1, 2, stamp=7)], records_put=[Record(1, b"a", b"x")]),
            change(1, 4, dispatch_put=[task(1, 5, stamp=8)], dispatch_deleted=[5]),
        )
    )
    assert await store.backlog(QueueKey(NAMESPACE, "queue", 1), None, 10) == [task(1, 2, stamp=7)]
    loaded = await store.load_number(1)
    assert loaded is not None
    assert loaded.records == [Record(1, b"a", b"x")]


async def test_a_chain_moves_the_current_run_and_keeps_the_earlier_ones(
    store: Store, fence: Fence
) -> None:
    await store.commit(group(fence, start(1, "chain")))
    for number in (2, 3):
        write = WorkflowWrite(
            NAMESPACE, "chain", [later(number - 1), new_run(number, "chain")], current=number
        )
        assert await store.commit(group(fence, write)) == CommitResult({})
    current = await store.load_current(NAMESPACE, "chain")
    assert current is not None
    assert current.run == 3
    for number in (1, 2, 3):
        loaded = await store.load_run(NAMESPACE, "chain", run_id(number))
        assert loaded is not None
        assert (loaded.run, loaded.is_current) == (number, number == 3)


async def test_an_earlier_run_can_become_current_again(store: Store, fence: Fence) -> None:
    await store.commit(group(fence, start(1, "back"), start(2, "back")))
    await store.commit(group(fence, WorkflowWrite(NAMESPACE, "back", [later(1)], current=1)))
    current = await store.load_current(NAMESPACE, "back")
    assert current is not None
    assert current.run == 1
    second = await store.load_number(2)
    assert second is not None
    assert not second.is_current


async def test_a_run_that_is_not_made_current_is_not(store: Store, fence: Fence) -> None:
    await store.commit(group(fence, start(1, "side")))
    write = WorkflowWrite(NAMESPACE, "side", [new_run(2, "side")])
    await store.commit(group(fence, write))
    current = await store.load_current(NAMESPACE, "side")
    assert current is not None
    assert current.run == 1


REFUSED = {
    "a run that exists already": lambda: start(1, "other"),
    "a run that does not exist": lambda: change(99),
    "a visible run that does not exist": lambda: change(99, visibility=shown(1)),
    "a current run that does not exist": lambda: WorkflowWrite(NAMESPACE, "w", [], current=99),
    "a batch that exists already": lambda: change(1, history=[batch(1, 5)]),
    "one batch twice": lambda: change(1, history=[batch(3, 3), batch(3, 3)]),
    "an outbox sequence in use": lambda: WorkflowWrite(
        NAMESPACE, "w", [], outbox_put=[OutboxRow(1, 1, b"again")]
    ),
    "a record both put and deleted": lambda: change(
        1, records_put=[Record(1, b"k", b"v")], records_deleted=[(1, b"k")]
    ),
    "one run inserted twice": lambda: WorkflowWrite(
        NAMESPACE, "w", [new_run(98, "w"), new_run(98, "w")]
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_write_fails_alone(store: Store, fence: Fence, name: str) -> None:
    first = start(1)
    first.outbox_put = [OutboxRow(1, 1, b"x")]
    await store.commit(group(fence, first))
    bad = REFUSED[name]()
    # What the bad write also carries must not be written either.
    bad.outbox_put = [*bad.outbox_put, OutboxRow(50, 1, b"never")]
    result = await store.commit(group(fence, start(2), bad, start(3)))
    assert list(result.poisoned) == [1]
    assert result.poisoned[1]
    assert await store.run_versions([1, 2, 3, 98, 99]) == {1: (1, 1), 2: (1, 2), 3: (1, 3)}
    assert await store.read_history(1, *ALL_EVENTS) == [batch(1, 2)]
    assert await store.outbox(0, 10) == [OutboxRow(1, 1, b"x")]
    assert_used(await store.last_numbers(), (3, 3, 1))
    # The store goes on as before.
    assert await store.commit(group(fence, change(1), start(4))) == CommitResult({})


async def test_what_follows_a_refused_write_of_the_same_workflow_is_refused(
    store: Store, fence: Fence
) -> None:
    await store.commit(group(fence, start(1), start(2)))
    result = await store.commit(
        group(fence, change(1, 2, history=[batch(1, 1)]), change(2), change(1, 3), change(2, 3))
    )
    assert set(result.poisoned) == {0, 2}
    assert await store.run_versions([1, 2]) == {1: (1, 1), 2: (3, 2003)}


async def test_a_commit_without_writes_only_checks_the_fence(store: Store, fence: Fence) -> None:
    assert await store.commit(group(fence)) == CommitResult({})
    await store.acquire(SHARD)
    with pytest.raises(LeaseLost):
        await store.commit(group(fence))


async def test_the_last_numbers_outlive_their_rows_and_the_process(home: Home) -> None:
    store = home.store
    assert await store.last_numbers() == (0, 0, 0)
    fence = await store.acquire(SHARD)
    write = start(12)
    write.outbox_put = [OutboxRow(31, 12, b"x"), OutboxRow(30, 12, b"x")]
    await store.commit(group(fence, write, start(11)))
    await store.commit(
        group(fence, WorkflowWrite(NAMESPACE, "workflow-12", [], outbox_deleted=[31]))
    )
    assert_used(await store.last_numbers(), (12, 12, 31))
    store = await home.reopen()
    assert_used(await store.last_numbers(), (12, 12, 31))


async def test_the_last_numbers_are_never_below_one_in_use(home: Home) -> None:
    used = (0, 0, 0)
    for number in (10, 900, 3_000, 40_000):
        fence = await home.store.acquire(SHARD)
        for step in (0, 1, 1_500):
            write = start(number + step, turn=3 * (number + step))
            write.outbox_put = [OutboxRow(2 * (number + step), 1, b"x")]
            assert await home.store.commit(group(fence, write)) == CommitResult({})
            used = (number + step, 3 * (number + step), 2 * (number + step))
            assert_used(await home.store.last_numbers(), used)
        store = await home.reopen()
        assert_used(await store.last_numbers(), used)


def assert_used(numbers: tuple[int, int, int], used: tuple[int, int, int]) -> None:
    """No number in use may be given out again, and a kind of which none is used begins at 1."""
    assert all(number >= least for number, least in zip(numbers, used, strict=True))
    assert all(number == 0 for number, least in zip(numbers, used, strict=True) if least == 0)


async def test_everything_is_there_after_opening_again(home: Home) -> None:
    fence = await home.store.acquire(SHARD)
    write = start(
        1,
        wake_at_ns=77,
        visibility=shown(5),
        records_put=[Record(1, b"a", b"record")],
        dispatch_put=[task(1, 2, directive=b"directive")],
    )
    write.outbox_put = [OutboxRow(4, 1, b"outbox")]
    await home.store.commit(group(fence, write))
    namespace = await home.store.put_namespace("default", b"settings")
    await home.store.put_queue_config(QueueKey(NAMESPACE, "queue", 2), b"config")
    named = NamedRow(1, NAMESPACE, "deployment", b"content")
    await home.store.put_named(named)
    before = await home.store.load_number(1)

    store = await home.reopen()
    assert await store.load_current(NAMESPACE, "workflow-1") == before
    assert await store.read_history(1, *ALL_EVENTS) == [batch(1, 2)]
    assert await store.outbox(0, 10) == [OutboxRow(4, 1, b"outbox")]
    assert await store.backlog(QueueKey(NAMESPACE, "queue", 1), None, 10) == [
        task(1, 2, directive=b"directive")
    ]
    assert await store.due(SHARD, 100, 10) == [(77, 1)]
    assert await store.namespaces() == [namespace]
    assert await store.queue_configs() == [(QueueKey(NAMESPACE, "queue", 2), b"config")]
    assert await store.named(1) == [named]
    assert await listed(store) == [1]
    # Who opened it again is a new owner.
    newer = await store.acquire(SHARD)
    assert newer.range_id > fence.range_id
    with pytest.raises(LeaseLost):
        await store.commit(group(fence, change(1)))
    assert await store.commit(group(newer, change(1))) == CommitResult({})


async def test_large_and_odd_values_come_back_as_they_were(store: Store, fence: Fence) -> None:
    number, far = 2**40, 2**62
    workflow_id = "wörkflow 工作\x00 '" + "x" * 900
    blob = bytes(range(256)) * 4096
    write = start(number, workflow_id, head=blob, wake_at_ns=far, visibility=shown(far))
    write.runs[0].records_put = [Record(1, bytes(range(256)), blob)]
    assert await store.commit(group(fence, write)) == CommitResult({})
    loaded = await store.load_current(NAMESPACE, workflow_id)
    assert loaded is not None
    assert loaded.identity.workflow_id == workflow_id
    assert (loaded.head, loaded.wake_at_ns) == (blob, far)
    assert loaded.records == [Record(1, bytes(range(256)), blob)]
    page = await store.list_executions(NAMESPACE, None, 1, [(1, bytes(range(256)))])
    assert page.runs == [ListedRun(number, loaded.identity, blob, loaded.records)]


async def test_statistics_count_groups_and_writes(store: Store, fence: Fence) -> None:
    await store.commit(group(fence, start(1), start(2)))
    await store.commit(group(fence, start(3)))
    statistics = store.statistics()
    assert (statistics.groups, statistics.writes) == (2, 3)
    assert statistics.busy_seconds > 0


async def copy(store: Store, source: int, target: int, last_event_id: int, limit: int = 100) -> int:
    """Copy history until there is no more to copy; how many commits that took."""
    copied, commits = 0, 0
    while True:
        reached = await store.copy_history(SHARD, source, target, copied, last_event_id, limit)
        if reached == copied:
            return commits
        copied, commits = reached, commits + 1


async def test_history_is_copied_to_the_number_of_a_run_to_come(store: Store, fence: Fence) -> None:
    batches = [batch(1, 2), batch(3, 3), batch(4, 8), batch(9, 10)]
    await store.commit(group(fence, start(7, history=batches)))
    assert await copy(store, 7, 9, last_event_id=9, limit=2) == 2
    assert await store.leftovers() == [9]
    assert await store.load_number(9) is None
    write = WorkflowWrite(
        NAMESPACE,
        "workflow-7",
        [later(7), new_run(9, "workflow-7", history=[batch(9, 9)], is_copy=True)],
        current=9,
    )
    assert await store.commit(group(fence, write)) == CommitResult({})
    assert await store.read_history(9, *ALL_EVENTS) == [*batches[:3], batch(9, 9)]
    assert await store.read_history(7, *ALL_EVENTS) == batches
    assert await store.leftovers() == []
    assert not await store.clear_leftovers(9, 100), "of a run that exists nothing is cleared"
    assert len(await store.read_history(9, *ALL_EVENTS)) == 4


async def test_a_copy_that_came_to_nothing_is_cleared_in_pieces(store: Store, fence: Fence) -> None:
    await store.commit(group(fence, start(7, history=[batch(1, 2), batch(3, 3), batch(4, 8)])))
    await copy(store, 7, 9, last_event_id=8)
    pieces = 0
    while await store.clear_leftovers(9, 1):
        pieces += 1
    assert pieces in (2, 3)
    assert await store.leftovers() == []
    assert await store.read_history(9, *ALL_EVENTS) == []
    run, _, _ = await store.last_numbers()
    assert run >= 9, "the number is not used again"


async def test_a_deleted_run_is_found_by_nobody(store: Store, fence: Fence) -> None:
    await store.commit(
        group(
            fence,
            start(7, wake_at_ns=5, visibility=shown(1), dispatch_put=[task(7, 0)]),
            start(8, visibility=shown(2)),
        )
    )
    gone = WorkflowWrite(NAMESPACE, "workflow-7", [later(7)], runs_deleted=[7])
    assert await store.commit(group(fence, gone)) == CommitResult({})
    assert await store.load_current(NAMESPACE, "workflow-7") is None
    assert await store.load_run(NAMESPACE, "workflow-7", run_id(7)) is None
    assert await store.load_number(7) is None
    assert store.absent(NAMESPACE, "workflow-7")
    assert await store.run_versions([7]) == {}
    assert await store.due(SHARD, 10, 10) == []
    assert await store.next_wake(SHARD) is None
    assert await store.queues_with_backlog() == []
    assert [row.run for row in (await store.list_executions(NAMESPACE, None, 10)).runs] == [8]
    assert await store.leftovers() == [7]
    while await store.clear_leftovers(7, 1):
        pass
    assert await store.leftovers() == []
    assert await store.read_history(7, *ALL_EVENTS) == []


async def test_the_workflow_id_of_a_deleted_run_can_be_used_again(
    store: Store, fence: Fence
) -> None:
    await store.commit(group(fence, start(7)))
    await store.commit(group(fence, WorkflowWrite(NAMESPACE, "workflow-7", [], runs_deleted=[7])))
    await store.commit(group(fence, start(9, "workflow-7")))
    loaded = await store.load_current(NAMESPACE, "workflow-7")
    assert loaded is not None
    assert loaded.run == 9
