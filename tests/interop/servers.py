"""Starts the two servers that are compared, each in its own process on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from temporalio.client import Client

from tests.crash.server_process import fixed_port

NAMESPACE = "default"
START_TIMEOUT_SECONDS = 30.0
# The real one needs many seconds on a machine that is busy.
STOP_TIMEOUT_SECONDS = 60.0
OPTIONS_VARIABLE = "PERDURE_DEV_OPTIONS"
"""An environment variable with further options for our server, to run the suite with them."""


def executable(name: str) -> str:
    """The program beside this interpreter, else on the path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed beside {sys.executable} or on the path")
    return found


@contextlib.contextmanager
def real_server(settings: Sequence[str] = ()) -> Iterator[str]:
    """The address of a fresh real server, its database in memory; `settings` are KEY=JSON."""
    port = fixed_port()
    command = [executable("temporal"), "server", "start-dev", "--headless", "--log-level", "never"]
    command += ["--ip", "127.0.0.1", "--port", str(port), "--http-port", str(fixed_port())]
    command += ["--metrics-port", str(fixed_port())]
    command += _overrides(settings)
    with _running(command, port) as address:
        yield address


@contextlib.contextmanager
def our_server(settings: Sequence[str] = ()) -> Iterator[str]:
    """The address of a fresh server of ours, its database in a directory that goes with it."""
    port = fixed_port()
    with tempfile.TemporaryDirectory(prefix="perdure-interop-") as directory:
        command = [executable("perdure"), "dev", "--port", str(port)]
        command += ["--ui-port", str(fixed_port()), "--db", str(Path(directory, "interop.db"))]
        command += os.environ.get(OPTIONS_VARIABLE, "").split()
        command += _overrides(settings)
        with _running(command, port) as address:
            yield address


SERVERS = {"real": real_server, "ours": our_server}


@contextlib.contextmanager
def server(target: str, settings: Sequence[str] = ()) -> Iterator[str]:
    """The address for a target: ``real``, ``ours``, or the HOST:PORT of one that already runs."""
    if target in SERVERS:
        with SERVERS[target](settings) as address:
            yield address
    else:
        yield target


def _overrides(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("--dynamic-config-value", setting)]


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[str]:
    address = f"127.0.0.1:{port}"
    environment = {**os.environ, "TEMPORAL_DISABLE_UPDATE_CHECK": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
    )
    try:
        _wait_until_serving(process, port)
        asyncio.run(_wait_until_namespace(address))
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait_until_serving(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}") from None
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


async def _wait_until_namespace(address: str) -> None:
    """The real server listens before its default namespace can be used."""
    from temporalio.api.workflowservice.v1 import (
        DescribeNamespaceRequest,
        ListWorkflowExecutionsRequest,
    )
    from temporalio.service import RPCError

    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            client = await Client.connect(address, namespace=NAMESPACE)
            service = client.workflow_service
            await service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
            await service.list_workflow_executions(
                ListWorkflowExecutionsRequest(namespace=NAMESPACE)
            )
            return
        except (RPCError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
