"""Compares programs on two servers, from the command line.

``python -m tests.interop.compare timers --target-a real --target-b ours``

A target is ``real`` or ``ours`` (started for the occasion) or the HOST:PORT of a server that
already runs; without ``--target-b`` nothing is compared. Without program names all programs run.
``--show`` prints what was observed; ``--out DIR`` writes it to files, one per program.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import logging
import sys
from pathlib import Path

from tests.interop.normaliser import as_text
from tests.interop.programs import PROGRAMS
from tests.interop.runs import Outcome, difference, run_against


def main() -> int:
    """Exit status 0 when nothing differs and no program failed."""
    options = _options()
    names = options.programs or list(PROGRAMS)
    if unknown := [name for name in names if name not in PROGRAMS]:
        sys.exit(f"no such program: {', '.join(unknown)}; there are: {', '.join(PROGRAMS)}")
    # The programs fail on purpose, and the SDK says so.
    logging.getLogger("temporalio").setLevel(logging.CRITICAL + 1)
    # Threads, since each side has an event loop; processes would start the SDK's core twice.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        sides = [options.target_a] + ([options.target_b] if options.target_b else [])
        outcomes = list(pool.map(lambda target: run_against(target, names), sides))
    bad = 0
    for name in names:
        of_program = [outcome[name] for outcome in outcomes]
        for side, outcome in zip("ab", of_program, strict=False):
            _write(outcome, name, side, options.show, options.out)
            bad += outcome.error is not None
        if len(of_program) == 2:
            bad += _report(name, *of_program)
    return 1 if bad else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM")
    parser.add_argument("--target-a", default="real", metavar="TARGET")
    parser.add_argument("--target-b", default=None, metavar="TARGET")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--out", type=Path, metavar="DIR")
    return parser.parse_args()


def _write(outcome: Outcome, name: str, side: str, show: bool, out: Path | None) -> None:
    text = as_text(outcome.observations)
    if show:
        print(f"=== {name} on {side}\n{text}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        out.joinpath(f"{name}.{side}.json").write_text(text + "\n")
    if outcome.error is not None:
        print(f"=== {name} on {side} failed")
        print(outcome.error)


def _report(name: str, a: Outcome, b: Outcome) -> bool:
    diff = difference(a.observations, b.observations, "a", "b")
    verdict = "DIFFERS" if diff else "same"
    print(f"{name}: {verdict} ({a.seconds:.1f} s, {b.seconds:.1f} s)")
    if diff:
        print(diff)
    return bool(diff)


if __name__ == "__main__":
    sys.exit(main())
