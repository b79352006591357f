"""`python -m bench`: measure our server and the real one side by side and print what was found.

Exit code 0 whatever the numbers are: this is a measurement, not a test.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBars

from bench.hellos import HOMES, measure_hellos
from bench.measure import measure_peer
from bench.plan import Plan
from bench.replays import measure_replays
from bench.report import print_report, write_json
from bench.results import HelloResult, PeerResult
from bench.servers import PEERS, Peer, is_installed

WORKFLOWS: Final = 10_000
WORKFLOWS_QUICK: Final = 2_000
LONG_POLLS: Final = 10_000
START_UPS: Final = 3

# What is not a terminal (a file, CI) has no width of its own; the tables need this many columns.
PLAIN_WIDTH: Final = 120


class Bars:
    """One progress bar a step."""

    def __init__(self, bars: ProgressBars) -> None:
        self._bars = bars

    def step(self, description: str) -> Callable[[int, int], None]:
        """Begin a bar; what is returned moves it."""
        task = self._bars.add_task(description, total=None)

        def advance(done: int, total: int) -> None:
            self._bars.update(task, completed=done, total=total)

        return advance


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers here")
    parser.add_argument(
        "--quick", action="store_true", help=f"{WORKFLOWS_QUICK:,} hellos instead of {WORKFLOWS:,}"
    )
    parser.add_argument("--only", choices=("ours", "real"), help="measure one of the servers")
    parser.add_argument(
        "--in-memory", choices=("yes", "no"), default="yes", help="also without a database file"
    )
    parser.add_argument(
        "--hellos",
        choices=("also", "only", "none"),
        default="also",
        help="our own SDK in every home, beside the official SDK on servers",
    )
    parser.add_argument("--workflows", type=int, metavar="N", help="how many hellos")
    parser.add_argument(
        "--long-polls", type=int, default=LONG_POLLS, metavar="N", help="how many polls to park"
    )
    parser.add_argument(
        "--long-polls-on",
        choices=("ours", "both", "none"),
        default="ours",
        help="whose server holds parked polls",
    )
    parser.add_argument("--audit-sample", type=int, metavar="N", help="read N histories, not all")
    parser.add_argument("--directory", type=Path, help="where databases are kept meanwhile")
    return parser.parse_args()


def chosen_peers(arguments: argparse.Namespace, console: Console) -> list[Peer]:
    """The peers to measure; says which of those asked for are not installed."""
    peers = [
        peer
        for peer in PEERS
        if arguments.only in (None, peer.whose) and (peer.on_disk or arguments.in_memory == "yes")
    ]
    for peer in peers:
        if not is_installed(peer):
            console.print(f"{peer.title}: not installed, left out", style="yellow")
    return [peer for peer in peers if is_installed(peer)]


def measure_all(
    peers: list[Peer], plan: Plan, arguments: argparse.Namespace, console: Console
) -> list[PeerResult]:
    """Measure one peer after another, never two at once; parked polls only on those with a file."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    results: list[PeerResult] = []
    with (
        tempfile.TemporaryDirectory(dir=arguments.directory, prefix="bench-") as root,
        ProgressBars(*columns, console=console) as bars,
    ):
        for number, peer in enumerate(peers):
            directory = Path(root) / str(number)
            directory.mkdir()
            holds_polls = arguments.long_polls_on in ("both", peer.whose) and peer.on_disk
            results.append(
                measure_peer(peer, plan, directory, Bars(bars), with_long_polls=holds_polls)
            )
    return results


def measure_homes(plan: Plan, arguments: argparse.Namespace, console: Console) -> list[HelloResult]:
    """Measure one home after another, never two at once."""
    with (
        tempfile.TemporaryDirectory(dir=arguments.directory, prefix="bench-") as root,
        ProgressBars(TextColumn("{task.description}"), BarColumn(), console=console) as bars,
    ):
        return [
            measure_hellos(
                home, plan.workflows, plan.start_ups, Path(root) / str(number), Bars(bars)
            )
            for number, home in enumerate(HOMES)
        ]


def main() -> None:
    """Measure, print, and write the JSON file if asked for."""
    arguments = parse_arguments()
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    plan = Plan(
        workflows=arguments.workflows or (WORKFLOWS_QUICK if arguments.quick else WORKFLOWS),
        long_polls=arguments.long_polls,
        start_ups=START_UPS,
        audit_sample=arguments.audit_sample,
    )
    hellos = [] if arguments.hellos == "none" else measure_homes(plan, arguments, console)
    replays = None if arguments.hellos == "none" else measure_replays()
    results: list[PeerResult] = []
    if arguments.hellos != "only":
        results = measure_all(chosen_peers(arguments, console), plan, arguments, console)
    print_report(console, results, hellos, replays)
    if arguments.json is not None:
        write_json(arguments.json, plan, results, hellos, replays)


if __name__ == "__main__":
    main()
