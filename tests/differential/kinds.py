"""The kinds of programs: each has seeds of its own, so that one may grow without the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.differential.generate import generate
from tests.differential.generate_deployments import generate_deployments
from tests.differential.generate_jobs import generate_jobs
from tests.differential.generate_nexus import generate_nexus
from tests.differential.program import Program

KINDS: Mapping[str, Callable[[int], Program]] = {
    "workflows": generate,
    "nexus": generate_nexus,
    "jobs": generate_jobs,
    "deployments": generate_deployments,
}
"""How the program of a seed is written."""

SHARES: Mapping[str, float] = {"workflows": 1, "nexus": 0.2, "jobs": 0.25, "deployments": 0}
"""Of how many of the seeds there is a program of a kind, where nobody asks for one kind only. None
about deployments: now and then the real server's routing does not come to rest."""


def programs(kinds: Sequence[str], seeds: range) -> Iterator[Program]:
    """Those of the seeds; of several kinds, each in its share."""
    for kind in kinds:
        share = SHARES[kind] if len(kinds) > 1 else 1
        for seed in seeds[: max(1, round(share * len(seeds)))] if share else ():
            yield KINDS[kind](seed)
