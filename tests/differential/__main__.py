"""Many programs by hand: ``python -m tests.differential --seeds 5000 --jobs 32``.

``--from`` resumes a range. ``--show SEED`` prints a program and what both servers made of it.
Exit status 0 when nothing differs.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from tests.differential.compare import Difference, compare, shrunk
from tests.differential.coverage import NOT_YET, wanted
from tests.differential.generate import generate
from tests.differential.program import script
from tests.differential.sides import sides
from tests.interop.normaliser import as_text


def main() -> int:
    """The command."""
    options = _options()
    console = Console()
    if options.show is not None:
        return _show(console, options.show, options.out)
    seeds = range(options.first, options.first + options.seeds)
    counts: Counter[str] = Counter()
    different: list[int] = []
    with sides(options.jobs) as pair, Progress(console=console) as progress:
        bar = progress.add_task("programs", total=len(seeds))
        for verdict in compare(pair, (generate(seed) for seed in seeds)):
            counts.update(verdict.counts)
            progress.advance(bar)
            if options.verbose:
                progress.console.print(f"{verdict.program.seed}: {verdict.seconds:.1f} s")
            if verdict.difference:
                different.append(verdict.program.seed)
                found = verdict.difference if options.no_shrink else shrunk(pair, verdict)
                _report(console, found)
    _print_counts(console, counts)
    verdict_text = ", ".join(map(str, different)) if different else "none"
    console.print(f"{len(seeds)} programs, different: {verdict_text}", markup=False)
    return 1 if different else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=200, metavar="COUNT")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="SEED")
    parser.add_argument("--jobs", type=int, default=32, help="programs at once on each server")
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="print how long each took")
    parser.add_argument("--show", type=int, metavar="SEED")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where --show writes, too")
    return parser.parse_args()


def _show(console: Console, seed: int, out: Path | None) -> int:
    program = generate(seed)
    console.print(script(program), markup=False)
    with sides(1) as pair:
        results = [side.submit(program) for side in pair]
        for name, result in zip(("real", "ours"), results, strict=True):
            text = as_text(result.result().plain)
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                out.joinpath(f"{seed}.{name}.json").write_text(text + "\n")
            else:
                console.print(f"=== {name}\n{text}", markup=False)
        (verdict,) = compare(pair, [program])
    if verdict.difference:
        console.print(verdict.difference.diff, markup=False)
    return 1 if verdict.difference else 0


def _report(console: Console, difference: Difference) -> None:
    console.rule(f"seed {difference.program.seed}")
    console.print(script(difference.program), markup=False, highlight=False, soft_wrap=True)
    console.print(difference.diff, markup=False, highlight=False, soft_wrap=True)


def _print_counts(console: Console, counts: Counter[str]) -> None:
    names = wanted()
    for name in sorted({*names, *counts}):
        console.print(f"{counts[name]:7} {name}", markup=False, highlight=False, soft_wrap=True)
    missing = [name for name in names if not counts[name]]
    console.print(f"never seen: {', '.join(missing) or 'nothing'}", markup=False)
    console.print(f"not yet: {', '.join(NOT_YET)}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
