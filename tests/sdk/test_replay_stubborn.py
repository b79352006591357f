"""Code that goes on whatever is raised is let go of all the same when its run is evicted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
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
