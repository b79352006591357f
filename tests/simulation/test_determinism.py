"""The same seed is the same world."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sim.world import run_seed

ROOT = Path(__file__).resolve().parents[2]


def test_the_same_seed_gives_the_same_trace() -> None:
    for seed in range(5):
        first, second = run_seed(seed), run_seed(seed)
        assert first.trace == second.trace
        assert first.digest == second.digest


def test_other_seeds_give_other_traces() -> None:
    assert len({run_seed(seed).digest for seed in range(5)}) == 5


def test_the_trace_does_not_depend_on_how_a_process_hashes() -> None:
    assert _digest_with_hash_seed("1") == _digest_with_hash_seed("2") == run_seed(3).digest


def _digest_with_hash_seed(hash_seed: str) -> str:
    code = "from sim.world import run_seed; print(run_seed(3).digest)"
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    finished = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return finished.stdout.strip()
