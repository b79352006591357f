"""Runs commands in this process, as a person would at a terminal."""

from __future__ import annotations

import json
import shlex
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import typer.main
from typer.testing import CliRunner

from perdure.cli.main import app

QUEUE = "cli"
_COMMAND = typer.main.get_command(app)
"""Made once: making it takes ten times as long as what most commands do."""
PLAIN = {"TERM": "dumb", "NO_COLOR": "1"}


@dataclass(frozen=True)
class Said:
    """What came of a command."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value that was printed."""
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        """The JSON values that were printed, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Terminal:
    """`workflow` commands for one server."""

    def __init__(self, address: str) -> None:
        self._address = address

    def run(
        self, line: str, *more: str, stdin: str | None = None, looks: Mapping[str, str] = PLAIN
    ) -> Said:
        """Run `perdure` with the arguments in a line, and some that need no quotes.

        `looks` are the variables that say what the terminal can do. What is printed comes as it is.
        """
        environment = {"PERDURE_ADDRESS": self._address, **looks}
        path = [*sys.path]  # A command adds the current directory: to its own process.
        with CliRunner().isolation(input=stdin, env=environment, color=True) as (out, err, _):
            try:
                exit_code = _exit_code([*shlex.split(line), *more])
            finally:
                sys.path[:] = path
            return Said(exit_code, _text(out), _text(err))

    def ok(self, line: str, *more: str) -> Said:
        """`run` what must succeed."""
        said = self.run(line, *more)
        assert (said.exit_code, said.err) == (0, ""), said
        return said

    def refused(self, line: str, *more: str) -> str:
        """`run` what must be refused with one line; the line."""
        said = self.run(line, *more)
        assert said.exit_code == 1
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert said.err.startswith("perdure: ")
        return said.err.strip().removeprefix("perdure: ")

    def started(self, workflow: str, *more: str, queue: str = QUEUE) -> str:
        """Start a workflow; its id."""
        workflow_id = f"{workflow}-{uuid.uuid4()}"
        self.ok(f"workflow start --type {workflow} -t {queue} -w {workflow_id}", *more)
        return workflow_id


def _exit_code(arguments: list[str]) -> int:
    """Carries out a command; how its process would end."""
    try:
        _COMMAND.main(arguments, prog_name="perdure")
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _text(printed: BytesIO) -> str:
    return printed.getvalue().decode().replace("\r\n", "\n")
