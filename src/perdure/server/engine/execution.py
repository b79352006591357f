"""What one id names, in memory (a workflow, mostly): the machine's state, and what the shell must
know about its way to disk."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from perdure.server.engine.api import EngineUnavailable
from perdure.server.engine.history import HistoryTail
from perdure.server.machines.ports import Kind, Machine, MachineRun, Subject
from perdure.server.machines.workflow.state import Workflow
from perdure.server.store.ports import RunNumber

if TYPE_CHECKING:
    from perdure.server.engine.committer import Group

ExecutionKey = tuple[int, str, Kind]
"""Namespace number, id and kind."""


class Execution:
    """One cached subject. Once `is_dropped`, it must not be decided on: load it again."""

    __slots__ = (
        "committed_event_id",
        "current_run",
        "group",
        "is_dropped",
        "key",
        "machine",
        "may_have_rows",
        "others_changed",
        "pins",
        "rows",
        "subject",
        "tail",
        "version",
        "waiting",
    )

    def __init__(self, key: ExecutionKey, machine: Machine, subject: Subject) -> None:
        self.key = key
        self.machine = machine
        self.subject = subject
        self.current_run: RunNumber = 0
        self.version = 0
        self.committed_event_id = 0
        """The newest event of the current run that is durable: readers of history see no
        further."""
        self.group: Group | None = None
        """The newest group with a turn of this workflow that is not durable yet."""
        self.is_dropped = False
        self.pins = 0
        """While above 0 (commits in flight, waiters), the cache keeps it."""
        self.tail = HistoryTail()
        self.rows: set[int] = set()
        """Event ids of the current run whose dispatch rows are stored."""
        self.may_have_rows = False
        """Whether rows may be stored that are not in `rows`, since it was loaded."""
        self.others_changed = 0
        """How often a run that is over was changed beside the current one: whoever has loaded one
        to decide on it sees by this that it is not so any more."""
        self.waiting: dict[str, asyncio.Future[Any]] = {}
        """Who waits for something of the volatile part, by its id."""

    @property
    def workflow(self) -> Workflow:
        """The subject, for those who asked for a workflow."""
        return self.subject  # type: ignore[return-value]

    @property
    def run(self) -> MachineRun | None:
        """The current run."""
        return self.subject.run  # type: ignore[no-any-return]

    def drop(self) -> None:
        """It must not be used any more, and its volatile part is lost: whoever waits may try
        again."""
        self.is_dropped = True
        waiting, self.waiting = self.waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(EngineUnavailable("what was waited for was lost; try again"))
                future.exception()  # Nobody may be left to hear of it.
