"""Nothing that others have chosen reaches the terminal as a command to it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from perdure.cli import main
from perdure.cli.saying import harmless, harmless_json, say
from tests.cli.terminal import Terminal

HOSTILE = "\x1b]0;mine\x07\x1b[2J\x1b[31m\x9b1m\x7f\x00\u202egpj.exe\r\b\x0b"
ALLOWED = "\n\t"
STYLES = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r")
"""What rich itself may say to a terminal."""
COLOURFUL = {"TERM": "xterm-256color", "FORCE_COLOR": "1"}
CONSOLE_FILES = {"saying.py", "terminal.py", "main.py", "dev.py", "completion.py"}
"""Those that print what is our own."""


def _obeyed(text: str) -> set[str]:
    """The characters that a terminal would obey."""
    return {character for character in text if harmless(character) != character}


@pytest.fixture
def hostile_id(terminal: Terminal) -> str:
    """A workflow that is hostile wherever it can be."""
    workflow_id = f"{uuid.uuid4()}{HOSTILE}".replace("\x00", "")
    evil = HOSTILE.replace("\x00", "")
    terminal.ok(
        "workflow start",
        *("--type", evil, "-t", evil, "-w", workflow_id),
        *(
            "--input",
            f'"{evil}"'.replace("\x1b", "\\u001b")
            .replace("\x07", "")
            .replace("\r", "")
            .replace("\b", "")
            .replace("\x0b", ""),
        ),
        *("--memo", 'evil="\\u001b[2J\\u009b"'),
    )
    return workflow_id


LINES = [
    "workflow describe {}",
    "workflow show {}",
    "workflow show {} --all",
    "workflow show {} --json",
    "workflow describe {} --json",
    "workflow list",
    "workflow list --json",
    "workflow trace {} --once",
    "workflow trace {} --json",
    "workflow signal {} --name {}",
    "workflow signal {}nobody --name {}",
    "workflow query {} --name {}",
    "workflow update describe {} --update-id {}",
    "workflow pause {} --reason {}",
    "workflow reset {} --type FirstWorkflowTask --reason {}",
    "workflow cancel {} --reason {}",
    "workflow terminate {} --reason {}",
    "workflow result {}",
    "workflow result {} --json",
    "workflow delete {} --yes",
    "schedule create -s {} --type {} -t {} --interval 1h",
    "schedule describe -s {}",
    "schedule list",
    "schedule list --json",
    "schedule toggle -s {} --pause --reason {}",
    "schedule delete -s {}",
    "schedule delete -s {} --json",
    "batch start terminate -q WorkflowId='{}' --reason {} --yes",
    "batch list",
    "batch list --json",
    "task-queue describe {}",
    "task-queue describe {} --json",
    "activity complete -w {} -a {}",
    "activity pause -w {} -a {} --json",
    "namespace describe {}",
    "namespace create {} --description {}",
    "nexus endpoint create {} --target-namespace {} --target-task-queue {}",
    "nexus endpoint get {}",
    "search-attribute create {}=Keyword",
    "worker deployment describe {}",
    "worker deployment list --json",
    "workflow list -q {}",
    "workflow count -q {}",
    "workflow describe x --namespace {}",
    "config get --profile {}",
]
"""In order: the later ones find what the earlier ones have made."""
COLOURED = ["workflow describe {}", "workflow show {}", "workflow list"]


def test_no_command_prints_what_a_terminal_obeys(terminal: Terminal, hostile_id: str) -> None:
    for line in LINES:
        arguments = [part.replace("{}", hostile_id) for part in line.split(" ")]
        said = terminal.run("", *arguments)
        assert said.exit_code in (0, 1, 2), line
        assert not _obeyed(said.out) | _obeyed(said.err), (line, said)


def test_in_colour_only_rich_commands_the_terminal(terminal: Terminal, hostile_id: str) -> None:
    for line in COLOURED:
        arguments = [part.replace("{}", hostile_id) for part in line.split(" ")]
        said = terminal.run("", *arguments, looks=COLOURFUL)
        assert said.exit_code == 0
        assert "\x1b[" in said.out
        assert not _obeyed(STYLES.sub("", said.out)), (line, said)
        # Its own style, without what makes it a command.
        assert "␛[31m" in re.sub(r"\n *", "", STYLES.sub("", said.out))


def test_a_hostile_id_is_shown_so_that_it_is_seen(terminal: Terminal, hostile_id: str) -> None:
    assert "␛[2J␛[31m" in terminal.ok("workflow list").out
    assert terminal.ok("workflow list --json --limit 0").json_lines[0].keys() >= {"workflowId"}
    found = [one["workflowId"] for one in terminal.ok("workflow list --json").json_lines]
    assert hostile_id in found


def test_json_says_the_same_without_what_a_terminal_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert harmless_json('"\x7f\x9b\u202e"') == '"\\u007f\\u009b\\u202e"'
    say(HOSTILE)
    assert not _obeyed(capsys.readouterr().out)
    assert harmless("a\tb\nc é ✔ 漢 🎉") == "a\tb\nc é ✔ 漢 🎉"


def test_everything_is_said_by_what_makes_it_harmless() -> None:
    found = {
        file.name
        for file in Path(main.__file__).parent.rglob("*.py")
        if re.search(r"\btyper\.s?echo\(|\bprint\(|typer\.secho\(", file.read_text("utf-8"))
        and not re.search(r"\.print\(", file.read_text("utf-8"))
    }
    assert found <= CONSOLE_FILES


def _commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


def test_every_command_that_tells_something_has_json() -> None:
    without = {
        line
        for line, command in _commands(typer.main.get_command(main.app))
        if "as_json" not in {parameter.name for parameter in command.params}
    }
    assert without == {"dev", "server start-dev", "completion", "worker run"}
