"""What type checkers see of calls by workflows: read by mypy in `make types`, and never run.

A call that is wrong has an ignored error, and mypy tells of errors that are ignored in vain.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from perdure import activity, workflow
from perdure.client import ScheduleActionStartWorkflow
from perdure.testing import ActivityEnvironment

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
def dig() -> int:
    """One without any, for a thread."""
    return 1


@activity.defn
async def sow(count: int, name: str = "") -> list[Seed]:
    """One with two, of which one may be left out."""
    return []


class Tools:
    """Activities of an object."""

    @activity.defn
    async def rake(self, seed: Seed) -> Plant:
        """Async."""
        return Plant()

    @activity.defn
    def sweep(self) -> int:
        """Not async."""
        return 1


@activity.defn
class Mower:
    """An activity whose objects are called."""

    async def __call__(self, seed: Seed) -> Plant:
        """Async."""
        return Plant()


@workflow.defn
class Bed:
    """A child with an argument."""

    @workflow.run
    async def run(self, seed: Seed) -> Plant:
        """Its result."""
        return Plant()

    @workflow.signal
    async def water(self, litres: int) -> None:
        """Async."""


@workflow.defn
class Desert:
    """A child without."""

    @workflow.run
    async def run(self) -> int:
        """Its result."""
        return 1

    @workflow.signal
    def blow(self, where: str) -> None:
        """Not async."""


async def activities() -> None:
    """What activities take and give."""
    call = workflow.execute_activity
    assert_type(await call(grow, Seed(), start_to_close_timeout=LIMIT), Plant)
    assert_type(await call(dig, start_to_close_timeout=LIMIT), int)
    assert_type(await call(sow, 1, start_to_close_timeout=LIMIT), list[Seed])
    assert_type(await call(sow, args=[1, "b"], start_to_close_timeout=LIMIT), list[Seed])
    assert_type(await call("grow", 1, result_type=Plant, start_to_close_timeout=LIMIT), Any)
    await call(grow, Plant(), start_to_close_timeout=LIMIT)  # type: ignore[arg-type]
    await call(dig, 1, start_to_close_timeout=LIMIT)  # type: ignore[arg-type]
    await call(grow, start_to_close_timeout=LIMIT)  # type: ignore[arg-type]
    await call(grow, Seed(), start_to_close_timeout=1)  # type: ignore[call-overload]
    handle = workflow.start_activity(grow, Seed(), start_to_close_timeout=LIMIT)
    assert_type(await assert_type(handle, workflow.ActivityHandle[Plant]), Plant)


async def methods_and_classes() -> None:
    """What activities of objects take and give."""
    call, call_class = workflow.execute_activity_method, workflow.execute_activity_class
    assert_type(await call(Tools.rake, Seed(), start_to_close_timeout=LIMIT), Plant)
    assert_type(await call(Tools.sweep, start_to_close_timeout=LIMIT), int)
    assert_type(await call(Tools.rake, args=[Seed()], start_to_close_timeout=LIMIT), Plant)
    assert_type(await call_class(Mower, Seed(), start_to_close_timeout=LIMIT), Plant)
    await call(Tools.rake, Plant(), start_to_close_timeout=LIMIT)  # type: ignore[arg-type]
    await call_class(Mower, Plant(), start_to_close_timeout=LIMIT)  # type: ignore[misc]


async def local_activities() -> None:
    """What local activities take and give."""
    call, call_method = workflow.execute_local_activity, workflow.execute_local_activity_method
    assert_type(await call(grow, Seed(), start_to_close_timeout=LIMIT), Plant)
    assert_type(await call_method(Tools.rake, Seed(), start_to_close_timeout=LIMIT), Plant)
    handle = workflow.start_local_activity_class(Mower, Seed(), start_to_close_timeout=LIMIT)
    assert_type(await assert_type(handle, workflow.ActivityHandle[Plant]), Plant)
    await call(grow, Plant(), start_to_close_timeout=LIMIT)  # type: ignore[arg-type]
    await call(grow, Seed(), heartbeat_timeout=LIMIT)  # type: ignore[call-overload]


async def other_workflows() -> None:
    """What children and others take and give."""
    child = await workflow.start_child_workflow(Bed.run, Seed(), id="c")
    assert_type(await assert_type(child, workflow.ChildWorkflowHandle[Bed, Plant]), Plant)
    assert_type(await workflow.execute_child_workflow(Desert.run), int)
    assert_type(await workflow.execute_child_workflow("Desert", result_type=int), Any)
    await workflow.execute_child_workflow(Bed.run, Plant())  # type: ignore[arg-type]
    await workflow.execute_child_workflow(Desert.run, 1)  # type: ignore[arg-type]
    other = workflow.get_external_workflow_handle_for(Bed.run, "id")
    assert_type(other, workflow.ExternalWorkflowHandle[Bed])
    await child.signal(Bed.water, 1)
    await other.signal(Bed.water, args=[1])
    await child.signal(Bed.water, "x")  # type: ignore[arg-type]
    await child.signal(Desert.blow, "x")  # type: ignore[arg-type]
    await other.signal(Desert.blow, "x")  # type: ignore[arg-type]


async def outside() -> None:
    """What schedules and tests take."""
    ScheduleActionStartWorkflow(Bed.run, Seed(), id="w", task_queue="q")
    ScheduleActionStartWorkflow(Bed.run, Plant(), id="w", task_queue="q")  # type: ignore[arg-type]
    assert_type(await ActivityEnvironment().run(grow, Seed()), Plant)
    assert_type(ActivityEnvironment().run(dig), int)
