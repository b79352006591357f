"""The peers, and how one is started on a free port, found ready, and stopped.

Every peer runs with its default settings. Ready means that GetSystemInfo and DescribeNamespace were
answered; the port is probed, and what a server prints is not read, so that both are treated alike.
"""

from __future__ import annotations

import importlib.util
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import grpc
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    GetSystemInfoRequest,
    GetSystemInfoResponse,
)

from bench.api import CHANNEL_OPTIONS, RETRIED, SERVICE
from bench.workloads import NAMESPACE

Whose = Literal["ours", "real"]

READY_TIMEOUT_SECONDS: Final = 60.0
STOP_TIMEOUT_SECONDS: Final = 60.0
PROBE_INTERVAL_SECONDS: Final = 0.002
OUTPUT_TAIL_CHARACTERS: Final = 2_000

# While it starts, a server may know neither the namespace nor the caller's permissions.
NOT_READY: Final = RETRIED | {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.DEADLINE_EXCEEDED}


class ServerFailed(Exception):
    """A server did not become ready, or did not stop cleanly."""


@dataclass(frozen=True)
class Peer:
    """A server to measure: whose it is, and whether it keeps a database file."""

    title: str
    whose: Whose
    on_disk: bool


PEERS: Final = (
    Peer(title="ours, file", whose="ours", on_disk=True),
    Peer(title="ours, memory", whose="ours", on_disk=False),
    Peer(title="real, file", whose="real", on_disk=True),
    Peer(title="real, memory", whose="real", on_disk=False),
)


@dataclass(frozen=True)
class Server:
    """A running server, and how long it took from its process's start to GetSystemInfo's answer."""

    process: subprocess.Popen[bytes]
    address: str
    start_up_seconds: float
    version: str
    output: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def check_running(self) -> None:
        """Raise ServerFailed, with the last of its output, if the server has ended."""
        _check_running(self.process, self.output)


def _ours() -> list[str] | None:
    script = Path(sys.executable).parent / "perdure"
    if script.exists():
        return [str(script), "dev"]
    try:
        found = importlib.util.find_spec("perdure.cli.main")
    except ModuleNotFoundError:
        found = None
    return [sys.executable, "-m", "perdure.cli.main", "dev"] if found else None


def _real() -> list[str] | None:
    binary = Path(sys.executable).parent / "temporal"
    if not binary.exists():
        return None
    return [str(binary), "server", "start-dev", "--headless", "--log-level", "error"]


PROGRAMS: Final[dict[Whose, Callable[[], list[str] | None]]] = {"ours": _ours, "real": _real}
DATABASE_OPTION: Final[dict[Whose, str]] = {"ours": "--db", "real": "--db-filename"}


def is_installed(peer: Peer) -> bool:
    """Whether the peer's program is in this environment."""
    return PROGRAMS[peer.whose]() is not None


@contextmanager
def serving(peer: Peer, directory: Path) -> Iterator[Server]:
    """Run the peer until the block ends, with its database (if it keeps one) in the directory."""
    program = PROGRAMS[peer.whose]()
    if program is None:
        raise ServerFailed(f"the program of {peer.title!r} is not installed")
    port = _free_port()
    command = [*program, "--port", str(port)]
    if peer.on_disk:
        command += [DATABASE_OPTION[peer.whose], str(database_path(directory))]
    output = directory / "server.output"
    with output.open("wb") as sink:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        address = f"127.0.0.1:{port}"
        version, seconds = _wait_until_ready(process, port, address, began, output)
        yield Server(process, address, seconds, version, output)
    finally:
        _stop(process)


def database_path(directory: Path) -> Path:
    """Where a peer in this directory keeps its database."""
    return directory / "bench.db"


def database_bytes(directory: Path) -> int:
    """What a stopped peer's database takes on disk, log included, after a full checkpoint."""
    path = database_path(directory)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    kept = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in kept if file.exists())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, address: str, began: float, output: Path
) -> tuple[str, float]:
    """The server's version, and the seconds from `began` to the first answer of GetSystemInfo."""
    deadline = began + READY_TIMEOUT_SECONDS
    answered: tuple[str, float] | None = None
    while time.perf_counter() < deadline:
        _check_running(process, output)
        if _accepts(port):
            with grpc.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
                if answered is None and (version := _system_info(channel)) is not None:
                    answered = version, time.perf_counter() - began
                if answered is not None and _knows_namespace(channel):
                    return answered
        time.sleep(PROBE_INTERVAL_SECONDS)
    raise ServerFailed(f"{process.args!r} was not ready after {READY_TIMEOUT_SECONDS:.0f} s")


def _check_running(process: subprocess.Popen[bytes], output: Path) -> None:
    if process.poll() is not None:
        tail = output.read_text(errors="replace")[-OUTPUT_TAIL_CHARACTERS:]
        raise ServerFailed(f"{process.args!r} ended with {process.returncode}: {tail}")


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _probe(channel: grpc.Channel, method: str, request: bytes) -> bytes | None:
    """The answer, or None while the server is not ready for this call."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        SERVICE + method, None, None
    )
    try:
        return call(request, timeout=5)
    except grpc.RpcError as error:
        if error.code() in NOT_READY:
            return None
        raise


def _system_info(channel: grpc.Channel) -> str | None:
    answer = _probe(channel, "GetSystemInfo", GetSystemInfoRequest().SerializeToString())
    if answer is None:
        return None
    return GetSystemInfoResponse.FromString(answer).server_version


def _knows_namespace(channel: grpc.Channel) -> bool:
    request = DescribeNamespaceRequest(namespace=NAMESPACE).SerializeToString()
    return _probe(channel, "DescribeNamespace", request) is not None


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, and wait until it has; kill it and raise if it does not."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise ServerFailed(f"{process.args!r} ignored SIGINT for too long") from None
