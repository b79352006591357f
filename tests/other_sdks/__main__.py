"""Compares what a worker of the Go SDK makes of Temporal's server and of ours.

``make other-sdks`` (needs Go; most of its time goes into compiling the SDK). Exit status 0 when
histories, descriptions and all that was said are equal but for what the normaliser knows and
`MEASURED` names.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from temporalio.api.history.v1 import History
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse

from tests.interop.normaliser import UUID, Normaliser, as_text
from tests.interop.runs import difference
from tests.interop.servers import server

GO = Path(__file__).parent / "go"
SIDES = ("real", "ours")
PATIENCE_SECONDS = 240
MEASURED = re.compile(
    r'(?<=ReplayTime\\":\\")[^"\\]+'  # In the markers of Go's local activities.
    r'|(?<="first_workflow_task_backoff": ")[^"]+'  # What is left of a second.
    r'|(?<="identity": ")\d+@[^"]*'  # A session's worker calls itself by its process.
    r"|(?<=runID: )[0-9a-f-]+"
)
RACES = frozenset({"session", "parent"})
"""Scenarios whose workflow tasks may begin before or after other news: only what they say
counts."""


def main() -> int:
    """Exit status 1 when anything differs."""
    if shutil.which("go") is None:
        print("Go is not installed: nothing was compared", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "othersdks")
        subprocess.run(["go", "build", "-o", program, "."], cwd=GO, check=True)
        with ThreadPoolExecutor(len(SIDES)) as pool:
            places = list(pool.map(lambda side: _played(program, Path(folder), side), SIDES))
        names = sorted({path.stem for place in places for path in place.glob("*.history")})
        bad = sum(_differs(name, *(_seen(place, name) for place in places)) for name in names)
        said = [[_plain(line) for line in _lines(place)] for place in places]
        return 1 if _differs("what was said", *said) + bad else 0


def _played(program: Path, folder: Path, side: str) -> Path:
    """Where the program has left what it saw of a server."""
    place = folder / side
    place.mkdir()
    with server(side) as address:
        subprocess.run([program, address, place], check=True, timeout=PATIENCE_SECONDS)
    return place


def _lines(place: Path) -> list[str]:
    return (place / "said.txt").read_text(encoding="utf-8").splitlines()


def _seen(place: Path, name: str) -> list[Any]:
    """The events and the description of a run, and nothing of one that is not there."""
    history, description = place / f"{name}.history", place / f"{name}.description"
    if name in RACES or not history.exists():
        return [history.exists()]
    normaliser = Normaliser()
    messages = [
        *History.FromString(history.read_bytes()).events,
        DescribeWorkflowExecutionResponse.FromString(description.read_bytes()),
    ]
    return [_plain(as_text(normaliser.message(message))) for message in messages]


def _plain(text: str) -> str:
    return UUID.sub("<id>", MEASURED.sub("<measured>", text))


def _differs(name: str, real: list[Any], ours: list[Any]) -> bool:
    diff = difference(real, ours, *SIDES)
    print(f"{name}: {'DIFFERS' if diff else 'same'} ({len(real)})")
    if diff:
        print(diff)
    return bool(diff)


if __name__ == "__main__":
    sys.exit(main())
