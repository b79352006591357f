"""The worker process: a stock worker of the official SDK, the same for every peer.

The workflows run outside the SDK's sandbox, since its cost per workflow would make the worker the
bottleneck and hide the server; what is not about concurrency is the SDK's default.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

from temporalio.client import Client
from temporalio.worker import PollerBehaviorSimpleMaximum, UnsandboxedWorkflowRunner, Worker

from bench.child import Parent
from bench.workloads import NAMESPACE, TASK_QUEUE, Chain, Hello, greet

CONCURRENT_TASKS_MAX: Final = 1_000
POLLERS: Final = 20

SETTINGS: Final[dict[str, Any]] = {
    "max_concurrent_workflow_tasks": CONCURRENT_TASKS_MAX,
    "max_concurrent_activities": CONCURRENT_TASKS_MAX,
    "max_cached_workflows": CONCURRENT_TASKS_MAX,
    "workflow_task_poller_behavior": PollerBehaviorSimpleMaximum(POLLERS),
    "activity_task_poller_behavior": PollerBehaviorSimpleMaximum(POLLERS),
}


async def main(address: str) -> None:
    """Work until the parent closes standard input."""
    parent = Parent()
    client = await Client.connect(address, namespace=NAMESPACE)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Hello, Chain],
        activities=[greet],
        workflow_runner=UnsandboxedWorkflowRunner(),
        **SETTINGS,
    )
    async with worker:
        parent.send({"ready": True})
        await parent.receive()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
