"""Where the worker's code tells the driver how far it is, and is told to go on.

Both run in one process, so that these messages leave no trace in any history.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.differential.program import Action


@dataclass
class Waiting:
    """Something that waits for the driver: a workflow at a gate, or a held activity or task."""

    kind: str
    """task, gate, activity or operation; the driver serves them in this order."""
    workflow: str
    run_id: str
    name: str
    actions: tuple[Action, ...] = ()
    attempt: int = 0
    has_beaten: bool = False
    is_served: bool = False
    token: bytes = b""
    release: Callable[[str], None] = field(default=lambda how: None)


@dataclass
class Region:
    """The part of a run's history in which events are concurrent: from the workflow task started by
    one event to that started by another (0: to the end)."""

    first: int
    last: int = 0


class Board:
    """What is known of one program while it runs on one server. Workers call it from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.version = 0
        self.waiting: dict[tuple[str, str, str, int], Waiting] = {}
        self.regions: dict[str, dict[str, Region]] = {}
        """By run id and name of the race."""
        self.failed_tasks: set[str] = set()
        """The steps whose one failure has happened."""
        self.attempts: Counter[str] = Counter()
        """How often the handler of a Nexus operation was asked."""
        self.changed = asyncio.Event()
        """Set whenever the version grows, for the driver to wait on."""
        self.on_race: Callable[[str, tuple[Action, ...]], None] = lambda name, actions: None
        self._lock = threading.Lock()

    def tell(self, waiting: Waiting) -> None:
        """Something waits; told again, it still waits once."""
        key = (waiting.run_id, waiting.kind, waiting.name, waiting.attempt)
        with self._lock:
            self._grow()
            if key not in self.waiting:
                self.waiting[key] = waiting

    def _grow(self) -> None:
        self.version += 1
        # Programs that were given up leave attempts behind, which may outlive the loop.
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.changed.set)

    def is_known(self, waiting: Waiting) -> bool:
        """Whether it has been told before."""
        return (waiting.run_id, waiting.kind, waiting.name, waiting.attempt) in self.waiting

    def drop(self, waiting: Waiting) -> None:
        """It waits no more."""
        with self._lock:
            self._grow()
            self.waiting.pop((waiting.run_id, waiting.kind, waiting.name, waiting.attempt), None)

    def begin_race(self, run_id: str, name: str, first: int, actions: tuple[Action, ...]) -> None:
        """A race begins with the task started by that event; the driver acts at once."""
        with self._lock:
            self._grow()
            regions = self.regions.setdefault(run_id, {})
            is_new = name not in regions
            regions[name] = Region(first)
        if is_new:
            self.loop.call_soon_threadsafe(self.on_race, name, actions)

    def end_race(self, run_id: str, name: str, last: int) -> None:
        """A race ended in the task started by that event."""
        with self._lock:
            self._grow()
            self.regions[run_id][name].last = last


# Workflow code gets no objects from outside; the nonce in its id leads to the board of its program.
BOARDS: dict[str, Board] = {}


def board_of(workflow_id: str) -> Board:
    """The board of the program that a workflow is of."""
    return BOARDS[workflow_id.rpartition("-")[2]]
