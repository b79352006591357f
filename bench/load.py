"""The client process: starts workflows through the official SDK and waits for their results.

It stays alive over all phases of a server, so that imports and connections are in none of them. A
phase's window opens when its first workflow starts and closes when its last result arrived.
"""

from __future__ import annotations

import asyncio
import sys

from temporalio.client import Client
from temporalio.exceptions import TemporalError

from bench.child import Parent
from bench.phase import RunOne, run_phases
from bench.workloads import NAMESPACE, TASK_QUEUE, WORKLOADS


async def main(address: str) -> None:
    """Run phases until the parent closes standard input."""
    parent = Parent()
    client = await Client.connect(address, namespace=NAMESPACE)

    def run_one_of(workload: str) -> RunOne:
        run = WORKLOADS[workload].run
        return lambda workflow_id: client.execute_workflow(
            run, "world", id=workflow_id, task_queue=TASK_QUEUE
        )

    await run_phases(parent, run_one_of, (TemporalError,))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
