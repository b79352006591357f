"""`perdure` itself: its help, its version, and how soon they come."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import typer

from perdure import __version__
from perdure.cli import main
from tests.cli.terminal import Terminal
from tests.interop.servers import executable

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


@pytest.mark.interop
@pytest.mark.parametrize("words", [["server", "start-dev"], ["dev"]])
def test_a_server_is_started_with_any_option_of_the_official_command_line(words: list[str]) -> None:
    command = typer.main.get_command(main.app)
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]
    ours = {option for parameter in command.params for option in parameter.opts}
    helps = [_official("server", "start-dev", "--help")]
    helps.append(_official("options").partition("Connection options")[0])
    # A time limit for the command: nobody wants one for a server.
    theirs = set(re.findall(r"--[a-z][a-z-]+", "".join(helps))) - {"--help", "--command-timeout"}
    assert "--db-filename" in theirs
    assert theirs - ours == set()


def _official(*arguments: str) -> str:
    done = subprocess.run(
        [executable("temporal"), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_json_is_also_said_as_the_official_command_line_says_it(terminal: Terminal) -> None:
    assert terminal.ok("cluster health -o json").json == {"status": "SERVING"}
    assert terminal.ok("cluster health --output text").out == "SERVING\n"
    assert terminal.run("cluster health -o yaml").exit_code == 2
