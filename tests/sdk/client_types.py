"""What type checkers see of calls by a client: read by mypy in `make types`, and never run.

A call that is wrong has an ignored error, and mypy tells of errors that are ignored in vain.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from perdure import activity, workflow
from perdure.client import (
    ActivityHandle,
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from perdure.common import WorkflowIDConflictPolicy

ACCEPTED = WorkflowUpdateStage.ACCEPTED
LIMIT = timedelta(seconds=1)


@dataclass
class Seed:
    """An input."""


@dataclass
class Plant:
    """A result."""


@activity.defn
async def grow(seed: Seed) -> Plant:
    """An activity with one argument."""
    return Plant()


@activity.defn
class Grow:
    """An activity whose objects are called."""

    async def __call__(self, seed: Seed) -> Plant:
        """The same."""
        return Plant()


@workflow.defn
class Garden:
    """A workflow with handlers of each kind."""

    @workflow.run
    async def run(self, seed: Seed) -> Plant:
        """Its result."""
        return Plant()

    @workflow.signal
    def water(self, seed: Seed) -> None:
        """A signal with one argument."""

    @workflow.query
    def count(self) -> int:
        """A query without any."""
        return 1

    @workflow.query
    async def find(self, seed: Seed) -> Plant:
        """An async query with one."""
        return Plant()

    @workflow.update
    async def plant(self, seed: Seed) -> Plant:
        """An update with one."""
        return Plant()

    @workflow.update(name="weed them")
    async def weed(self, first: int, second: str) -> int:
        """One with two, and with options."""
        return 1


@workflow.defn
class Desert:
    """Another workflow."""

    @workflow.run
    async def run(self) -> None:
        """Nothing."""

    @workflow.signal
    def water(self, seed: Seed) -> None:
        """A signal of the same kind."""


async def handles(client: Client) -> None:
    """What handles of workflows take and give."""
    handle = await client.start_workflow(Garden.run, Seed(), id="w", task_queue="q")
    assert_type(handle, WorkflowHandle[Garden, Plant])
    await handle.signal(Garden.water, Seed())
    await handle.signal("water", 1, rpc_timeout=LIMIT)
    await handle.signal(Garden.water, Plant())  # type: ignore[arg-type]
    await handle.signal(Desert.water, Seed())  # type: ignore[arg-type]
    assert_type(await handle.query(Garden.count), int)
    assert_type(await handle.query(Garden.find, Seed()), Plant)
    assert_type(await handle.query("count"), Any)
    await handle.query(Garden.find, Plant())  # type: ignore[arg-type]
    assert_type(await handle.execute_update(Garden.plant, Seed(), id="u"), Plant)
    assert_type(await handle.execute_update(Garden.weed, args=[1, "a"]), int)
    await handle.execute_update(Garden.plant, Plant())  # type: ignore[arg-type]
    started = await handle.start_update(Garden.plant, Seed(), wait_for_stage=ACCEPTED)
    assert_type(started, WorkflowUpdateHandle[Plant])
    await handle.start_update(Garden.plant, Seed())  # type: ignore[call-overload]
    assert_type(handle.get_update_handle_for(Garden.weed, "u"), WorkflowUpdateHandle[int])


async def with_start(client: Client) -> None:
    """What updates with start take and give."""
    operation = WithStartWorkflowOperation(
        Garden.run,
        Seed(),
        id="w",
        task_queue="q",
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
    )
    assert_type(await operation.workflow_handle(), WorkflowHandle[Garden, Plant])
    assert_type(
        await client.execute_update_with_start_workflow(
            Garden.plant, Seed(), start_workflow_operation=operation
        ),
        Plant,
    )
    WithStartWorkflowOperation(  # type: ignore[call-overload]
        Garden.run, Seed(), id="w", task_queue="q"
    )


async def activities(client: Client) -> None:
    """What activities without a workflow take and give."""
    handle = await client.start_activity(
        grow, Seed(), id="a", task_queue="q", start_to_close_timeout=LIMIT
    )
    assert_type(handle, ActivityHandle[Plant])
    result = await client.execute_activity_class(
        Grow, Seed(), id="a", task_queue="q", start_to_close_timeout=LIMIT
    )
    assert_type(result, Plant)
    call = client.execute_activity
    await call(grow, Plant(), id="a", task_queue="q")  # type: ignore[arg-type]
