"""Storage that speaks FTP: what is there, adding to it, and giving it its name."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aioftp

BLOCK_BYTES = 32 * 1024


@dataclass(frozen=True)
class Storage:
    """Where it is, and who we are there."""

    host: str
    port: int
    user: str = "anonymous"
    password: str = "anonymous@"

    async def size(self, name: str) -> int | None:
        """How many bytes of a file are there; None if there is no such file."""
        async with self._connected() as client:
            return await _size(client, name)

    async def append(
        self, name: str, source: Path, offset: int, told: Callable[[int], None]
    ) -> None:
        """Send a file from an offset on, and tell after each block how far it has come."""
        async with self._connected() as client:
            with source.open("rb") as content:
                content.seek(offset)
                async with client.upload_stream(name, offset=offset) as stream:
                    while block := content.read(BLOCK_BYTES):
                        await stream.write(block)
                        offset += len(block)
                        told(offset)

    async def sha256(self, name: str, told: Callable[[int], None]) -> str:
        """What is really there. FTP has no checksums, so it is read back."""
        digest, size = hashlib.sha256(), 0
        async with self._connected() as client, client.download_stream(name) as stream:
            async for block in stream.iter_by_block(BLOCK_BYTES):
                digest.update(block)
                size += len(block)
                told(size)
        return digest.hexdigest()

    async def rename(self, old: str, new: str) -> None:
        """Give a file its name. Done again, it changes nothing."""
        async with self._connected() as client:
            if await _size(client, old) is not None:
                if await _size(client, new) is not None:
                    await client.remove_file(new)
                await client.rename(old, new)

    async def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        async with self._connected() as client:
            if await _size(client, name) is not None:
                await client.remove_file(name)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aioftp.Client]:
        async with aioftp.Client.context(
            self.host, self.port, user=self.user, password=self.password
        ) as client:
            yield client


async def _size(client: aioftp.Client, name: str) -> int | None:
    if not await client.exists(name):
        return None
    return int((await client.stat(name))["size"])
