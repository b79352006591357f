"""`python -m sim --seeds 1000 [--first 0]`, or `python -m sim --seed N --verbose`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.progress import track

from sim.world import Outcome, run_seed

TAIL = 40


def main() -> int:
    """Run seeds; 1 when any of them breaks an invariant."""
    parser = argparse.ArgumentParser(prog="python -m sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--verbose", action="store_true", help="show the whole trace")
    options = parser.parse_args()
    logging.getLogger("perdure").setLevel(logging.INFO if options.verbose else logging.ERROR)
    console = Console(stderr=True)
    seeds: Iterable[int] = range(options.first, options.first + options.seeds)
    if options.seed is not None:
        seeds = [options.seed]
    elif console.is_terminal:
        seeds = track(seeds, description="worlds", console=console)
    failed = [outcome.seed for outcome in map(run_seed, seeds) if _tell(outcome, options)]
    if failed:
        sys.stdout.write(f"failing seeds: {failed}\n")
    return 1 if failed else 0


def _tell(outcome: Outcome, options: argparse.Namespace) -> bool:
    """Print what is worth it; whether the world broke."""
    is_alone = options.seed is not None
    lines = []
    if outcome.broken or is_alone:
        lines += outcome.trace if options.verbose else outcome.trace[-TAIL:]
    if outcome.broken and not is_alone:
        lines.append(f"again: python -m sim --seed {outcome.seed} --verbose")
    lines += [
        f"seed {outcome.seed}: {broken.invariant}: {broken.text}" for broken in outcome.broken
    ]
    if is_alone:
        lines.append(
            f"seed {outcome.seed}: trace {outcome.digest}, {outcome.steps} steps,"
            f" {outcome.virtual_seconds:.1f} virtual seconds, {len(outcome.audit.runs)} runs"
        )
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")
    return bool(outcome.broken)


if __name__ == "__main__":
    sys.exit(main())
