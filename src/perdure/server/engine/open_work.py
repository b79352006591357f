"""What all that is open waits for, together. Looking costs what has changed since the last look,
however much is open."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import NamedTuple

from perdure.server.engine.execution import ExecutionKey
from perdure.server.machines.ports import InHand

_LEFTOVERS_MAX = 1_000
"""Deadlines that are no longer any subject's, beyond as many as there are subjects."""


class Work(NamedTuple):
    """What everything that is open waits for."""

    workflow_tasks: int
    activity_tasks: int
    next_ns: int
    """The earliest deadline; 0 when there is none."""


class OpenWork:
    """Sums up what each open subject waits for.

    A subject that only leaves memory waits for what it waited for before: it is asked again when
    something was decided on it, or when what was decided is lost.
    """

    def __init__(self, in_hand: Callable[[ExecutionKey], InHand | None]) -> None:
        self._in_hand = in_hand
        self._known: dict[ExecutionKey, InHand] = {}
        self._stale: dict[ExecutionKey, None] = {}
        self._workflow_tasks = 0
        self._activity_tasks = 0
        self._deadlines: list[tuple[int, int, ExecutionKey]] = []
        """A heap. One that its subject no longer has is left in it until it comes up."""
        self._order = count()
        """Keys of different kinds cannot be compared."""

    def opened(self, key: ExecutionKey) -> None:
        """Something of a subject that is open is durable."""
        self._known.setdefault(key, InHand())
        self._stale[key] = None

    def closed(self, key: ExecutionKey) -> None:
        """A subject waits for nothing more."""
        self._stale.pop(key, None)
        known = self._known.pop(key, None)
        if known is not None:
            self._workflow_tasks -= known.workflow_tasks
            self._activity_tasks -= known.activity_tasks

    def changed(self, key: ExecutionKey) -> None:
        """Something was decided on a subject, or lost."""
        if key in self._known:
            self._stale[key] = None

    def total(self) -> Work:
        """What all that is open waits for."""
        self._look()
        # Who knows what those wait for: they are asked when they have been loaded again.
        lost = len(self._stale)
        return Work(self._workflow_tasks + lost, self._activity_tasks, self._next_ns())

    def lost(self) -> list[ExecutionKey]:
        """Subjects that cannot be asked, since they are not in memory."""
        self._look()
        return list(self._stale)

    def _look(self) -> None:
        for key in list(self._stale):
            found = self._in_hand(key)
            if found is not None:
                del self._stale[key]
                self._note(key, found)
            else:
                self._note(key, InHand())

    def _note(self, key: ExecutionKey, found: InHand) -> None:
        before = self._known[key]
        self._known[key] = found
        self._workflow_tasks += found.workflow_tasks - before.workflow_tasks
        self._activity_tasks += found.activity_tasks - before.activity_tasks
        if found.next_ns and found.next_ns != before.next_ns:
            heappush(self._deadlines, (found.next_ns, next(self._order), key))
            if len(self._deadlines) > 2 * len(self._known) + _LEFTOVERS_MAX:
                self._deadlines = [one for one in self._deadlines if self._is_known(one)]
                heapify(self._deadlines)

    def _next_ns(self) -> int:
        while self._deadlines and not self._is_known(self._deadlines[0]):
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else 0

    def _is_known(self, deadline: tuple[int, int, ExecutionKey]) -> bool:
        known = self._known.get(deadline[2])
        return known is not None and known.next_ns == deadline[0]
