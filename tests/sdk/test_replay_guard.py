"""Workflow code cannot do what would not replay, and everybody else can."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from perdure import workflow
from perdure._replay.guard import ENTRY_POINTS
from perdure.workflow._static_check import NondeterminismWarning, mentions, warn_of_nondeterminism
from tests.sdk.replay_world import World, kinds


def _look() -> float:
    return time.time()


_call: Callable[[], Any] = _look


@workflow.defn
class Calls:
    """Calls what the test says."""

    @workflow.run
    async def run(self) -> None:
        with workflow.unsafe.imports_passed_through():
            _call()


@workflow.defn(sandboxed=False)
class CallsUnguarded:
    """Calls it without the guard."""

    @workflow.run
    async def run(self) -> None:
        _call()


@workflow.defn
class CallsAside:
    """Calls it in an unguarded block, then once more."""

    @workflow.run
    async def run(self, again: bool) -> None:
        with workflow.unsafe.sandbox_unrestricted():
            assert workflow.unsafe.is_sandbox_unrestricted()
            _call()
        assert workflow.unsafe.in_sandbox()
        if again:
            _call()


@pytest.fixture
def called() -> Iterator[Callable[[Callable[[], Any]], None]]:
    """Sets what the workflows above call."""
    global _call

    def set_call(call: Callable[[], Any]) -> None:
        global _call
        _call = call

    yield set_call
    _call = _look


REFUSED: list[tuple[str, Callable[[], Any], str]] = [
    ("time.time", lambda: time.time(), "workflow.now()"),
    ("time.monotonic", lambda: time.monotonic(), "workflow.time()"),
    ("time.sleep", lambda: time.sleep(0), "workflow.sleep()"),
    ("random.random", lambda: random.random(), "workflow.random()"),
    ("random.choice", lambda: random.choice([1, 2]), "workflow.random().choice()"),
    ("uuid.uuid4", lambda: uuid.uuid4(), "workflow.uuid4()"),
    ("os.urandom", lambda: os.urandom(1), "workflow.random()"),
    ("open", lambda: Path(os.devnull).read_text(), "an activity"),
    (
        "socket.connect",
        lambda: _connect(),
        "an activity",
    ),
    ("subprocess.Popen", lambda: subprocess.run([sys.executable, "-V"]), "an activity"),
    (
        "threading._start_",
        lambda: threading.Thread(target=time.time).start(),
        "asyncio.create_task()",
    ),
]


@pytest.mark.parametrize(("name", "call", "instead"), REFUSED, ids=[one[0] for one in REFUSED])
def test_the_refusal_names_the_call_and_what_to_use(
    name: str, call: Callable[[], Any], instead: str, called: Any
) -> None:
    called(call)
    message = World(Calls).failed_task().failure.message
    assert f"called {name}" in message
    assert instead in message


def _connect() -> None:
    with socket.socket() as one:
        one.connect(("127.0.0.1", 9))


ALLOWED: list[tuple[str, Callable[[], Any]]] = [
    ("logging", lambda: logging.getLogger("guard").warning("%s", "hello")),
    ("import", lambda: _import_anew("colorsys")),
    ("traceback", lambda: _traceback()),
    ("warning", lambda: _warn()),
    ("uuid5", lambda: uuid.uuid5(uuid.NAMESPACE_DNS, "a")),
    ("seeded", lambda: random.Random(1).random()),
    ("datetime", lambda: datetime.fromtimestamp(0, UTC).isoformat()),
    ("path", lambda: os.path.join("a", "b")),
]


def _import_anew(name: str) -> None:
    sys.modules.pop(name, None)
    __import__(name)


def _traceback() -> str:
    import traceback

    try:
        raise ValueError("x")
    except ValueError:
        return traceback.format_exc()


def _warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn("careful", stacklevel=1)


@pytest.mark.parametrize(("name", "call"), ALLOWED, ids=[one[0] for one in ALLOWED])
def test_the_library_goes_on_working(name: str, call: Callable[[], Any], called: Any) -> None:
    called(call)
    assert kinds(World(Calls).task()) == ["COMPLETE_WORKFLOW_EXECUTION"]


def test_the_guard_can_be_taken_off(called: Any) -> None:
    called(lambda: time.time())
    assert World(CallsUnguarded).task().closed
    assert World(CallsAside, False).task().closed
    assert "time.time" in World(CallsAside, True).failed_task().failure.message
    assert World(Calls, guard=False).task().closed


def test_outside_workflow_code_nothing_is_replaced() -> None:
    originals = {key: vars(key[0])[key[1]] for key in ENTRY_POINTS}
    World(Calls).failed_task()
    assert {key: vars(key[0])[key[1]] for key in ENTRY_POINTS} == originals
    assert all(not hasattr(one, "__wrapped__") for one in originals.values())


def test_another_thread_is_not_guarded(called: Any) -> None:
    seen: list[float] = []
    go, done = threading.Event(), threading.Event()

    def elsewhere() -> None:
        go.wait(10)
        seen.append(time.time())
        done.set()

    def let_it_go() -> None:
        go.set()
        assert done.wait(10)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    called(let_it_go)
    assert World(Calls).task().closed
    thread.join()
    assert len(seen) == 1


async def test_the_loop_around_it_is_not_guarded() -> None:
    loop = asyncio.get_running_loop()
    World(Calls).failed_task()
    assert asyncio.get_running_loop() is loop
    assert loop.time() > 0
    assert time.time() > 0


# The static check

from time import time as taken_by_name  # noqa: E402 -- what the check is about


class LooksAtTheClock:
    """A class as it is before it is decorated."""

    async def run(self) -> Any:
        return datetime.now(UTC)


class Mentions:
    """What is found, and what is not."""

    async def by_name(self) -> Any:
        return taken_by_name()

    async def within(self) -> Any:
        def inner() -> int:
            return random.randint(1, 2)

        return inner

    async def knows(self) -> Any:
        with workflow.unsafe.sandbox_unrestricted():
            return datetime.now(UTC)

    async def fine(self) -> Any:
        return workflow.now(), datetime.fromtimestamp(0, UTC)


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (LooksAtTheClock.run, ("datetime.now", "workflow.now()")),
        (Mentions.by_name, ("taken_by_name", "workflow.time()")),
        (Mentions.within, ("random.randint", "workflow.random().randint()")),
        (Mentions.knows, None),
        (Mentions.fine, None),
    ],
)
def test_what_the_decorator_finds(function: Any, found: tuple[str, str] | None) -> None:
    all_found = list(mentions(function))
    if found is None:
        assert all_found == []
    else:
        ((line, mentioned, instead),) = all_found
        assert mentioned == found[0]
        assert found[1] in instead
        assert line > function.__code__.co_firstlineno


def test_the_decorator_warns_with_the_line() -> None:
    with pytest.warns(NondeterminismWarning, match=r"uses datetime\.now in run") as warned:
        warn_of_nondeterminism(LooksAtTheClock)
    assert warned[0].filename == __file__
