"""Deadlines of many calls, kept by few timers.

Nearly every call is over long before its deadline, so what a deadline costs is what it costs to
forget it. Those that are far away share a timer per second, and so are up to a second late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

SHARED_SECONDS_MIN = 5.0
"""What may take this long may as well take a second longer."""

_Call = TypeVar("_Call")


class Deadlines(Generic[_Call]):
    """Tells of the calls whose time is up. All methods are called on one event loop."""

    def __init__(self, expire: Callable[[_Call], None]) -> None:
        self._expire = expire
        self._by_second: dict[int, set[_Call]] = {}

    def add(self, call: _Call, seconds: float) -> set[_Call]:
        """Watch a call from now on; to take it off again, discard it from what this returns."""
        loop = asyncio.get_running_loop()
        if seconds < SHARED_SECONDS_MIN:
            alone = {call}
            loop.call_later(seconds, self._end, alone)
            return alone
        second = int(loop.time() + seconds) + 1
        calls = self._by_second.get(second)
        if calls is None:
            calls = self._by_second[second] = set()
            loop.call_at(second, self._end_second, second)
        calls.add(call)
        return calls

    def _end_second(self, second: int) -> None:
        self._end(self._by_second.pop(second))

    def _end(self, calls: set[_Call]) -> None:
        while calls:
            self._expire(calls.pop())
