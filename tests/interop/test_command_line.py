"""The official command line prints the same against both servers, in one walk on each: every
sub-command of `workflow`, `activity`, `schedule`, `batch`, `task-queue`, `worker`, `nexus` and
`operator` that both know."""

from __future__ import annotations

import concurrent.futures
import difflib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.command_line import Said, Step, walk

pytestmark = pytest.mark.interop

COMMANDS = Path(__file__).with_name("command_line.txt")
DIFFERENT: dict[str, str] = {
    "workflow describe --workflow-id g1 -o json": (
        "timeouts that were given as zero are told like those that were not given"
    ),
    "workflow cancel --query \"Nope='g1'\" --reason r --yes": (
        "a query that makes no sense is refused at once"
    ),
    "task-queue list-partition --task-queue walk": "a queue has one partition",
    "operator cluster list": "the server does not know the address that it is reached by",
    "activity list -o json": "nothing need tell activities from workflows",
}
"""What is printed otherwise on purpose, and why."""
COMMANDS_MIN = 300


def steps() -> Iterator[Step]:
    """The steps of the walk."""
    for line in COMMANDS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("? "):
            until, _, command = line.removeprefix("? ").partition(" | ")
            yield Step(command, until, is_compared=False)
        elif line.startswith("- "):
            yield Step(line.removeprefix("- "), is_compared=False)
        else:
            yield Step(line, is_compared=line not in DIFFERENT)


def test_the_official_command_line_prints_the_same() -> None:
    walked = list(steps())
    assert len(walked) >= COMMANDS_MIN
    found = _differences(walked)
    if found:
        # The walk lives in real time: what differs is what differs twice.
        again = _differences(walked)
        found = {command: text for command, text in again.items() if command in found}
    assert not found, "\n\n".join(found.values())


def test_what_differs_is_part_of_the_walk() -> None:
    assert DIFFERENT.keys() <= {step.command for step in steps()}


def _differences(walked: list[Step]) -> dict[str, str]:
    """What the commands print otherwise, by command."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        real, ours = pool.map(lambda target: walk(target, walked), ("real", "ours"))
    return {
        step.command: _difference(*pair)
        for step, *pair in zip(walked, real, ours, strict=True)
        if step.is_compared and pair[0] != pair[1]
    }


def _difference(real: Said, ours: Said) -> str:
    lines = difflib.unified_diff(
        real.text.splitlines(), ours.text.splitlines(), "Temporal", "Perdure", lineterm="", n=1
    )
    codes = f"exit codes {real.exit_code} and {ours.exit_code}"
    return "\n".join([f"temporal {real.command}: {codes}", *lines])
