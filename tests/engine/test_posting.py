"""Posting over HTTP: what is on the wire, and what is said when nobody answers."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest

from perdure.server.engine.completions import CompletionRequest
from perdure.server.engine.posting import PER_HOST_MAX, HttpPoster, PostFailed
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


@contextlib.asynccontextmanager
async def answering(told: bytes) -> AsyncIterator[str]:
    """An address where every request is told this, or nothing until it hangs up."""

    answered: list[asyncio.Task[None] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered.append(asyncio.current_task())
        await reader.readuntil(b"body")
        writer.write(told)
        if not told:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        await asyncio.gather(*filter(None, answered))


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
                "Authorization: Basic dXNlcjpzZWNyZXQ=",
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
    async with answering(b"") as url:
        assert await failure_of(post(url), 0.1) == f'Post "{url}": context deadline exceeded'


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


async def test_a_response_that_is_zipped_is_read() -> None:
    zipped = gzip.compress(b"x" * 10_000)
    told = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n"
    poster = HttpPoster()
    async with answering(told + zipped) as url:
        few = msgspec.structs.replace(post(url), response_bytes_max=9)
        response = await poster.post(few, SECONDS)
        whole = await poster.post(
            msgspec.structs.replace(post(url), response_bytes_max=20_000), SECONDS
        )
    poster.close()
    assert (response.body, whole.body) == (b"", b"x" * 10_000)


async def test_what_is_zipped_and_cannot_be_read_is_no_response() -> None:
    told = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\nplain"
    async with answering(told) as url:
        assert "incorrect header check" in await failure_of(post(url))


@pytest.mark.parametrize(
    ("user", "expected"),
    [("us%20er:se%40cret", "Basic dXMgZXI6c2VAY3JldA=="), ("user", "Basic dXNlcjo=")],
)
async def test_credentials_of_an_address_are_sent_unless_a_header_has_others(
    user: str, expected: str
) -> None:
    poster = HttpPoster()
    async with listening() as listener:
        url = f"http://{user}@127.0.0.1:{listener.port}/200/"
        await poster.post(post(url), SECONDS)
        await poster.post(post(url, Authorization="mine"), SECONDS)
    poster.close()
    heads = [[line for line in head if "Authorization" in line] for head, _ in listener.posts]
    assert heads == [[f"Authorization: {expected}"], ["Authorization: mine"]]


async def test_a_password_is_not_told() -> None:
    port = free_port()
    assert await failure_of(post(f"http://user:se:cret@127.0.0.1:{port}/x")) == (
        f'Post "http://user:***@127.0.0.1:{port}/x":'
        f" dial tcp 127.0.0.1:{port}: connect: connection refused"
    )


async def test_a_host_that_says_nothing_keeps_nobody_from_others() -> None:
    poster = HttpPoster()
    silent = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
    waiting = [
        asyncio.create_task(poster.post(post(url), SECONDS)) for _ in range(PER_HOST_MAX + 1)
    ]
    async with listening() as listener:
        response = await poster.post(post(f"{listener.base}/200/"), SECONDS)
    assert response.status == 200
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    silent.close()
    poster.close()
