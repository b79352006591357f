"""What is measured: two workflows of the official SDK, and what a complete history of each holds.

The same definitions run on every peer. They do as little as possible, so that nearly all the CPU
that a run costs is the platform's.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from temporalio import activity, workflow

TASK_QUEUE: Final = "bench"
NAMESPACE: Final = "default"
CHAIN_LENGTH: Final = 10
ACTIVITY_TIMEOUT: Final = timedelta(minutes=5)


@activity.defn
async def greet(name: str) -> str:
    """Answer with a greeting; waits for nothing."""
    return f"Hello, {name}!"


@workflow.defn
class Hello:
    """One activity."""

    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(greet, name, start_to_close_timeout=ACTIVITY_TIMEOUT)


@workflow.defn
class Chain:
    """Ten activities, one after another."""

    @workflow.run
    async def run(self, name: str) -> str:
        result = ""
        for _ in range(CHAIN_LENGTH):
            result = await workflow.execute_activity(
                greet, name, start_to_close_timeout=ACTIVITY_TIMEOUT
            )
        return result


@dataclass(frozen=True)
class Workload:
    """A workflow to run many times, and how many activities its complete history holds."""

    name: str
    run: Callable[[Any, str], Coroutine[Any, Any, str]]
    activities: int


WORKLOADS: Final[Mapping[str, Workload]] = MappingProxyType(
    {
        "hello": Workload(name="hello", run=Hello.run, activities=1),
        "chain": Workload(name="chain", run=Chain.run, activities=CHAIN_LENGTH),
    }
)
