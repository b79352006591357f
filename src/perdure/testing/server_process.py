"""A server in a process of its own, for the length of a test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from types import TracebackType

from perdure.service import ConnectConfig, ServiceClient

_STARTUP_TIMEOUT = timedelta(seconds=20)
_LOOK_SECONDS = 0.1
_STOP_SECONDS = 10.0


class ServerProcess:
    """A program that serves, for `async with`, which returns where it listens."""

    def __init__(
        self,
        path: str,
        ip: str,
        port: int | None,
        arguments: Callable[[int], Sequence[str]],
        startup_timeout: timedelta | None,
    ) -> None:
        """`arguments`: those of the program, by the port that it shall listen on."""
        self._path = path
        self._ip = ip
        self._port = port
        self._arguments = arguments
        self._startup_timeout = startup_timeout or _STARTUP_TIMEOUT
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> str:
        """Starts it. Raises RuntimeError when it ends, or does not answer in time."""
        port = self._port or _free_port(self._ip)
        target = f"{self._ip}:{port}"
        self._process = await asyncio.create_subprocess_exec(self._path, *self._arguments(port))
        async with AsyncExitStack() as failed:
            failed.push_async_callback(self._stop)
            try:
                async with asyncio.timeout(self._startup_timeout.total_seconds()):
                    await self._wait_until_it_answers(target)
            except TimeoutError:
                raise RuntimeError(f"{self._path} does not answer at {target}") from None
            failed.pop_all()
        return target

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops it."""
        await self._stop()

    async def _wait_until_it_answers(self, target: str) -> None:
        assert self._process is not None
        while True:
            if self._process.returncode is not None:
                raise RuntimeError(
                    f"{self._path} ended with {self._process.returncode} instead of serving"
                )
            try:
                client = await ServiceClient.connect(ConnectConfig(target_host=target))
            except RuntimeError:
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                await client.close()
                return

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _free_port(ip: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
        probe.bind((ip, 0))
        port: int = probe.getsockname()[1]
        return port
