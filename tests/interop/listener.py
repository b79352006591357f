"""An HTTP server that keeps what is posted to it, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNKED = "transfer-encoding: chunked"


class Listener:
    """Answers with the status that a path begins with: `/503/any` with 503."""

    def __init__(self) -> None:
        self.posts: list[tuple[list[str], bytes]] = []
        """The lines of each head, and each body."""
        self.port = 0
        self._news = asyncio.Event()

    @property
    def base(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def hears(self, count: int) -> None:
        """Returns when so many posts have come."""
        while len(self.posts) < count:
            self._news.clear()
            await self._news.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one post."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        lowered = [line.lower() for line in head]
        body = b""
        if CHUNKED in lowered:
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            length = next(line for line in lowered if line.startswith("content-length: "))
            body = await reader.readexactly(int(length.partition(": ")[2]))
        self.posts.append((head, body))
        self._news.set()
        status = head[0].split(" ")[1].split("/")[1]
        if status.isdigit():
            told = b'{"message":"nope"}' if status >= "300" else b""
            writer.write(
                f"HTTP/1.1 {status} \r\nConnection: close\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(told)}\r\n\r\n".encode()
                + told
            )
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    """A listener on a free port."""
    listener = Listener()
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    async with server:
        listener.port = server.sockets[0].getsockname()[1]
        yield listener
