"""`perdure` itself: its help, its version, and how soon they come."""

from __future__ import annotations

import subprocess
import sys

import pytest

from perdure import __version__
from tests.cli.terminal import Terminal

HEAVY = ["grpc", "temporalio.api", "rich.console", "perdure.client", "perdure.worker", "apsw"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--help", ["dev", "worker", "workflow"]),
        ("workflow --help", ["start", "execute", "result", "list", "describe", "show"]),
        ("workflow --help", ["signal", "cancel", "terminate"]),
        ("workflow start --help", ["--type", "--task-queue", "--id-conflict-policy", "DURATION"]),
    ],
)
def test_help_names_what_there_is(terminal: Terminal, line: str, words: list[str]) -> None:
    out = terminal.ok(line).out
    assert all(word in out for word in words)


def test_the_version_is_told(terminal: Terminal) -> None:
    assert terminal.ok("--version").out == f"perdure {__version__}\n"


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    code = f"import sys, perdure.cli.main; print(*(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
