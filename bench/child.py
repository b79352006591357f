"""Processes that talk to their parent in lines of JSON, on standard input and output.

Server, worker and client each get a process of their own, so that the CPU time of each can be told
apart.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

STOP_SECONDS: Final = 30
ERROR_TAIL_CHARACTERS: Final = 2_000

Message = dict[str, Any]


class ChildFailed(Exception):
    """A process of the benchmark ended before it had answered."""


class Child:
    """The parent's end of one process."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.process = process
        self._errors = errors

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, message: Message) -> None:
        """Hand the process one message."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def receive(self) -> Message:
        """Wait for the next message; raises ChildFailed if the process has ended instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            tail = self._errors.read_text(errors="replace")[-ERROR_TAIL_CHARACTERS:]
            raise ChildFailed(f"{self.process.args!r} ended unexpectedly: {tail}")
        message: Message = json.loads(line)
        return message


@contextmanager
def running(
    module: str, *arguments: str, directory: Path, python: str = sys.executable
) -> Iterator[Child]:
    """Run a module as a process until the block ends; the end of its input asks it to stop."""
    errors = directory / f"{module}.stderr"
    with errors.open("a") as stderr:
        process = subprocess.Popen(
            [python, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        yield Child(process, errors)
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    """Close the input of a process and wait for its end; kill it if it does not end in time."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):  # It has ended already, which is what closing asks for.
            process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


class Parent:
    """The child's end. It keeps standard output to itself: what libraries print goes to errors."""

    def __init__(self) -> None:
        self._messages = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(self, message: Message) -> None:
        """Hand the parent one message."""
        self._messages.write(json.dumps(message) + "\n")
        self._messages.flush()

    async def receive(self) -> Message | None:
        """Wait for the parent's next message; None once the parent wants an end."""
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            return None
        message: Message = json.loads(line)
        return message
