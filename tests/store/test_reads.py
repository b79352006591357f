"""What reads promise, on every store."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from perdure.server.store.codec import seal
from perdure.server.store.ports import (
    BacklogCursor,
    BacklogPart,
    BatchRow,
    Fence,
    ListedRun,
    NamedRow,
    NamespaceRow,
    OutboxRow,
    QueueKey,
    Record,
    Store,
    VisibilityCursor,
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
    listed,
    new_run,
    run_id,
    shown,
    start,
    task,
)

QUEUE = QueueKey(NAMESPACE, "queue", 1)
NO_LIMIT = 2**40


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (1, 100, [1, 3, 4, 8]),
        (1, 1, [1]),
        (2, 2, [1]),
        (2, 3, [1, 3]),
        (3, 3, [3]),
        (5, 6, [4]),
        (7, 8, [4, 8]),
        (9, 9, [8]),
        (10, 100, []),
        (0, 0, []),
    ],
)
async def test_history_has_the_batches_that_touch_the_range(
    store: Store, fence: Fence, first: int, last: int, expected: list[int]
) -> None:
    batches = [batch(1, 2), batch(3, 3), batch(4, 7), batch(8, 9)]
    await store.commit(group(fence, start(1, history=batches[:2]), start(2, history=[batch(1, 9)])))
    await store.commit(group(fence, change(1, history=batches[2:])))
    found = await store.read_history(1, first, last, NO_LIMIT)
    assert [one.first_event_id for one in found] == expected
    assert all(one in batches for one in found)


@pytest.mark.parametrize(("limit", "count"), [(0, 1), (100, 1), (150, 2), (299, 2), (300, 3)])
async def test_history_has_one_batch_and_then_what_fits(
    store: Store, fence: Fence, limit: int, count: int
) -> None:
    sizes = [batch(1, 1, 100), batch(2, 2, 50), batch(3, 3, 150), batch(4, 4, 1)]
    await store.commit(group(fence, start(1, history=sizes)))
    assert await store.read_history(1, 1, 99, limit) == sizes[:count]


async def test_due_runs_come_earliest_first(store: Store, fence: Fence) -> None:
    wakes = {1: 30, 2: 10, 3: None, 4: 20, 5: 10}
    await store.commit(group(fence, *(start(run, wake_at_ns=at) for run, at in wakes.items())))
    assert await store.next_wake(SHARD) == 10
    assert await store.due(SHARD, 20, 10) == [(10, 2), (10, 5), (20, 4)]
    assert await store.due(SHARD, 20, 2) == [(10, 2), (10, 5)]
    assert await store.due(SHARD, 9, 10) == []
    assert await store.due(SHARD + 1, 100, 10) == []
    assert await store.next_wake(SHARD + 1) is None


async def test_a_moved_wake_up_is_due_only_where_it_is_now(store: Store, fence: Fence) -> None:
    await store.commit(group(fence, start(1, wake_at_ns=10), start(2, wake_at_ns=20)))
    await store.commit(group(fence, change(1, 2, wake_at_ns=40), change(2, 2, wake_at_ns=None)))
    assert await store.due(SHARD, 100, 10) == [(40, 1)]
    await store.commit(group(fence, change(1, 3, wake_at_ns=10)))
    assert await store.due(SHARD, 100, 10) == [(10, 1)]
    await store.commit(group(fence, change(1, 4, wake_at_ns=None)))
    assert await store.due(SHARD, 100, 10) == []
    assert await store.next_wake(SHARD) is None


async def test_a_backlog_is_in_order_and_can_be_paged(store: Store, fence: Fence) -> None:
    rows = [
        task(1, 9, priority=1, ready_at_ns=50),
        task(1, 5, priority=3, ready_at_ns=10),
        task(1, 7, priority=3, ready_at_ns=10),
        task(2, 5, priority=3, ready_at_ns=10),
        task(2, 4, priority=3, ready_at_ns=11),
        task(1, 2, priority=5, ready_at_ns=1),
    ]
    by_run = {run: [row for row in reversed(rows) if row.run == run] for run in (1, 2)}
    await store.commit(group(fence, *(start(run, dispatch_put=by_run[run]) for run in (1, 2))))
    assert await store.backlog(QUEUE, None, 100) == rows
    paged = []
    after = None
    while page := await store.backlog(QUEUE, after, 2):
        paged += page
        assert len(paged) <= len(rows)
        last = page[-1]
        after = BacklogCursor(last.priority, last.ready_at_ns, last.run, last.event_id)
    assert paged == rows


async def test_a_backlog_holds_only_its_queue(store: Store, fence: Fence) -> None:
    rows = [
        task(1, 1),
        task(1, 2, kind=2),
        task(1, 3, queue="other"),
        task(1, 4, namespace=2),
        task(1, 5),
    ]
    await store.commit(group(fence, start(1, dispatch_put=rows)))
    assert await store.backlog(QUEUE, None, 10) == [rows[0], rows[4]]
    found = await store.queues_with_backlog()
    assert len(found) == 4
    assert set(found) == {QueueKey(row.namespace, row.queue, row.kind) for row in rows}


async def test_a_task_that_is_put_again_moves(store: Store, fence: Fence) -> None:
    await store.commit(group(fence, start(1, dispatch_put=[task(1, 5), task(1, 6)])))
    moved = task(1, 5, queue="other", stamp=2, ready_at_ns=9)
    await store.commit(group(fence, change(1, dispatch_put=[moved], dispatch_deleted=[6, 77])))
    assert await store.backlog(QUEUE, None, 10) == []
    assert await store.queues_with_backlog() == [QueueKey(NAMESPACE, "other", 1)]
    assert await store.backlog(QueueKey(NAMESPACE, "other", 1), None, 10) == [moved]


async def test_the_outbox_is_in_order_until_rows_are_deleted(store: Store, fence: Fence) -> None:
    rows = [OutboxRow(sequence, 1, b"%d" % sequence) for sequence in (3, 5, 8)]
    write = start(1)
    write.outbox_put = rows[::-1]
    await store.commit(group(fence, write))
    assert await store.outbox(0, 10) == rows
    assert await store.outbox(3, 10) == rows[1:]
    assert await store.outbox(0, 2) == rows[:2]
    # Another workflow's commit deletes it: that is how an effect happens exactly once.
    other = start(2)
    other.outbox_deleted = [5, 99]
    await store.commit(group(fence, other))
    assert await store.outbox(0, 10) == [rows[0], rows[2]]


async def test_started_runs_are_the_visible_open_ones(store: Store, fence: Fence) -> None:
    await store.commit(
        group(
            fence,
            start(5, visibility=shown(1)),
            start(2, visibility=shown(9)),
            start(3),
            start(4, visibility=shown(1, 2)),
            start(9, visibility=shown(1)),
        )
    )
    assert await store.started_runs(0, 10) == [2, 5, 9]
    assert await store.started_runs(2, 1) == [5]
    await store.commit(group(fence, change(5, visibility=shown(1, 7))))
    assert await store.started_runs(0, 10) == [2, 9]


async def test_runs_of_which_something_is_held_are_found_by_their_last_write(
    store: Store, fence: Fence
) -> None:
    held: dict[str, Any] = {"wake_at_ns": 7, "held": 1}
    called: dict[str, Any] = {"wake_at_ns": 7, "held": 2}
    both: dict[str, Any] = {"wake_at_ns": 7, "held": 3}
    first = (start(5, **held), start(2, **both), start(3, wake_at_ns=7), start(9, **held))
    await store.commit(group(fence, *first, start(6, **called)))
    assert await store.runs_held(SHARD, 1, 0, 10) == [2, 5, 9]
    assert await store.runs_held(SHARD, 2, 0, 10) == [2, 6]
    assert await store.runs_held(SHARD, 3, 0, 10) == [2, 5, 6, 9]
    assert await store.runs_held(SHARD, 1, 2, 1) == [5]
    assert await store.runs_held(SHARD + 1, 1, 0, 10) == []
    # Always written: a later write that does not say so has let them go.
    await store.commit(group(fence, change(5, wake_at_ns=7), change(3, **held)))
    assert await store.runs_held(SHARD, 1, 0, 10) == [2, 3, 9]


async def test_namespaces_keep_their_number(store: Store) -> None:
    first = await store.put_namespace("default", b"1")
    second = await store.put_namespace("other", b"2")
    again = await store.put_namespace("default", b"3")
    assert first.number != second.number
    assert again == NamespaceRow(first.number, "default", b"3")
    assert await store.namespaces() == [again, second]


async def _pages(store: Store, limit: int) -> list[int]:
    """Every run, read page by page."""
    found: list[int] = []
    after: VisibilityCursor | None = None
    for _ in range(len(LISTED) + 1):
        page = await store.list_executions(NAMESPACE, after, limit)
        assert len(page.runs) <= limit
        found += [run.run for run in page.runs]
        if page.next is None:
            return found
        assert len(page.runs) == limit
        after = page.next
    raise AssertionError("the pages never end")


LISTED: list[tuple[int, int, int]] = [
    # run, start, close, in the order of a list: ties go to the higher run number
    (4, 60, 0),
    (9, 50, 0),
    (2, 50, 0),
    (5, 10, 0),
    (3, 20, 90),
    (8, 20, 80),
    (7, 20, 80),
    (6, 10, 80),
    (1, 70, 75),
]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 8, 9, 10])
async def test_a_list_has_open_runs_and_then_closed_ones(
    store: Store, fence: Fence, limit: int
) -> None:
    writes = [
        start(run, visibility=shown(started, closed)) for run, started, closed in sorted(LISTED)
    ]
    await store.commit(group(fence, *writes, start(20)))
    assert await _pages(store, limit) == [run for run, _, _ in LISTED]


async def test_a_closing_run_moves_to_the_closed_ones(store: Store, fence: Fence) -> None:
    await store.commit(group(fence, *(start(run, visibility=shown(run)) for run in (1, 2, 3))))
    await store.commit(group(fence, change(3, visibility=shown(3, 9))))
    page = await store.list_executions(NAMESPACE, None, 10)
    assert [run.run for run in page.runs] == [2, 1, 3]
    assert page.next is None


async def test_a_list_shows_one_namespace(store: Store, fence: Fence) -> None:
    other = WorkflowWrite(2, "x", [new_run(2, "x", 2, visibility=shown(1))], current=2)
    await store.commit(group(fence, start(1, visibility=shown(1)), other))
    assert await listed(store, 1) == [1]
    assert await listed(store, 2) == [2]
    assert await listed(store, 3) == []


async def test_a_list_has_each_run_as_it_is_now_with_the_records_asked_for(
    store: Store, fence: Fence
) -> None:
    first = [Record(5, b"memo", b"old"), Record(5, b"large", b"x"), Record(4, b"memo", b"x")]
    second = [Record(5, b"memo", b"new"), Record(5, b"other", b"o")]
    await store.commit(
        group(
            fence,
            start(1, visibility=shown(1), records_put=first),
            start(2, visibility=shown(2)),
        )
    )
    await store.commit(group(fence, change(1, records_put=second)))
    page = await store.list_executions(NAMESPACE, None, 10, [(5, b"other"), (5, b"memo")])
    assert page.runs == [
        ListedRun(2, identity(2, "workflow-2"), seal(b"head of 2"), []),
        ListedRun(1, identity(1, "workflow-1"), seal(b"head of 1, version 2"), second[::-1]),
    ]
    bare = await store.list_executions(NAMESPACE, None, 10)
    assert [run.records for run in bare.runs] == [[], []]


async def test_only_a_workflow_id_without_runs_is_absent(home: Home) -> None:
    store = home.store
    fence = await store.acquire(SHARD)
    assert store.absent(NAMESPACE, "workflow-1")
    await store.commit(group(fence, start(1)))
    assert not store.absent(NAMESPACE, "workflow-1")
    assert store.absent(NAMESPACE, "workflow-2")
    assert store.absent(NAMESPACE + 1, "workflow-1")
    # Each commit is seen as soon as its result has arrived.
    for run in range(2, 30):
        assert store.absent(NAMESPACE, f"workflow-{run}")
        await store.commit(group(fence, start(run)))
        assert not store.absent(NAMESPACE, f"workflow-{run}")
    await store.commit(group(fence, change(1, visibility=shown(1, 2))))
    chained = WorkflowWrite(NAMESPACE, "workflow-1", [new_run(50, "workflow-1")], current=50)
    await store.commit(group(fence, chained))
    assert not store.absent(NAMESPACE, "workflow-1")
    store = await home.reopen()
    assert not store.absent(NAMESPACE, "workflow-1")
    assert store.absent(NAMESPACE, "workflow-50")


async def test_a_refused_start_leaves_its_workflow_id_absent(store: Store, fence: Fence) -> None:
    await store.commit(group(fence, start(1)))
    result = await store.commit(group(fence, start(1, "another"), start(2)))
    assert list(result.poisoned) == [0]
    assert store.absent(NAMESPACE, "another")
    assert not store.absent(NAMESPACE, "workflow-2")


async def test_a_backlog_is_counted_by_priority(store: Store, fence: Fence) -> None:
    rows = [
        task(1, 1, priority=3, ready_at_ns=50),
        task(1, 2, priority=3, ready_at_ns=20),
        task(1, 3, priority=1, ready_at_ns=70),
        task(1, 4, queue="other"),
    ]
    await store.commit(group(fence, start(1, dispatch_put=rows)))
    assert await store.backlog_parts(QUEUE) == [BacklogPart(1, 1, 70), BacklogPart(3, 2, 20)]
    assert await store.backlog_parts(QueueKey(NAMESPACE, "nobody", 1)) == []


async def test_what_is_set_of_a_queue_is_replaced_as_a_whole(store: Store) -> None:
    other = QueueKey(NAMESPACE, "another", 2)
    await store.put_queue_config(QUEUE, b"1")
    await store.put_queue_config(other, b"2")
    await store.put_queue_config(QUEUE, b"3")
    assert await store.queue_configs() == [(other, b"2"), (QUEUE, b"3")]


async def test_runs_are_found_by_when_they_closed(store: Store, fence: Fence) -> None:
    closes = {1: 0, 2: 30, 3: 10, 4: 20, 5: 20, 6: 40}
    await store.commit(
        group(fence, *(start(run, visibility=shown(1, at)) for run, at in closes.items()))
    )

    async def found(from_ns: int, until_ns: int, after: int = 0, limit: int = 9) -> list[int]:
        rows = await store.closed_runs(NAMESPACE, from_ns, until_ns, after, limit)
        assert all(row.identity.run_id == run_id(row.run) for row in rows)
        assert all(row.close_time_ns == closes[row.run] for row in rows)
        return [row.run for row in rows]

    assert await found(0, 100) == [3, 4, 5, 2, 6]
    assert await found(0, 100, limit=2) == [3, 4]
    assert await found(20, 100, after=4) == [5, 2, 6]
    assert await found(10, 30) == [3, 4, 5]
    assert await store.closed_runs(NAMESPACE + 1, 0, 100, 0, 9) == []


async def test_what_is_no_workflow_is_found_by_when_it_ended_too(
    store: Store, fence: Fence
) -> None:
    closes = {1: 0, 2: 30, 3: 10, 4: 20, 5: 20}
    writes = []
    for number, at in closes.items():
        write = start(number, visibility=shown(1, at))
        if number % 2 == 0:
            write.kind = 2
            [one] = write.runs
            assert one.insert is not None
            one.insert = msgspec.structs.replace(one.insert, kind=2)
        writes.append(write)
    await store.commit(group(fence, *writes))
    found = await store.closed_runs(NAMESPACE, 0, 100, 0, 9)
    assert [(row.close_time_ns, row.run, row.identity.kind) for row in found] == [
        (10, 3, 0),
        (20, 4, 2),
        (20, 5, 0),
        (30, 2, 2),
    ]
    later = await store.closed_runs(NAMESPACE, 20, 100, 4, 9)
    assert [row.run for row in later] == [5, 2]
    assert [row.run for row in await store.closed_runs(NAMESPACE, 0, 30, 0, 2)] == [3, 4]
    assert await listed(store) == [1, 5, 3], "lists are of workflows"


async def test_a_namespace_is_renamed_and_keeps_its_number(home: Home) -> None:
    store = await home.reopen()
    first = await store.put_namespace("a", b"settings")
    await store.rename_namespace(first.number, "b", b"others")
    second = await store.put_namespace("a", b"new")
    assert second.number != first.number
    expected = [NamespaceRow(first.number, "b", b"others"), second]
    assert await store.namespaces() == expected
    store = await home.reopen()
    assert await store.namespaces() == expected


async def test_the_number_of_a_namespace_that_is_dropped_is_never_used_again(store: Store) -> None:
    row = await store.put_namespace("a", b"settings")
    kept = QueueKey(row.number + 7, "queue", 1)
    await store.put_queue_config(QueueKey(row.number, "queue", 1), b"config")
    await store.put_named(NamedRow(1, row.number, "deployment", b"content"))
    await store.put_queue_config(kept, b"config")
    await store.put_batch(BatchRow(row.number, "job", b"state"))
    await store.drop_namespace(row.number)
    assert await store.namespaces() == []
    assert await store.queue_configs() == [(kept, b"config")]
    assert await store.batches() == []
    assert await store.named(1) == []
    again = await store.put_namespace("a", b"settings")
    assert again.number != row.number


async def test_batch_operations_are_kept_by_their_id(home: Home) -> None:
    store = await home.reopen()
    rows = [BatchRow(1, "a", b"1"), BatchRow(1, "b", b"2"), BatchRow(2, "a", b"3")]
    for row in reversed(rows):
        await store.put_batch(row)
    rows[0] = BatchRow(1, "a", b"4")
    await store.put_batch(rows[0])
    await store.delete_batch(1, "b")
    store = await home.reopen()
    assert await store.batches() == [rows[0], rows[2]]


async def test_what_has_a_name_is_found_by_its_kind_in_order(store: Store) -> None:
    rows = [NamedRow(1, 2, "a", b"1"), NamedRow(1, 1, "b", b"2"), NamedRow(2, 1, "a", b"3")]
    for row in rows:
        await store.put_named(row)
    await store.put_named(NamedRow(1, 1, "b", b"4"))
    assert await store.named(1) == [NamedRow(1, 1, "b", b"4"), rows[0]]
    await store.delete_named(1, 2, "a")
    await store.delete_named(1, 2, "nothing")
    assert await store.named(1) == [NamedRow(1, 1, "b", b"4")]
    assert await store.named(2) == [rows[2]]
