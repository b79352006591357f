"""How much is measured: numbers of workflows, concurrencies, polls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONCURRENCIES: Final = (1, 100, 500)
WARM_UP_WORKFLOWS: Final = 50
WARM_UP_CONCURRENCY: Final = 10

# One workflow at a time tells latency; a twentieth of all is enough and keeps the run short.
SEQUENTIAL_SHARE: Final = 20
SEQUENTIAL_MIN: Final = 20

# Chains are about seven times as dear as hellos; peers in memory have no bytes to count.
HELLOS_PER_CHAIN: Final = 5
MEMORY_SHARE: Final = 5
MEMORY_MIN: Final = 1_000


@dataclass(frozen=True)
class Plan:
    """The size of one run of the benchmark."""

    workflows: int
    long_polls: int
    start_ups: int
    audit_sample: int | None

    def workflows_of(self, workload: str, *, on_disk: bool) -> int:
        """How many workflows of a workload run on one peer, the warm-up included."""
        hellos = self.workflows
        if not on_disk:
            hellos = min(hellos, max(MEMORY_MIN, hellos // MEMORY_SHARE))
        return hellos if workload == "hello" else max(1, hellos // HELLOS_PER_CHAIN)


@dataclass(frozen=True)
class PhasePlan:
    """So many workflows at such a concurrency; a warm-up runs but is not reported."""

    concurrency: int
    workflows: int
    is_warm_up: bool


def phases_of(workflows: int) -> list[PhasePlan]:
    """Split a number of workflows, exactly, into a warm-up and one phase for each concurrency."""
    warm_up = min(WARM_UP_WORKFLOWS, workflows // 10)
    sequential = min(workflows - warm_up, max(SEQUENTIAL_MIN, workflows // SEQUENTIAL_SHARE))
    rest = workflows - warm_up - sequential
    counts = (sequential, rest // 2, rest - rest // 2)
    phases = [PhasePlan(WARM_UP_CONCURRENCY, warm_up, is_warm_up=True)]
    phases += [
        PhasePlan(concurrency, count, is_warm_up=False)
        for concurrency, count in zip(CONCURRENCIES, counts, strict=True)
    ]
    return [phase for phase in phases if phase.workflows]
