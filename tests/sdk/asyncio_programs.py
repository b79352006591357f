"""Small asyncio programs as values, and what carries them out and writes down what it sees.

A program is a body: a list of steps, each a list of a word and what belongs to it. Delays are all
different, and so are their sums, so that no two timers are ever due at the same time: nobody
promises in which order those fire.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from hypothesis import strategies as st

Body = list[list[Any]]
PLACES = 2
"""There are so many events, locks, queues and so on."""
LONGEST_MILLISECONDS = 1 << 24


class Interpreter:
    """Carries out one program."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._began = loop.time()
        self.log: list[str] = []
        self.spawned: list[asyncio.Task[Any]] = []
        self.events = [asyncio.Event() for _ in range(PLACES)]
        self.locks = [asyncio.Lock() for _ in range(PLACES)]
        self.semaphores = [asyncio.Semaphore(2) for _ in range(PLACES)]
        self.conditions = [asyncio.Condition() for _ in range(PLACES)]
        self.queues: list[asyncio.Queue[str]] = [asyncio.Queue(1) for _ in range(PLACES)]

    async def run(self, body: Body) -> list[str]:
        """What there was to see."""
        try:
            async with asyncio.timeout(LONGEST_MILLISECONDS / 1000):
                await self.body(body, "main")
        except TimeoutError:
            self.note("main", "stuck")
        except (Exception, asyncio.CancelledError) as error:
            self.note("main", f"raised {error!r}")
        while left := [task for task in self.spawned if not task.done()]:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=LONGEST_MILLISECONDS / 1000)
        ends = await asyncio.gather(*self.spawned, return_exceptions=True)
        self.note("main", f"over: {ends!r}")
        return self.log

    def note(self, where: str, what: str) -> None:
        """Writes down when and where something was seen."""
        self.log.append(f"{self._loop.time() - self._began:.3f} {where}: {what}")

    async def body(self, body: Body, where: str) -> str:
        """The steps, one after the other."""
        for number, (word, *rest) in enumerate(body):
            place = f"{where}.{number} {word}"
            self.note(place, "begins")
            try:
                seen = await STEPS[word](self, place, *rest)
            except BaseException as error:
                self.note(place, f"raises {error!r}")
                raise
            self.note(place, f"gives {seen!r}")
        return where

    def tasks(self, bodies: list[Body], where: str) -> list[asyncio.Task[str]]:
        """A task for each."""
        made = [
            asyncio.create_task(self.body(body, f"{where}/{number}"), name=f"{where}/{number}")
            for number, body in enumerate(bodies)
        ]
        self.spawned += made
        return made


async def _sleep(self: Interpreter, where: str, delay: int) -> None:
    await asyncio.sleep(delay / 1000)


async def _yield(self: Interpreter, where: str) -> None:
    await asyncio.sleep(0)


async def _set(self: Interpreter, where: str, place: int) -> None:
    self.events[place].set()


async def _wait_event(self: Interpreter, where: str, place: int) -> bool:
    return await self.events[place].wait()


async def _lock(self: Interpreter, where: str, place: int, body: Body) -> str:
    async with self.locks[place]:
        return await self.body(body, where)


async def _semaphore(self: Interpreter, where: str, place: int, body: Body) -> str:
    async with self.semaphores[place]:
        return await self.body(body, where)


async def _wait_condition(self: Interpreter, where: str, place: int) -> bool:
    async with self.conditions[place]:
        return await self.conditions[place].wait()


async def _notify(self: Interpreter, where: str, place: int, count: int) -> None:
    async with self.conditions[place]:
        self.conditions[place].notify(count)


async def _put(self: Interpreter, where: str, place: int) -> None:
    await self.queues[place].put(where)


async def _get(self: Interpreter, where: str, place: int) -> str:
    return await self.queues[place].get()


async def _raise(self: Interpreter, where: str) -> None:
    raise ValueError(where)


async def _catch(self: Interpreter, where: str, body: Body) -> str:
    try:
        return await self.body(body, where)
    except (ValueError, TimeoutError, ExceptionGroup) as error:
        return repr(error)


async def _finally(self: Interpreter, where: str, body: Body, last: Body) -> str:
    try:
        return await self.body(body, where)
    finally:
        await self.body(last, f"{where} at last")


async def _spawn(self: Interpreter, where: str, bodies: list[Body]) -> None:
    self.tasks(bodies, where)


async def _cancel(self: Interpreter, where: str, number: int) -> bool | None:
    return self.spawned[number % len(self.spawned)].cancel(where) if self.spawned else None


