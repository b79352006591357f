"""Kill an upload in the middle, and see it go on: `python -m examples.file_upload`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

from examples.file_upload.ftp_server import ftp_server

FILE_BYTES = 4 * 1024 * 1024
BYTES_PER_SECOND = 4 * 1024 * 1024
"""Slow enough that one can be in the middle of it."""
PATIENCE_SECONDS = 60.0


async def main(directory: Path, *, tell: Callable[[str], None] = print) -> None:
    """Upload a file by a process that is killed, and by another one."""
    stored, path = directory / "storage", directory / "film.bin"
    stored.mkdir()
    path.write_bytes(os.urandom(FILE_BYTES))
    async with ftp_server(stored, bytes_per_second=BYTES_PER_SECOND) as port:
        first = await _start(directory, port, path)
        try:
            await _until_a_part_is_there(stored, first)
        finally:
            first.kill()
        await first.wait()
        tell(f"the first process was killed after {_stored(stored) * 100 // FILE_BYTES}%")
        second = await _start(directory, port, path)
        async with asyncio.timeout(PATIENCE_SECONDS):
            said, _ = await second.communicate()
    tell(said.decode().strip())
    tell(f"the temporary file is {'still there' if path.exists() else 'deleted'}")


async def _start(directory: Path, port: int, path: Path) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "examples.file_upload.uploading"),
        *(str(directory / "uploads.db"), f"127.0.0.1:{port}", str(path)),
        stdout=PIPE,
    )


async def _until_a_part_is_there(stored: Path, process: Process) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while _stored(stored) < FILE_BYTES // 4:
            assert process.returncode is None, "the process ended too early"
            await asyncio.sleep(0.01)


def _stored(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())


if __name__ == "__main__":
    # That a client is gone is part of what is shown.
    logging.getLogger("aioftp").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(Path(temporary)))
