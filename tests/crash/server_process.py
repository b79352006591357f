"""A server in a process of its own, which can be stopped, paused and killed."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

READY = re.compile(r"listens on (\S+):(\d+)")
STOP_SECONDS_MAX = 20.0
LOUD = re.compile(r" (?:ERROR|CRITICAL) |Traceback|^Fatal", re.MULTILINE)
"""What a server must not say, whatever is done to its disk or to itself."""
PORTS = range(20_000, 32_000)
"""Below those that the system gives to outgoing connections: while the server is down, a client
that tries to reach it again and again would otherwise be given the server's port, and keep it."""


_CHOSEN = itertools.cycle(random.SystemRandom().sample(PORTS, len(PORTS)))
"""Each once, or a server would be told the same port twice."""


def fixed_port() -> int:
    """A free port that stays usable over restarts."""
    while True:
        port = next(_CHOSEN)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def dev_command(port: int, database: Path | str, *options: str) -> list[str]:
    """`perdure dev` on a port and a file."""
    return [sys.executable, *_MAIN, "dev", "--port", str(port), "--db", str(database), *options]


_MAIN = ("-c", "from perdure.cli.main import main; main()")


class ServerProcess:
    """Runs from when it is made; `wait_ready` says when it serves."""

    def __init__(self, command: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "TERM": "dumb", "NO_COLOR": "1"},
        )
        self.port = 0
        self.seconds_to_ready = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        if error is not None:
            error.add_note(f"the server's log: {self.said()}")
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._errors.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_ready(self) -> str:
        """Wait until it says that it listens; what it said."""
        line = self.read_line()
        found = READY.search(line)
        assert found is not None, f"the server said {line!r} and {self.said()!r}"
        self.port = int(found[2])
        self.seconds_to_ready = time.monotonic() - self._started
        return line

    def read_line(self) -> str:
        """The next line that it prints; "" when it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def tell(self, line: str) -> None:
        """Write a line to its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        return self._process.wait(STOP_SECONDS_MAX)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and wait; its exit code."""
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        """End it with no time for anything."""
        self._process.kill()
        self._process.wait()

    def said(self) -> str:
        """What it has written to its log so far."""
        self._errors.seek(0)
        return self._errors.read()

    def complaints(self) -> list[str]:
        """Lines of its log that tell of a bug."""
        text = self.said()
        return [text] if LOUD.search(text) else []
