"""Ids of different kinds of things: they share a store, and nothing else."""

from __future__ import annotations

from perdure.server.store.ports import RunIdentity, Store, WorkflowWrite
from tests.store.rows import NAMESPACE, SHARD, group, later, new_run, run_id, shown, start

SCHEDULE = 1


def schedule(number: int, name: str) -> WorkflowWrite:
    """A run of something that is no workflow."""
    run = new_run(
        number,
        name,
        visibility=shown(number),
        insert=RunIdentity(NAMESPACE, name, run_id(number), SCHEDULE),
        history=[],
    )
    return WorkflowWrite(NAMESPACE, name, [run], current=number, kind=SCHEDULE)


async def test_one_id_names_a_run_of_each_kind(store: Store) -> None:
    """Neither takes the place of the other, before or after a restart of what is current."""
    fence = await store.acquire(SHARD)
    await store.commit(group(fence, start(1, "same"), schedule(2, "same")))
    workflow = await store.load_current(NAMESPACE, "same")
    other = await store.load_current(NAMESPACE, "same", SCHEDULE)
    assert workflow is not None
    assert other is not None
    assert (workflow.run, workflow.identity.kind) == (1, 0)
    assert (other.run, other.identity.kind) == (2, SCHEDULE)
    assert workflow.is_current
    assert other.is_current
    assert await store.load_run(NAMESPACE, "same", run_id(2)) is None
    assert await store.load_run(NAMESPACE, "same", run_id(2), SCHEDULE) == other
    assert await store.load_number(2) == other


async def test_a_kind_is_absent_though_another_has_the_id(store: Store) -> None:
    """Until it is there, and again when it is deleted."""
    fence = await store.acquire(SHARD)
    await store.commit(group(fence, start(1, "same")))
    assert store.absent(NAMESPACE, "same", SCHEDULE)
    await store.commit(group(fence, schedule(2, "same")))
    assert not store.absent(NAMESPACE, "same", SCHEDULE)
    gone = WorkflowWrite(NAMESPACE, "same", [later(2)], runs_deleted=[2], kind=SCHEDULE)
    await store.commit(group(fence, gone))
    assert store.absent(NAMESPACE, "same", SCHEDULE)
    assert not store.absent(NAMESPACE, "same")


async def test_a_list_or_a_count_has_one_kind(store: Store) -> None:
    """The newest first, page by page."""
    fence = await store.acquire(SHARD)
    writes = [schedule(number, f"schedule-{number}") for number in range(2, 7)]
    await store.commit(group(fence, start(1, "workflow", visibility=shown(1)), *writes))
    page = await store.list_executions(NAMESPACE, None, 10)
    assert [run.run for run in page.runs] == [1]
    assert await store.count_executions(NAMESPACE) == {None: 1}
    assert await store.count_executions(NAMESPACE, kind=SCHEDULE) == {None: 5}
    first = await store.list_executions(NAMESPACE, None, 3, kind=SCHEDULE)
    assert [run.run for run in first.runs] == [6, 5, 4]
    assert first.next is not None
    rest = await store.list_executions(NAMESPACE, first.next, 3, kind=SCHEDULE)
    assert [run.run for run in rest.runs] == [3, 2]
    assert rest.next is None
    assert rest.runs[0].identity.kind == SCHEDULE
    assert await store.started_runs(0, 10) == [1], "audits of workflows leave them out"


async def test_what_is_changed_stays_what_it_was(store: Store) -> None:
    """A later write of it, with a new row for lists, does not make a workflow of it."""
    fence = await store.acquire(SHARD)
    await store.commit(group(fence, schedule(2, "s")))
    again = WorkflowWrite(NAMESPACE, "s", [later(2, visibility=shown(9))], kind=SCHEDULE)
    await store.commit(group(fence, again))
    assert await store.count_executions(NAMESPACE) == {}
    assert await store.count_executions(NAMESPACE, kind=SCHEDULE) == {None: 1}
