"""A storage to try things out with: an FTP server that serves a directory, at its own pace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aioftp


@asynccontextmanager
async def ftp_server(directory: Path, *, bytes_per_second: int | None = None) -> AsyncIterator[int]:
    """The port of a server. Whoever asks may write."""
    server = aioftp.Server(
        [aioftp.User(base_path=directory)], read_speed_limit_per_connection=bytes_per_second
    )
    await server.start("127.0.0.1")
    try:
        yield server.address[1]
    finally:
        await server.close()
