"""Code that goes on whatever is raised is let go of all the same when its run is evicted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta

import pytest

from perdure import workflow
from tests.sdk.replay_world import World


async def _sleep() -> None:
    await asyncio.sleep(10)


async def _durable_sleep() -> None:
    await workflow.sleep(10)


async def _condition() -> None:
    await workflow.wait_condition(lambda: False)


async def _activity() -> None:
    await workflow.execute_activity("any", start_to_close_timeout=timedelta(seconds=9))


WAITS = {
    "asyncio.sleep": _sleep,
    "sleep": _durable_sleep,
    "wait_condition": _condition,
    "activity": _activity,
}


@workflow.defn
class Stubborn:
    """Swallows whatever is raised where it waits."""

    @workflow.run
    async def run(self, kind: str) -> str:
        async def insist() -> None:
            while True:
                with contextlib.suppress(BaseException):
                    await WAITS[kind]()

        task = asyncio.create_task(insist(), name="stubborn")
        await workflow.wait_condition(lambda: False)
        return task.get_name()


@pytest.mark.parametrize("kind", WAITS)
def test_a_run_that_swallows_everything_is_evicted(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(Stubborn, kind)
    world.task()
    with caplog.at_level(logging.ERROR, logger="perdure.workflow"):
        world.evict()
    assert "Timed out running eviction job for run ID" in caplog.text
    assert "stubborn" in caplog.text


@workflow.defn
class Tidy:
    """Waits in each of the `finally` blocks around where it waits."""

    @workflow.run
    async def run(self) -> None:
        await self._tidy("outer", "inner", "innermost")

    async def _tidy(self, *names: str) -> None:
        try:
            if names:
                await self._tidy(*names[1:])
            await asyncio.sleep(10)
        finally:
            try:
                await asyncio.sleep(1)
            finally:
                TIDIED.append(names)
                await _activity()


TIDIED: list[tuple[str, ...]] = []


def test_each_block_that_tidies_up_is_left_in_its_turn() -> None:
    TIDIED.clear()
    world = World(Tidy)
    world.task()
    world.evict()
    assert TIDIED == [(), ("innermost",), ("inner", "innermost"), ("outer", "inner", "innermost")]
    gc.collect()  # It would close what is left, and complain: warnings are errors.


@workflow.defn
class Patched:
    """Asks whether it is on the newer branch."""

    @workflow.run
    async def run(self) -> bool:
        return workflow.patched("newer")


def test_a_patch_activation_callback_must_say_yes_or_no() -> None:
    world = World(Patched, patch_activation_callback=lambda _: "no")
    failed = world.failed_task()
    assert failed.failure.message == "Patch activation callback must return true or false"


@pytest.mark.parametrize(
    ("act", "action"),
    [
        (lambda: workflow.upsert_memo({"foo": "bar"}), "add command"),
        (lambda: asyncio.get_running_loop().call_soon(print), "schedule task"),
        (lambda: workflow.wait_condition(lambda: True).send(None), "wait condition"),
        (lambda: workflow.random(), "random"),
        (lambda: workflow.new_random(), "register random seed callback"),
    ],
)
def test_a_patch_activation_callback_may_only_look(act: object, action: str) -> None:
    def callback(_: object) -> bool:
        act()  # type: ignore[operator]
        return True

    failed = World(Patched, patch_activation_callback=callback).failed_task()
    assert f"While in read-only function, action attempted: {action} " in failed.failure.message


async def _numbers(name: str) -> AsyncGenerator[int]:
    """Waits before each number, and when it is done with."""
    try:
        for number in range(3):
            await asyncio.sleep(1)
            yield number
    finally:
        try:
            await asyncio.sleep(1)
        finally:
            TIDIED.append((name,))
            await _activity()


async def _twice(name: str) -> AsyncIterator[int]:
    """Another one within it."""
    try:
        async for number in _numbers(f"inner {name}"):
            yield number
            await asyncio.sleep(1)
    finally:
        await asyncio.sleep(1)
        TIDIED.append((f"never {name}",))


@contextlib.asynccontextmanager
async def _entered(name: str) -> AsyncIterator[None]:
    try:
        yield
    finally:
        try:
            await workflow.sleep(1)
        finally:
            TIDIED.append((name,))


async def _reads(numbers: AsyncIterator[int]) -> None:
    async for _ in numbers:
        await asyncio.sleep(10)


@workflow.defn
class Generating:
    """Waits in generators, and in loops over them, and keeps one that has begun."""

    @workflow.run
    async def run(self) -> None:
        self.kept = _numbers("kept")
        await anext(self.kept)
        async with asyncio.TaskGroup() as group:
            group.create_task(_reads(_numbers("numbers")), name="numbers")
            group.create_task(_reads(_twice("twice")), name="twice")
            group.create_task(self.enter(), name="enter")

    async def enter(self) -> None:
        """Is within a context for long."""
        async with _entered("context"), contextlib.aclosing(_numbers("closed")) as numbers:
            await anext(numbers)
            await workflow.wait_condition(lambda: False)


@pytest.mark.parametrize("fired", range(6))
def test_generators_end_with_their_run_wherever_they_wait(
    fired: int, caplog: pytest.LogCaptureFixture
) -> None:
    TIDIED.clear()
    world = World(Generating)
    for number in range(fired):
        world.task()
        world.fire(str(number + 1))
    world.task()
    with caplog.at_level(logging.ERROR, logger="perdure.workflow"):
        world.evict()
    assert caplog.text == ""
    tidied = {name for (name,) in TIDIED}
    began = {"kept"} if fired == 0 else {"kept", "numbers", "inner twice", "context", "closed"}
    assert tidied == began
    gc.collect()  # It would close what is left, and complain: warnings are errors.
    assert {name for (name,) in TIDIED} == tidied


@workflow.defn
class Leaving:
    """Leaves generators where they yield: one that goes with its loop, and one that it keeps."""

    @workflow.run
    async def run(self) -> None:
        self.kept = _numbers("kept")
        async for _ in self.kept:
            break
        async for _ in _plain("plain"):
            break


async def _plain(name: str) -> AsyncIterator[int]:
    try:
        yield 1
    finally:
        TIDIED.append((name,))


def test_generators_that_a_run_has_left_end_with_it() -> None:
    TIDIED.clear()
    world = World(Leaving)
    world.task()
    world.fire("1")
    assert world.task().closed
    assert TIDIED == [("plain",)]
    world.evict()
    assert TIDIED == [("plain",), ("kept",)]
    gc.collect()


@workflow.defn
class LeavingOneThatAwaits:
    """What it leaves would wait."""

    @workflow.run
    async def run(self) -> None:
        async for _ in _twice("left"):
            break


def test_a_generator_that_is_left_and_awaits_is_told_as_python_does() -> None:
    world = World(LeavingOneThatAwaits)
    world.task()
    world.fire("1")
    told: list[str] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda left: told.append(str(left.exc_value))
    try:
        world.task()
    finally:
        sys.unraisablehook = hook
    assert "async generator ignored GeneratorExit" in told
    world.evict()
