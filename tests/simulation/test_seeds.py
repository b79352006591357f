"""Whole worlds under faults: no seed breaks an invariant."""

from __future__ import annotations

import pytest

from sim.world import run_seed

SEEDS = 200
CHUNKS = 8
"""Tests run in parallel, each with its part of the seeds."""


@pytest.mark.simulation
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_seed_breaks_an_invariant(chunk: int) -> None:
    for seed in range(chunk, SEEDS, CHUNKS):
        outcome = run_seed(seed)
        tail = "\n".join(outcome.trace[-60:])
        assert not outcome.broken, f"python -m sim --seed {seed} --verbose\n{tail}"
