"""The client process: starts workflows through the official SDK and waits for their results.

It stays alive over all phases of a server, so that imports and connections are in none of them. A
phase's window opens when its first workflow starts and closes when its last result arrived.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from temporalio.client import Client
from temporalio.exceptions import TemporalError

from bench.child import Message, Parent
from bench.results import LoadResult
from bench.workloads import NAMESPACE, TASK_QUEUE, WORKLOADS, Workload

PROGRESS_SECONDS: Final = 0.25
PHASE_TIMEOUT_SECONDS: Final = 1_800

# The SDK retries a call for half a minute; a server that is gone must not cost that for each.
FAILURES_IN_A_ROW_MAX: Final = 5


class Phase:
    """One number of workflows at one concurrency."""

    def __init__(self, client: Client, workload: Workload, prefix: str, workflows: int) -> None:
        self._client = client
        self._workload = workload
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
                await self._client.execute_workflow(
                    self._workload.run,
                    "world",
                    id=f"{self._prefix}-{number}",
                    task_queue=TASK_QUEUE,
                )
            except TemporalError as failure:  # A finding; the load goes on.
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


async def report_progress(parent: Parent, phase: Phase) -> None:
    """Tell the parent how many workflows have ended, until cancelled."""
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        parent.send({"ended": phase.ended})


async def run_phase(parent: Parent, client: Client, command: Message) -> None:
    """Run what the parent asked for and send it the result."""
    phase = Phase(
        client, WORKLOADS[command["workload"]], command["prefix"], int(command["workflows"])
    )
    progress = asyncio.create_task(report_progress(parent, phase))
    result = await phase.run(int(command["concurrency"]))
    progress.cancel()
    parent.send({"result": asdict(result)})


async def main(address: str) -> None:
    """Run phases until the parent closes standard input."""
    parent = Parent()
    client = await Client.connect(address, namespace=NAMESPACE)
    parent.send({"ready": True})
    while (command := await parent.receive()) is not None:
        await run_phase(parent, client, command)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
