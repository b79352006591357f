"""The workflows in memory: least recently used ones go first; those that are pinned, or have a
volatile part, never."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from perdure.server.engine.execution import Execution, ExecutionKey

EXECUTIONS_MAX = 20_000
"""Workflows held in memory (about 3 KB each when small)."""


class ExecutionCache:
    """A bounded map. It may exceed its bound only by what must stay, and by the newest: whoever has
    just loaded that must find it."""

    def __init__(self, executions_max: int = EXECUTIONS_MAX) -> None:
        self._executions: OrderedDict[ExecutionKey, Execution] = OrderedDict()
        self._executions_max = executions_max
        self.on_discard: Callable[[ExecutionKey], None] | None = None
        """Whom to call when what was decided is lost, if anybody wants to know."""

    def __len__(self) -> int:
        return len(self._executions)

    def executions(self) -> list[Execution]:
        """All of them, for audits."""
        return list(self._executions.values())

    def get(self, key: ExecutionKey) -> Execution | None:
        """The workflow, if it is in memory; it counts as used."""
        execution = self._executions.get(key)
        if execution is not None:
            self._executions.move_to_end(key)
        return execution

    def add(self, execution: Execution) -> None:
        """Hold a workflow, and let go of those that were not used for longest."""
        self._executions[execution.key] = execution
        excess = len(self._executions) - self._executions_max
        if excess > 0:
            self._evict(excess, newest=execution)

    def discard(self, execution: Execution) -> None:
        """Let go of one that must not be used any more."""
        execution.drop()
        if self._executions.get(execution.key) is execution:
            del self._executions[execution.key]
        if self.on_discard is not None:
            self.on_discard(execution.key)

    def drop_all(self) -> None:
        """Let go of everything: what is in memory may not be what is stored."""
        for execution in list(self._executions.values()):
            self.discard(execution)

    def _evict(self, excess: int, newest: Execution) -> None:
        """Look at the oldest few; pinned ones move to the young end, so that this stays cheap."""
        for _ in range(min(2 * excess + 8, len(self._executions))):
            key, execution = next(iter(self._executions.items()))
            if execution.pins or execution.subject.must_stay or execution is newest:
                self._executions.move_to_end(key)
                continue
            execution.is_dropped = True
            del self._executions[key]
            excess -= 1
            if excess == 0:
                return
