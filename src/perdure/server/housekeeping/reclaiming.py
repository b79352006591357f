"""Taking deleted namespaces apart: all their runs are deleted, some at a time, and then they are
forgotten themselves.

A deleted namespace has another name already, and takes no calls. What is left of it says how far
this has come, so it goes on after a crash.
"""

from __future__ import annotations

import asyncio
import itertools
import logging

from perdure.server.engine.api import EngineApi, EngineUnavailable, NamespaceRef
from perdure.server.engine.clock import Clock
from perdure.server.housekeeping.deleting import delete_run
from perdure.server.machines.ports import SECOND_NS, Kind
from perdure.server.namespaces.registry import Namespace, NamespaceRegistry
from perdure.server.store.ports import Store, StoreError

logger = logging.getLogger(__name__)

PAGE = 100
"""Runs that are read together."""
GROUP = 10
"""Runs that are deleted together: they share commits."""
RETRY_SECONDS = 1.0
PAUSE_SECONDS = 10.0
"""Between two looks at the time, which may pass faster than we sleep."""


async def reclaim(
    store: Store,
    engine: EngineApi,
    clock: Clock,
    registry: NamespaceRegistry,
    namespace: Namespace,
    bound: NamespaceRef,
) -> None:
    """Delete all runs of a deleted namespace, and then itself. Returns when it is gone."""
    for _ in itertools.count():
        left_ns = namespace.reclaim_at_ns - clock.now_ns()
        if left_ns <= 0:
            break
        await asyncio.sleep(min(left_ns / SECOND_NS, PAUSE_SECONDS))
    for _ in itertools.count():
        try:
            count, has_failed = await _delete_page(store, engine, bound)
            if count:
                logger.info("namespace %s: %d runs are deleted", namespace.name, count)
            if not count and not has_failed:
                await registry.drop(namespace)
                return
            if not has_failed:
                continue
        except (EngineUnavailable, StoreError) as error:
            logger.warning("namespace %s cannot be deleted now: %s", namespace.name, error)
        await asyncio.sleep(RETRY_SECONDS)


async def _delete_page(store: Store, engine: EngineApi, bound: NamespaceRef) -> tuple[int, bool]:
    """Delete some runs: how many, and whether any could not be. Raises EngineUnavailable,
    StoreError."""
    deleted, has_failed = 0, False
    for kind in Kind:
        count, failed = await _delete_kind(store, engine, bound, kind)
        deleted, has_failed = deleted + count, has_failed or failed
    return deleted, has_failed


async def _delete_kind(
    store: Store, engine: EngineApi, bound: NamespaceRef, kind: Kind
) -> tuple[int, bool]:
    after, deleted, has_failed = None, 0, False
    for _ in itertools.count():
        page = await store.list_executions(bound.number, after, PAGE, kind=kind)
        for begin in range(0, len(page.runs), GROUP):
            group = page.runs[begin : begin + GROUP]
            done = await asyncio.gather(
                *(delete_run(engine, bound, run.run, run.identity) for run in group)
            )
            deleted += sum(done)
            has_failed |= not all(done)
        after = page.next
        if after is None:
            break
    return deleted, has_failed
