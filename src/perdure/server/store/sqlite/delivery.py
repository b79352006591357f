"""From a thread back to the event loop: results wait together, and one wake-up brings them all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

Outcome = tuple[asyncio.Future[Any], Any, BaseException | None]


class Delivery:
    """Settles futures of one loop from any thread, in the order of the posts of each thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Outcome, Callable[[], None] | None]] = deque()
        self._scheduled = False

    def post(self, outcome: Outcome, first: Callable[[], None] | None = None) -> None:
        """Settle a future soon; `first` is called on the loop just before."""
        self._waiting.append((outcome, first))
        if not self._scheduled:
            self._scheduled = True
            try:
                self._loop.call_soon_threadsafe(self._settle)
            except RuntimeError:
                # The loop is closed: nobody is left who could wait for this.
                self._waiting.clear()

    def _settle(self) -> None:
        # First: a post that comes from now on schedules another call, at worst for nothing.
        self._scheduled = False
        while self._waiting:
            (future, result, error), first = self._waiting.popleft()
            if first is not None:
                first()
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
