"""Many programs by hand: ``python -m tests.differential --seeds 0:5000``.

Each runs on the real server and on ours; the real one is the `temporal` of the development
dependencies. One that differs is shown, made small, and named with the command that runs it
again. Programs are of several kinds, each with seeds of its own: ``--kind nexus`` carries out that
kind only. ``--show`` prints all that both servers showed, ``--out DIR`` writes it to files. Exit
status 0 when nothing differs and, in a run of at least 200, everything has occurred that must.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.differential.compare import Verdict, compare, shrunk
from tests.differential.kinds import KINDS, programs
from tests.differential.program import Program, has_races, script
from tests.differential.report import report, summary
from tests.differential.sides import sides
from tests.interop.normaliser import as_text

COMPLETE_FROM = 200
"""As many programs as must show everything."""
RACING_SHARE_MIN = 1 / 3


def main() -> int:
    """The command."""
    options = _options()
    console = Console()
    if options.show or options.out:
        return max(_show(console, program, options.out) for program in _programs(options))
    began = time.monotonic()
    verdicts = _compare(console, options)
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        counts.update(verdict.counts)
    missing = summary(console, counts, options.kind or "")
    if options.kind or len(options.seeds) < COMPLETE_FROM:
        missing = []
    return _conclude(console, verdicts, missing, time.monotonic() - began)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--seeds", type=_seeds, default=range(200), metavar="FROM:TO", help="or only TO, or FROM:"
    )
    parser.add_argument("--kind", choices=KINDS, help="instead of all")
    parser.add_argument("--jobs", type=int, default=64, help="programs at once on each server")
    parser.add_argument("--late", action="store_true", help="show what differs at first, too")
    parser.add_argument("--no-shrink", action="store_true", help="show what differs as it is")
    parser.add_argument("--show", action="store_true", help="print all that was seen")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write all that was seen")
    return parser.parse_args()


def _seeds(text: str) -> range:
    first, colon, end = text.rpartition(":")
    start = int(first or 0)
    return range(start, int(end) if end or not colon else start + 1)


def _programs(options: argparse.Namespace) -> list[Program]:
    return list(programs([options.kind] if options.kind else list(KINDS), options.seeds))


def _compare(console: Console, options: argparse.Namespace) -> list[Verdict]:
    verdicts = []
    columns = (TextColumn("programs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with sides(options.jobs) as pair, Progress(*columns, console=console) as progress:
        wanted = _programs(options)
        bar = progress.add_task("programs", total=len(wanted))
        for verdict in compare(pair, wanted):
            progress.advance(bar)
            verdicts.append(verdict)
            if verdict.difference:
                is_shrinking = not options.no_shrink
                found = shrunk(pair, verdict) if is_shrinking else verdict.difference
                report(progress.console, found)
            elif verdict.first and options.late:
                progress.console.print("differed at first, but not among few others:")
                report(progress.console, verdict.first)
    return verdicts


def _conclude(console: Console, verdicts: list[Verdict], missing: list[str], seconds: float) -> int:
    racing = sum(has_races(verdict.program) for verdict in verdicts)
    console.print(f"{len(verdicts)} programs, {racing} of them with races, in {seconds:.0f} s")
    late = sorted(each.program.title for each in verdicts if each.first and each.is_same)
    if late:
        console.print(f"differed at first, but not when run alone: {', '.join(late)}")
    different = [each.program for each in verdicts if not each.is_same]
    titles = sorted(program.title for program in different)
    console.print(f"different: {', '.join(titles) or 'none'}")
    for program in different:
        console.print(f"  again: {program.command}")
    workflows = sum(verdict.program.kind == "workflows" for verdict in verdicts)
    has_enough_races = workflows < COMPLETE_FROM or racing >= RACING_SHARE_MIN * workflows
    return 0 if has_enough_races and not missing and not different else 1


def _show(console: Console, program: Program, out: Path | None) -> int:
    console.print(script(program), markup=False)
    with sides(1) as pair:
        results = [side.submit(program) for side in pair]
        for name, result in zip(("real", "ours"), results, strict=True):
            text = as_text(result.result().plain)
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                out.joinpath(f"{program.title}.{name}.json").write_text(text + "\n")
            else:
                console.print(f"=== {name}\n{text}", markup=False)
        (verdict,) = compare(pair, [program])
    if verdict.difference:
        report(console, verdict.difference)
    return 1 if verdict.difference else 0


if __name__ == "__main__":
    sys.exit(main())
