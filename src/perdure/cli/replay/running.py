"""Replays histories in several processes, and tells of each as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Protocol

from temporalio.api.history.v1 import History

from perdure.cli.replay.code import Code, Problem, Result
from perdure.cli.replay.sources import Found, Source
from perdure.client import WorkflowHistory

AHEAD_PER_PROCESS = 2
"""Histories held in memory for each process: one being replayed, and one that waits for it."""


@dataclass(frozen=True)
class Options:
    """How to go about it."""

    jobs: int
    skip_unknown: bool


@dataclass
class Tried:
    """What came of all of them."""

    good: int = 0
    bad: int = 0
    skipped: int = 0


class Tell(Protocol):
    """Who is told."""

    def begin(self, total: int | None) -> None:
        """There will be so many; None: nobody knows yet."""

    def of(self, result: Result) -> None:
        """One more has been tried."""


def replay_all(source: Source, code: Code, options: Options, tell: Tell) -> Tried:
    """Replays all. Raises NoHistories."""
    return asyncio.run(_replay_all(source, code, options, tell))


async def _replay_all(source: Source, code: Code, options: Options, tell: Tell) -> Tried:
    tried = Tried()
    tell.begin(source.total)
    jobs = options.jobs if source.total is None else min(options.jobs, source.total)
    async with contextlib.aclosing(_results(source, code, jobs)) as results:
        async for result in results:
            if options.skip_unknown and result.problem and result.problem.kind == "unknown":
                tried.skipped += 1
                continue
            if result.problem is None:
                tried.good += 1
            else:
                tried.bad += 1
            tell.begin(source.total)
            tell.of(result)
    return tried


async def _results(source: Source, code: Code, jobs: int) -> AsyncGenerator[Result]:
    """In the order in which they are done."""
    if jobs == 1:
        async for found in source.histories():
            # In a thread: a replay has a loop of its own.
            yield await asyncio.to_thread(_try_here, found, code)
        return
    # Spawned, so that nothing of this process is in the way of the user's modules.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_prepare) as pool:
        loop = asyncio.get_running_loop()
        under_way: set[asyncio.Future[Result]] = set()
        async for found in source.histories():
            if found.history is None:
                yield _unreadable(found)
                continue
            content = History(events=found.history.events).SerializeToString()
            under_way.add(
                loop.run_in_executor(
                    pool, _try_bytes, code, found.source, found.workflow_id, content
                )
            )
            if len(under_way) >= jobs * AHEAD_PER_PROCESS:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    yield one.result()
        for following in asyncio.as_completed(under_way):
            yield await following


def _try_here(found: Found, code: Code) -> Result:
    if found.history is None:
        return _unreadable(found)
    # What workflows print must not come between the results.
    with contextlib.redirect_stdout(sys.stderr):
        return code.try_history(found.source, found.history)


def _unreadable(found: Found) -> Result:
    return Result(
        source=found.source,
        workflow_id=found.workflow_id,
        problem=Problem(kind="unreadable", message=found.problem),
    )


def _prepare() -> None:
    """What workflows print must not come between the results."""
    os.dup2(2, 1)
    sys.path.insert(0, os.getcwd())


def _try_bytes(code: Code, source: str, workflow_id: str, content: bytes) -> Result:
    events = list(History.FromString(content).events)
    return code.try_history(source, WorkflowHistory(workflow_id, events))
