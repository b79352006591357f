"""Retention: a closed run is deleted when as much time has passed as its namespace kept runs for
when it closed.

When a run has to go is not written down anywhere: it follows from its close time and from the
retention that its namespace had then. So a run that closes costs nothing more, and the runs that
are due are found by their close time. They go in small groups, one after another, so that others
have their turn; each is deleted as DeleteWorkflowExecution does it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from perdure.server.engine.api import EngineApi, EngineUnavailable, NamespaceRef
from perdure.server.engine.clock import Clock
from perdure.server.housekeeping.deleting import delete_run
from perdure.server.namespaces.registry import Namespace, RetentionPeriod
from perdure.server.store.ports import ClosedRun, Store, StoreUnavailable

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 10.0
"""Between two looks at what is due."""
GROUP = 10
"""Runs that are deleted together: they share commits."""
PAGE = 100
"""Runs that are read together."""
FOREVER_NS = 2**63 - 1


class Retention:
    """Deletes what is due of all namespaces."""

    def __init__(
        self,
        store: Store,
        engine: EngineApi,
        clock: Clock,
        namespaces: Callable[[], Iterable[Namespace]],
        bind: Callable[[Namespace], NamespaceRef],
    ) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._namespaces = namespaces
        self._bind = bind
        self._broken: set[int] = set()
        """Runs that cannot be deleted, of which the log has been told."""

    async def run(self) -> None:
        """Delete what is due, again and again."""
        while True:
            try:
                await self.sweep()
            except (EngineUnavailable, StoreUnavailable) as error:
                logger.warning("closed runs cannot be deleted now: %s", error)
            await asyncio.sleep(PAUSE_SECONDS)

    async def sweep(self) -> int:
        """Delete all that is due now; how many runs. Raises EngineUnavailable, StoreUnavailable."""
        deleted = 0
        for namespace in list(self._namespaces()):
            for from_ns, until_ns in due_ranges(namespace.retentions, self._clock.now_ns()):
                deleted += await self._delete_closed_in(namespace, from_ns, until_ns)
        return deleted

    async def _delete_closed_in(self, namespace: Namespace, from_ns: int, until_ns: int) -> int:
        deleted, after = 0, 0
        while page := await self._store.closed_runs(
            namespace.number, from_ns, until_ns, after, PAGE
        ):
            for begin in range(0, len(page), GROUP):
                group = page[begin : begin + GROUP]
                deleted += sum(await asyncio.gather(*(self._delete(namespace, r) for r in group)))
            from_ns, after = page[-1].close_time_ns, page[-1].run
        return deleted

    async def _delete(self, namespace: Namespace, closed: ClosedRun) -> bool:
        if closed.run in self._broken:
            return False
        is_gone = await delete_run(self._engine, self._bind(namespace), closed.run, closed.identity)
        if not is_gone:
            self._broken.add(closed.run)
        return is_gone


def due_ranges(periods: Sequence[RetentionPeriod], now_ns: int) -> list[tuple[int, int]]:
    """Ranges of close times [from, until) whose runs have been kept for long enough."""
    found: list[tuple[int, int]] = []
    ends = [*(period.since_ns for period in periods[1:]), FOREVER_NS]
    for period, end_ns in zip(periods, ends, strict=True):
        until_ns = min(end_ns, now_ns - period.retention_ns + 1)
        if period.retention_ns > 0 and until_ns > period.since_ns:
            found.append((period.since_ns, until_ns))
    return found
