"""`asyncio.wait` and `asyncio.as_completed` without their sets, whose order differs each time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator
from typing import Any, TypeVar

_Value = TypeVar("_Value")
_Future = TypeVar("_Future", bound="asyncio.Future[Any]")

_RETURN_WHEN = (asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED)


async def wait(
    fs: Iterable[_Future],
    *,
    timeout: float | None = None,
    return_when: str = asyncio.ALL_COMPLETED,
) -> tuple[list[_Future], list[_Future]]:
    """Waits for futures or tasks; the done ones and the pending ones, each in the given order."""
    if asyncio.isfuture(fs) or asyncio.iscoroutine(fs):
        raise TypeError(f"expected an iterable of tasks or futures, not {type(fs).__name__}")
    futures = list(fs)
    if not futures:
        raise ValueError("there is nothing to wait for")
    if return_when not in _RETURN_WHEN:
        raise ValueError(f"return_when must be one of {_RETURN_WHEN}, not {return_when!r}")
    if any(asyncio.iscoroutine(future) for future in futures):
        raise TypeError("wait for tasks, not for coroutines: make them with asyncio.create_task")
    await _until(futures, timeout, return_when)
    done = [future for future in futures if future.done()]
    return done, [future for future in futures if not future.done()]


async def _until(futures: list[_Future], timeout: float | None, return_when: str) -> None:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    timer = None if timeout is None else loop.call_later(timeout, _release, waiter)
    left = len(futures)

    def on_done(future: asyncio.Future[Any]) -> None:
        nonlocal left
        left -= 1
        failed = not future.cancelled() and future.exception() is not None
        if (
            left <= 0
            or return_when == asyncio.FIRST_COMPLETED
            or (return_when == asyncio.FIRST_EXCEPTION and failed)
        ):
            if timer is not None:
                timer.cancel()
            _release(waiter)

    for future in futures:
        future.add_done_callback(on_done)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for future in futures:
            future.remove_done_callback(on_done)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def as_completed(
    fs: Iterable[Awaitable[_Value]], *, timeout: float | None = None
) -> Iterator[Awaitable[_Value]]:
    """Awaitables that give the results in the order in which they come."""
    if asyncio.isfuture(fs) or asyncio.iscoroutine(fs):
        raise TypeError(f"expected an iterable of awaitables, not {type(fs).__name__}")
    loop = asyncio.get_running_loop()
    done: asyncio.Queue[asyncio.Future[_Value] | None] = asyncio.Queue()
    left: list[asyncio.Future[_Value]] = [asyncio.ensure_future(one, loop=loop) for one in list(fs)]
    timer: asyncio.TimerHandle | None = None

    def on_timeout() -> None:
        for future in left:
            future.remove_done_callback(on_done)
            done.put_nowait(None)
        left.clear()

    def on_done(future: asyncio.Future[_Value]) -> None:
        if not left:
            return
        left.remove(future)
        done.put_nowait(future)
        if not left and timer is not None:
            timer.cancel()

    async def next_one() -> _Value:
        future = await done.get()
        if future is None:
            raise TimeoutError
        return future.result()

    count = len(left)
    for future in left:
        future.add_done_callback(on_done)
    if left and timeout is not None:
        timer = loop.call_later(timeout, on_timeout)
    return (next_one() for _ in range(count))
