"""Runs the snippets of a page, in order, as a reader would.

- A block of Python that begins with `# name.py` is a file of that name.
- In a block of console, lines that begin with `$ ` are commands; what follows is what they print.
  An ellipsis (…) stands for anything. A command that ends in ` &` goes on in the background; it has
  started when it has printed what the page says.

The server of a page listens on a port of its own instead of the usual one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.crash.server_process import fixed_port

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
USUAL_PORT = "7233"
USUAL_HTTP_PORT = "8233"
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Command:
    """A line that a reader types, and the lines that it prints."""

    line: str
    prints: list[str]


class Page:
    """A page whose snippets run in a directory."""

    def __init__(self, page: Path, directory: Path) -> None:
        self._port = str(fixed_port())
        http_port = str(int(self._port) + int(USUAL_HTTP_PORT) - int(USUAL_PORT))
        text = page.read_text(encoding="utf-8").replace(USUAL_HTTP_PORT, http_port)
        self._text = text.replace(USUAL_PORT, self._port)
        self._directory = directory

    def run(self) -> int:
        """Run everything; the number of commands. Raises AssertionError for what is not so."""
        count = 0
        with ExitStack() as background:
            for language, content in BLOCK.findall(self._text):
                if language == "python":
                    self._write(content)
                    continue
                assert language == "console", f"who runs a block of {language}?"
                for command in _commands(content):
                    self._run(command, background)
                    count += 1
        return count

    def _write(self, content: str) -> None:
        name = re.match(r"# (\w+\.py)\n", content)
        assert name is not None, "a block of Python begins with the name of its file"
        (self._directory / name[1]).write_text(content, encoding="utf-8")

    def _run(self, command: Command, background: ExitStack) -> None:
        line = command.line.replace("perdure dev", f"perdure dev --port {self._port}")
        if line.endswith(" &"):
            process = self._start("exec " + line.removesuffix(" &"))
            background.callback(_stop, process)
            assert process.stdout is not None
            said = [process.stdout.readline().rstrip("\n") for _ in command.prints]
        else:
            process = self._start(line)
            out, _ = process.communicate(timeout=PATIENCE_SECONDS)
            said = [text.rstrip() for text in out.splitlines()]
        pattern = "\n".join(re.escape(text).replace("…", ".*") for text in command.prints)
        assert re.fullmatch(pattern, "\n".join(said)), f"{line}\n" + "\n".join(said)

    def _start(self, line: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {
            **os.environ,
            "PATH": path,
            "PERDURE_ADDRESS": f"127.0.0.1:{self._port}",
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
            "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "1",
            "TEMPORAL_CONFIG_FILE": str(self._directory / "temporal.toml"),
        }
        # What goes to the log of a process in the background is not what the page is about.
        errors = subprocess.DEVNULL if line.startswith("exec ") else subprocess.STDOUT
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=self._directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def _commands(content: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
        line, *prints = part.rstrip("\n").split("\n")
        yield Command(line, prints)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(PATIENCE_SECONDS)
    if process.stdout is not None:
        process.stdout.close()
