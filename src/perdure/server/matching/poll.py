"""A poll that waits for a task."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

PollT = TypeVar("PollT")


class WaitingPoll(Generic[PollT]):
    """One long poll, compared by identity; `poll` is what the host knows of it. `result` is set
    once: with a task, or with None when its time is over."""

    __slots__ = ("is_expired", "is_matched", "poll", "result")

    def __init__(self, poll: PollT, result: asyncio.Future[Any]) -> None:
        self.poll = poll
        self.result = result
        self.is_expired = False
        """Its time is over: it must not wait again."""
        self.is_matched = False
        """A task is on its way to it."""