async def _gather(
    self: Interpreter, where: str, bodies: list[Body], return_exceptions: bool
) -> Any:
    tasks = self.tasks(bodies, where)
    return await asyncio.gather(*tasks, return_exceptions=return_exceptions)


async def _wait(
    self: Interpreter, where: str, bodies: list[Body], return_when: str, delay: int
) -> Any:
    done, pending = await asyncio.wait(
        self.tasks(bodies, where), return_when=return_when, timeout=delay / 1000
    )
    return [[task.get_name() for task in tasks] for tasks in (done, pending)]


async def _as_completed(self: Interpreter, where: str, bodies: list[Body]) -> list[str]:
    return [await next_one for next_one in asyncio.as_completed(self.tasks(bodies, where))]


async def _timeout(self: Interpreter, where: str, delay: int, body: Body) -> str:
    async with asyncio.timeout(delay / 1000):
        return await self.body(body, where)


async def _wait_for(self: Interpreter, where: str, delay: int, body: Body) -> str:
    return await asyncio.wait_for(self.body(body, where), delay / 1000)


async def _group(self: Interpreter, where: str, bodies: list[Body]) -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(self.body(body, f"{where}/{number}"))
            for number, body in enumerate(bodies)
        ]
        self.spawned += tasks
    return [task.result() for task in tasks]


async def _shield(self: Interpreter, where: str, body: Body) -> str:
    [task] = self.tasks([body], where)
    return await asyncio.shield(task)


STEPS: dict[str, Callable[..., Awaitable[Any]]] = {
    "sleep": _sleep,
    "yield": _yield,
    "set": _set,
    "wait event": _wait_event,
    "lock": _lock,
    "semaphore": _semaphore,
    "wait condition": _wait_condition,
    "notify": _notify,
    "put": _put,
    "get": _get,
    "raise": _raise,
    "catch": _catch,
    "finally": _finally,
    "spawn": _spawn,
    "cancel": _cancel,
    "gather": _gather,
    "wait": _wait,
    "as completed": _as_completed,
    "timeout": _timeout,
    "wait for": _wait_for,
    "group": _group,
    "shield": _shield,
}

_DELAY = "delay"
_WHENS = (asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED)


def programs() -> st.SearchStrategy[Body]:
    """Any small program."""
    return st.recursive(_leaves(), _nested, max_leaves=12).map(
        lambda body: _with_delays(body, itertools.count())
    )


def _step(word: str, *rest: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.tuples(st.just(word), *rest).map(list)


def _leaves() -> st.SearchStrategy[Body]:
    place = st.integers(0, PLACES - 1)
    steps = [
        *[_step(word) for word in ("yield", "raise")],
        *[_step(word, place) for word in ("set", "wait event", "wait condition", "put", "get")],
        *[_step("sleep", st.just(_DELAY))] * 3,
        _step("notify", place, st.integers(1, 2)),
        _step("cancel", st.integers(0, 7)),
    ]
    return st.lists(st.one_of(*steps), max_size=3)


def _nested(inner: st.SearchStrategy[Body]) -> st.SearchStrategy[Body]:
    place, bodies = st.integers(0, PLACES - 1), st.lists(inner, min_size=1, max_size=4)
    delay = st.just(_DELAY)
    steps = [
        *[_step(word, bodies) for word in ("spawn", "as completed", "group")],
        *[_step(word, place, inner) for word in ("lock", "semaphore")],
        *[_step(word, delay, inner) for word in ("timeout", "wait for")],
        *[_step(word, inner) for word in ("catch", "shield")],
        _step("finally", inner, _endings()),
        _step("gather", bodies, st.booleans()),
        _step("wait", bodies, st.sampled_from(_WHENS), delay),
    ]
    # Steps of a body that stand beside each other, so that tasks meet.
    return st.lists(st.one_of(*steps, inner.flatmap(_one_of)), min_size=1, max_size=3)


def _endings() -> st.SearchStrategy[Body]:
    """What ends by itself, for who has already been cancelled is not cancelled again."""
    steps = (_step("yield"), _step("raise"), _step("sleep", st.just(_DELAY)))
    return st.lists(st.one_of(*steps), max_size=2)


def _one_of(body: Body) -> st.SearchStrategy[list[Any]]:
    return st.sampled_from(body) if body else st.just(["yield"])


def _with_delays(value: Any, numbers: Iterator[int]) -> Any:
    if isinstance(value, list):
        return [_with_delays(one, numbers) for one in value]
    return 1 << (next(numbers) % 20) if value == _DELAY else value
