"""One server and one worker for all tests of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cli.terminal import QUEUE, Terminal
from tests.crash.server_process import ServerProcess

COMMAND = (sys.executable, "-c", "from perdure.cli.main import main; main()")


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where a server of ours listens."""
    switch = "nexusoperation.enableStandalone=true"
    with ServerProcess(
        [*COMMAND, "dev", "--port", "0", "--dynamic-config-value", switch]
    ) as server:
        server.wait_ready()
        yield f"127.0.0.1:{server.port}"


@pytest.fixture
def terminal(address: str) -> Terminal:
    """Runs commands in this process."""
    return Terminal(address)


@pytest.fixture(scope="session")
def worker(address: str) -> Iterator[None]:
    """`perdure worker` runs the program of these tests on `QUEUE`."""
    process = subprocess.Popen(
        [*COMMAND, "worker", "tests.cli.program", "--task-queue", QUEUE, "--address", address],
        env={**os.environ, "PYTHONWARNINGS": "error"},
        stderr=subprocess.DEVNULL,
    )
    yield
    process.terminate()
    assert process.wait(20) == 0
