"""Posting over HTTP: what is on the wire, and what is said when nobody answers."""

from __future__ import annotations

import asyncio
import socket

import pytest

from perdure.server.engine.completions import CompletionRequest
from perdure.server.engine.posting import HttpPoster, PostFailed
from tests.interop.listener import listening

SECONDS = 5.0


def post(
    url: str, body: bytes = b"body", *, is_chunked: bool = False, **headers: str
) -> CompletionRequest:
    """A request."""
    return CompletionRequest(url, list(headers.items()), body, is_chunked)


async def failure_of(request: CompletionRequest, seconds: float = SECONDS) -> str:
    """What is said of a request that nobody answers."""
    poster = HttpPoster()
    try:
        with pytest.raises(PostFailed) as failed:
            await poster.post(request, seconds)
        return str(failed.value)
    finally:
        poster.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_body_of_known_length_is_sent_whole() -> None:
    poster = HttpPoster()
    async with listening() as listener:
        url = f"http://user:secret@127.0.0.1:{listener.port}/200/path?q=1"
        response = await poster.post(post(url, Custom="x"), SECONDS)
    assert (response.status, response.body) == (200, b"")
    assert listener.posts == [
        (
            [
                "POST /200/path?q=1 HTTP/1.1",
                f"Host: 127.0.0.1:{listener.port}",
                "User-Agent: temporalio/server",
                "Content-Length: 4",
                "Custom: x",
                "Accept-Encoding: gzip",
            ],
            b"body",
        )
    ]
    poster.close()


@pytest.mark.parametrize("body", [b"", b"body"])
async def test_a_body_of_unknown_length_is_sent_in_chunks(body: bytes) -> None:
    poster = HttpPoster()
    async with listening() as listener:
        request = post(f"{listener.base}/503/", body, is_chunked=True)
        response = await poster.post(request, SECONDS)
    assert (response.status, response.body) == (503, b'{"message":"nope"}')
    ((head, sent),) = listener.posts
    assert "Transfer-Encoding: chunked" in head
    assert sent == body
    poster.close()


async def test_who_does_not_listen_is_told_of_as_go_does() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/x"
    expected = f'Post "{url}": dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert await failure_of(post(url)) == expected


async def test_who_hangs_up_is_told_of_as_go_does() -> None:
    async with listening() as listener:
        url = f"{listener.base}/hangs-up"
        assert await failure_of(post(url)) == f'Post "{url}": EOF'


async def test_who_says_nothing_is_not_waited_for() -> None:
    done = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    assert await failure_of(post(url), 0.1) == f'Post "{url}": context deadline exceeded'
    done.set()
    server.close()


async def test_who_says_little_by_little_holds_no_thread() -> None:
    gone = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx")
        await reader.readuntil(b"body")
        while not reader.at_eof():
            writer.write(b"x")
            await asyncio.sleep(0.02)  # The pace is what is tested: faster than a read gives up.
        writer.transport.abort()
        gone.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    assert await failure_of(post(url), 0.1) == f'Post "{url}": context deadline exceeded'
    async with asyncio.timeout(10):
        await gone.wait()
    server.close()
    await server.wait_closed()


async def test_a_header_that_cannot_be_sent_is_not() -> None:
    async with listening() as listener:
        request = post(f"{listener.base}/200/", Bad="line\r\nbreak")
        assert "Invalid header value" in await failure_of(request)
        assert not listener.posts


async def test_a_host_that_does_not_exist_is_told_of() -> None:
    assert "no such host" in await failure_of(post("http://nowhere.invalid/"))
