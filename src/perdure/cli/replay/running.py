"""Replays histories in several processes, and tells of each as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Protocol

from temporalio.api.history.v1 import History

from perdure.cli.replay.code import Code, Problem, Result
from perdure.cli.replay.sources import Found, Source
from perdure.client import WorkflowHistory

AHEAD_PER_PROCESS = 2
"""Histories held in memory for each process: one being replayed, and one that waits for it."""


class ProcessEnded(Exception):
    """A process has ended while it replayed."""

    def __init__(self, sources: Collection[str]) -> None:
        super().__init__(
            f"a process ended while it replayed one of {', '.join(sorted(sources))}: is it "
            "ended by their code, or is there too little memory? (--jobs 1 takes one at a time)"
        )


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
    """Replays all. Raises NoHistories, ProcessEnded."""
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
        under_way: dict[asyncio.Future[Result], str] = {}
        try:
            async for result in _from_processes(source, code, pool, under_way, jobs):
                yield result
        except BrokenProcessPool:
            await asyncio.gather(*under_way, return_exceptions=True)
            raise ProcessEnded(under_way.values()) from None


async def _from_processes(
    source: Source,
    code: Code,
    pool: ProcessPoolExecutor,
    under_way: dict[asyncio.Future[Result], str],
    jobs: int,
) -> AsyncIterator[Result]:
    """Raises BrokenProcessPool; then `under_way` names what was being replayed."""
    loop = asyncio.get_running_loop()
    async for found in source.histories():
        if found.history is None:
            yield _unreadable(found)
            continue
        content = History(events=found.history.events).SerializeToString()
        replay = loop.run_in_executor(
            pool, _try_bytes, code, found.source, found.workflow_id, content
        )
        under_way[replay] = found.source
        if len(under_way) >= jobs * AHEAD_PER_PROCESS:
            for result in await _some(under_way):
                yield result
    while under_way:
        for result in await _some(under_way):
            yield result


async def _some(under_way: dict[asyncio.Future[Result], str]) -> list[Result]:
    """Takes out those that are done, as soon as one is. Raises BrokenProcessPool."""
    done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
    results = [one.result() for one in done]
    for one in done:
        del under_way[one]
    return results


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
