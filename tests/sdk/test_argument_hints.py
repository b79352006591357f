"""Values of calls are read by the hints of the parameters that they are bound to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from perdure import activity, workflow
from perdure.testing import WorkflowEnvironment
from perdure.worker import Worker


@dataclass
class Point:
    """A value that is not JSON by itself."""

    x: int


@activity.defn
async def moved(point: Point, by: Point | None = None) -> Point:
    """The point, moved."""
    return Point(point.x + (by.x if by is not None else 1))


@activity.defn
async def total(first: Point, *others: Point) -> int:
    """The sum of all."""
    return sum(point.x for point in (first, *others))


@workflow.defn
class Moves:
    """Leaves out what is optional, in calls of all kinds."""

    def __init__(self) -> None:
        self._extra = 0

    @workflow.run
    async def run(self, start: Point, stop: Point | None = None) -> int:
        """Where it ends."""
        assert stop is None
        await workflow.wait_condition(lambda: self._extra > 0)
        limit = timedelta(seconds=10)
        point = await workflow.execute_activity(moved, start, start_to_close_timeout=limit)
        local = await workflow.execute_local_activity(moved, point, start_to_close_timeout=limit)
        args = [local, Point(10), Point(100)]
        return self._extra + await workflow.execute_activity(
            total, args=args, start_to_close_timeout=limit
        )

    @workflow.signal
    def add(self, point: Point, times: int = 1) -> None:
        """Adds to the end."""
        self._extra += point.x * times

    @workflow.query
    def double(self, point: Point, times: int = 2) -> int:
        """Twice the point."""
        return point.x * times


async def test_what_is_given_keeps_its_hints_when_something_optional_is_left_out() -> None:
    async with (
        await WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, task_queue="q", workflows=[Moves], activities=[moved, total]),
    ):
        handle = await env.client.start_workflow(Moves.run, Point(1), id="w", task_queue="q")
        assert await handle.query("double", Point(4)) == 8
        await handle.signal("add", Point(1000))
        assert await handle.result() == 1000 + 3 + 10 + 100
