"""The load itself, whatever runs it: so many workflows, so many at a time.

Only the standard library is needed here, so that peers in other environments measure alike.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Final

from bench.child import Message, Parent
from bench.results import LoadResult

PROGRESS_SECONDS: Final = 0.25
PHASE_TIMEOUT_SECONDS: Final = 1_800

# A client retries a call for half a minute; a server that is gone must not cost that for each.
FAILURES_IN_A_ROW_MAX: Final = 5

RunOne = Callable[[str], Awaitable[object]]
"""Runs the workflow with an id to its end."""


class Phase:
    """One number of workflows at one concurrency."""

    def __init__(
        self, run_one: RunOne, errors: tuple[type[Exception], ...], prefix: str, workflows: int
    ) -> None:
        self._run_one = run_one
        self._errors = errors
        self._prefix = prefix
        self._numbers = iter(range(workflows))
        self._workflows = workflows
        self._first_failure = ""
        self._latencies_ms: list[float] = []
        self._failures_in_a_row = 0
        self.ended = 0

    async def run(self, concurrency: int) -> LoadResult:
        """Run all, never more than `concurrency` at once; what did not end counts as failed."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PHASE_TIMEOUT_SECONDS), asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, self._workflows)):
                    group.create_task(self._run_one_after_another())
        except TimeoutError:
            self._first_failure = self._first_failure or "the phase took too long"
        return self._result(time.perf_counter() - began)

    async def _run_one_after_another(self) -> None:
        for number in self._numbers:
            began = time.perf_counter()
            try:
                await self._run_one(f"{self._prefix}-{number}")
            except self._errors as failure:  # A finding; the load goes on.
                self._first_failure = self._first_failure or repr(failure)
                self._failures_in_a_row += 1
                if self._failures_in_a_row >= FAILURES_IN_A_ROW_MAX:
                    return
            else:
                self._failures_in_a_row = 0
                self._latencies_ms.append((time.perf_counter() - began) * 1_000)
            self.ended += 1

    def _result(self, seconds: float) -> LoadResult:
        ordered = sorted(self._latencies_ms)
        return LoadResult(
            workflows=self._workflows,
            failures=self._workflows - len(ordered),
            first_failure=self._first_failure,
            seconds=seconds,
            p50_ms=percentile(ordered, 50),
            p99_ms=percentile(ordered, 99),
        )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in ascending order; 0.0 if there are none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


async def run_phases(
    parent: Parent,
    run_one_of: Callable[[str], RunOne],
    errors: tuple[type[Exception], ...],
) -> None:
    """Run what the parent asks for, and send it the results, until it closes standard input.

    `run_one_of` gives, for the name of a workload, what runs one workflow of it.
    """
    parent.send({"ready": True})
    while (command := await parent.receive()) is not None:
        run_one = run_one_of(command["workload"])
        phase = Phase(run_one, errors, command["prefix"], int(command["workflows"]))
        progress = asyncio.create_task(_report_progress(parent, phase))
        result = await phase.run(int(command["concurrency"]))
        progress.cancel()
        answer: Message = {"result": asdict(result)}
        parent.send(answer)


async def _report_progress(parent: Parent, phase: Phase) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        parent.send({"ended": phase.ended})
