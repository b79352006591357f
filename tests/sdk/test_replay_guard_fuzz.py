"""Whatever workflow code does, the guard is on where it should be, and off when it is over.

Programs are trees: they call what is forbidden, raise, wait, start and cancel tasks, within and
without `sandbox_unrestricted()`, and are evicted at any point. Each call knows whether it may
succeed.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from asyncio import events
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import workflow
from perdure._replay import guard
from perdure._replay.api import WorkflowCompletion
from perdure._replay.errors import NondeterministicCallError
from tests.sdk.replay_world import World

Step = tuple[Any, ...]

_STEPS: st.SearchStrategy[Step] = st.deferred(
    lambda: st.one_of(
        st.just(("call",)),
        st.just(("raise",)),
        st.just(("yield",)),
        st.just(("sleep",)),
        st.just(("wait",)),
        st.just(("cancel",)),
        st.just(("swallow",)),
        st.tuples(st.just("open"), _PROGRAM),
        st.tuples(st.just("spawn"), _PROGRAM),
        st.tuples(st.just("try"), _PROGRAM),
        st.tuples(st.just("call it"), _PROGRAM),
    )
)
_PROGRAM: st.SearchStrategy[list[Step]] = st.lists(_STEPS, max_size=5)


class Shaken(Exception):
    """What programs raise."""


_ORIGINALS = {key: vars(key[0])[key[1]] for key in guard.ENTRY_POINTS}


@workflow.defn
class Program:
    """Does what it is told."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.lies: list[str] = []
        self.is_evicted = False

    @workflow.run
    async def run(self, steps: list[Any]) -> None:
        await self._do(steps, may=False)

    @workflow.signal
    async def do(self, steps: list[Any]) -> None:
        await self._do(steps, may=False)

    @workflow.query
    def told(self) -> None:
        self._call(may=False)

    async def _do(self, steps: Sequence[Any], *, may: bool | None) -> None:
        for name, *rest in steps:
            match name:
                case "call":
                    self._call(may=may)
                case "raise":
                    raise Shaken
                case "yield":
                    await asyncio.sleep(0)
                case "sleep":
                    await workflow.sleep(1)
                case "wait":
                    await workflow.wait_condition(lambda: False)
                case "cancel":
                    for task in self.tasks:
                        task.cancel()
                case "swallow":
                    try:
                        await workflow.sleep(1)
                    except asyncio.CancelledError:
                        self._call(may=may)
                case _:
                    await self._nested(name, rest[0], may=may)

    async def _nested(self, name: str, steps: Sequence[Any], *, may: bool | None) -> None:
        if name == "open":
            with workflow.unsafe.sandbox_unrestricted():
                await self._do(steps, may=True)
        elif name == "spawn":
            self.tasks.append(asyncio.create_task(self._spawned(steps)))
        elif name == "try":
            try:
                await self._do(steps, may=may)
            except Shaken:
                self._call(may=may)
            finally:
                self._call(may=may)
        else:
            await self._do(steps, may=may)

    async def _spawned(self, steps: Sequence[Any]) -> None:
        # What it may do depends on whether the block around it has been left.
        with contextlib.suppress(Shaken):
            await self._do(steps, may=None)

    def _call(self, *, may: bool | None) -> None:
        told = workflow.unsafe.is_sandbox_unrestricted()
        # While a run is torn down, its `finally` blocks are guarded, wherever they stand.
        if may is None or (self.is_evicted and not told):
            may = told
        if told != may:
            self.lies.append("told otherwise of the block")
        try:
            time.time()  # perdure: ignore[PD101] what this is about
        except NondeterministicCallError:
            if may:
                self.lies.append("refused within the block")
        else:
            if not may:
                self.lies.append("let through outside of a block")


def _is_off() -> bool:
    unchanged = all(vars(module)[name] is one for (module, name), one in _ORIGINALS.items())
    return unchanged and guard._inside == 0 and events._get_running_loop() is None


def _carry_out(program: list[Any], acts: list[Any]) -> None:
    """Runs it, with what happens to it meanwhile, and evicts it at the end or before."""
    world = World(Program, program)
    for act in [("go on",), *acts]:
        if act[0] == "signal":
            world.signal("do", act[1])
        elif act[0] == "cancel":
            world.cancel()
        elif act[0] == "query" and world.runner is not None:
            world.query("told")
        outcome = world.attempt()
        if not isinstance(outcome, WorkflowCompletion) or outcome.closed:
            break
    assert world.runner is not None
    instance: Program = world.runner._context.instance
    instance.is_evicted = True
    world.evict()
    assert instance.lies == []


_ACTS = st.lists(
    st.one_of(
        st.just(("go on",)),
        st.just(("cancel",)),
        st.just(("query",)),
        st.tuples(st.just("signal"), _PROGRAM),
    ),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(program=_PROGRAM, acts=_ACTS)
def test_nothing_leaves_the_guard_on_or_opens_it(program: list[Any], acts: list[Any]) -> None:
    _carry_out(program, acts)
    assert _is_off()


@settings(max_examples=10, deadline=None)
@given(programs=st.lists(st.tuples(_PROGRAM, _ACTS), min_size=3, max_size=6))
def test_threads_do_not_guard_each_other(programs: list[tuple[list[Any], list[Any]]]) -> None:
    errors: list[BaseException] = []

    def work(program: list[Any], acts: list[Any]) -> None:
        try:
            for _ in range(3):
                _carry_out(program, acts)
                time.time()
        except BaseException as error:  # told to the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=one) for one in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert _is_off()


@workflow.defn
class OpensTwice:
    """Two tasks that leave their blocks in the order in which they came."""

    @workflow.run
    async def run(self) -> list[bool]:
        seen: list[bool] = []
        first, second = asyncio.Event(), asyncio.Event()

        async def opens(leave: asyncio.Event) -> None:
            with workflow.unsafe.sandbox_unrestricted():
                await leave.wait()

        tasks = [asyncio.create_task(opens(one)) for one in (first, second)]
        await asyncio.sleep(0)
        seen.append(workflow.unsafe.in_sandbox())
        for leave, task in zip((first, second), tasks, strict=True):
            leave.set()
            await task
            seen.append(workflow.unsafe.in_sandbox())
        return seen


def test_blocks_of_several_tasks_do_not_open_the_guard_for_others() -> None:
    (command,) = World(OpensTwice).task().commands
    (payload,) = command.complete_workflow_execution_command_attributes.result.payloads
    assert payload.data == b"[true,true,true]"


@workflow.defn
class LeavesATask:
    """What a block has started goes on after it."""

    @workflow.run
    async def run(self) -> list[bool]:
        async def later() -> list[bool]:
            before = workflow.unsafe.in_sandbox()
            await go.wait()
            return [before, workflow.unsafe.in_sandbox()]

        go = asyncio.Event()
        with workflow.unsafe.sandbox_unrestricted():
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        go.set()
        return await task


def test_what_a_block_has_started_is_guarded_when_the_block_is_left() -> None:
    (command,) = World(LeavesATask).task().commands
    (payload,) = command.complete_workflow_execution_command_attributes.result.payloads
    assert payload.data == b"[false,true]"


@workflow.defn
class Looks:
    """Calls what it may not."""

    @workflow.run
    async def run(self) -> None:
        time.time()  # perdure: ignore[PD101] what this is about


def test_the_refusal_names_the_line() -> None:
    message = World(Looks).failed_task().failure.message
    assert "test_replay_guard_fuzz.py:" in message
    assert "in Looks.run: time.time()" in message
