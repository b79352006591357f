"""Asyncio does in workflow code what it does on the loop of the standard library."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import zlib
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings

from perdure import converter, workflow
from tests.sdk.asyncio_programs import Body, Interpreter, programs
from tests.sdk.replay_world import RUN_ID, START_SECONDS, World

_CONVERTER = converter.default().payload_converter


@workflow.defn
class Interprets:
    """Carries out a program."""

    @workflow.run
    async def run(self, program: Any) -> list[str]:
        """What there was to see."""
        return await Interpreter().run(program)


# ---- the loop of the standard library, whose time passes when nothing else is to be done


class _Selector(selectors.SelectSelector):
    """Waits for nothing: what would be waited for is the time that passes."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everything is stuck"
        self.passed += max(timeout, 0)
        return []


class _Task(asyncio.Task[Any]):
    """Sets of tasks are to be in the order in which they are in the workflow."""

    def __init__(self, coro: Coroutine[Any, Any, Any], loop: StandardLoop, **options: Any) -> None:
        loop.last_hash += 1
        self._hash = loop.last_hash
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._hash


class StandardLoop(asyncio.SelectorEventLoop):
    """The standard library's, with time of its own."""

    def __init__(self) -> None:
        self._passing = _Selector()
        super().__init__(self._passing)
        self.last_hash = zlib.crc32(RUN_ID.encode()) << 12
        self.set_task_factory(lambda loop, coro, **options: _Task(coro, self, **options))

    def time(self) -> float:
        """Rounded as timers of workflows are."""
        return round(START_SECONDS + self._passing.passed, 3)


def on_the_standard_loop(program: Body) -> list[str]:
    """What there is to see there."""
    loop = StandardLoop()
    loop._clock_resolution = 0.0001  # type: ignore[attr-defined]

    async def main() -> list[str]:
        return await Interpreter().run(program)

    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


# ---- workflows


def in_a_workflow(program: Body, *, evict_always: bool) -> list[str]:
    """What there is to see in a workflow whose timers fire in time."""
    world = World(Interprets, program, evict_always=evict_always)
    world.task_milliseconds = 0
    due: dict[str, int] = {}
    seen = 0
    try:
        while not world.task().closed:
            for event in world.events[seen:]:
                started = event.timer_started_event_attributes
                if started.timer_id:
                    delay: timedelta = started.start_to_fire_timeout.ToTimedelta()
                    due[started.timer_id] = world.milliseconds + delay // timedelta(milliseconds=1)
                due.pop(event.timer_canceled_event_attributes.timer_id, None)
            seen = len(world.events)
            first = min(due, key=lambda timer_id: due[timer_id])
            world.milliseconds = due.pop(first)
            world.fire(first)
    finally:
        world.evict()
    [result] = world.events[-1].workflow_execution_completed_event_attributes.result.payloads
    log: list[str] = _CONVERTER.from_payloads([result])[0]
    return log


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs())
@example([["group", [[["sleep", 1]], [["sleep", 2]], [["sleep", 4]], [["raise"]]]]])
@example([["catch", [["timeout", 4, [["shield", [["sleep", 8]]]]]]], ["sleep", 16]])
@example([["spawn", [[["get", 0]], [["get", 0]]]], ["put", 0], ["cancel", 0], ["put", 0]])
def test_a_program_sees_the_same_in_a_workflow(program: Body) -> None:
    expected = on_the_standard_loop(program)
    assert in_a_workflow(program, evict_always=False) == expected
    assert in_a_workflow(program, evict_always=True) == expected


@workflow.defn
class Cancelling:
    """One of several activities fails, and so the others are cancelled."""

    @workflow.run
    async def run(self, count: int) -> None:
        """Ends when all are over."""
        limit = timedelta(seconds=10)
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(self.call(limit))
                await workflow.wait_condition(lambda: False, timeout=1)

    async def call(self, limit: timedelta) -> None:
        """Calls the activity."""
        await workflow.execute_activity("wait", start_to_close_timeout=limit)


def test_a_task_group_cancels_in_the_order_in_which_it_began() -> None:
    world = World(Cancelling, 20)
    world.task()
    world.fire("1")
    asked = [
        command.request_cancel_activity_task_command_attributes.scheduled_event_id
        for command in world.task().commands
        if command.HasField("request_cancel_activity_task_command_attributes")
    ]
    scheduled = [
        event.event_id
        for event in world.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert len(scheduled) == 20
    assert asked == scheduled
    world.evict()


@workflow.defn
class Shielding:
    """Waits for futures that are no tasks."""

    @workflow.run
    async def run(self, count: int) -> list[int]:
        """Which was which, in the order of the set."""
        loop = asyncio.get_running_loop()
        futures = {loop.create_future(): number for number in range(count)}
        for future in futures:
            future.set_result(None)
        done, left = await asyncio.wait(futures)
        assert not left
        return [futures[future] for future in done]


def test_sets_of_futures_are_in_the_order_in_which_they_were_hashed() -> None:
    world = World(Shielding, 100)
    world.task()
    [result] = world.events[-1].workflow_execution_completed_event_attributes.result.payloads
    assert _CONVERTER.from_payloads([result])[0] == list(range(100))
    world.evict()
