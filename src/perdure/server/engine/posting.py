"""POST requests over HTTP/1.1, each in a thread: few are made, and none may wait for another."""

from __future__ import annotations

import asyncio
import socket
import zlib
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from weakref import WeakValueDictionary

import msgspec

from perdure.server.engine.completions import CompletionRequest

if TYPE_CHECKING:
    from http.client import HTTPConnection

THREADS_MAX = 256
PER_HOST_MAX = 64
"""A host that does not answer holds no more threads, so that others are still heard."""
GZIP_BITS = 31
"""zlib's word for gzip."""


class PostFailed(Exception):
    """There was no response."""


class PostResponse(msgspec.Struct, frozen=True):
    """What was answered, as far as anybody looks at it."""

    status: int
    reason: str
    body: bytes
    headers: dict[str, str] = {}
    """Names in lower case."""


class HttpPoster:
    """Makes requests, a few at a time."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="perdure-post")
        self._exchanges: set[_Exchange] = set()
        self._rooms: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """By host: whoever waits or exchanges holds its room."""

    async def post(self, request: CompletionRequest, timeout_seconds: float) -> PostResponse:
        """Send a request and read its response, all in this time. Raises PostFailed."""
        from http.client import HTTPException  # Few programs ever need it, and it takes its time.

        try:
            exchange = _Exchange(request, timeout_seconds)
        except ValueError as error:
            raise PostFailed(f'Post "{_shown(request.url)}": {error}') from error
        room = self._rooms.setdefault(urlsplit(request.url).netloc, asyncio.Semaphore(PER_HOST_MAX))
        self._exchanges.add(exchange)
        try:
            async with asyncio.timeout(timeout_seconds), room:
                return await asyncio.get_running_loop().run_in_executor(self._threads, exchange.run)
        except TimeoutError as error:
            raise PostFailed(f'Post "{_shown(request.url)}": context deadline exceeded') from error
        except (OSError, HTTPException, ValueError, zlib.error) as error:
            raise PostFailed(
                f'Post "{_shown(request.url)}": {_words(exchange.connection, error)}'
            ) from error
        finally:
            self._exchanges.discard(exchange)
            exchange.cut_off()

    def close(self) -> None:
        """Give up what is under way."""
        for exchange in list(self._exchanges):
            exchange.cut_off()
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Exchange:
    """A request and its response, in a thread."""

    def __init__(self, request: CompletionRequest, timeout_seconds: float) -> None:
        self.connection = _connection(request.url, timeout_seconds)
        self._request = request
        self._socket: socket.socket | None = None
        """The connection itself forgets it as soon as a response says that it is the last one, and
        reads on."""
        self._is_cut_off = False

    def run(self) -> PostResponse:
        """Send and read. Raises OSError, HTTPException, ValueError, zlib.error."""
        try:
            _put_head(self.connection, self._request)
            self.connection.connect()
            self._socket = self.connection.sock
            if self._is_cut_off:
                raise ConnectionAbortedError  # Nobody waits any more: nothing needs to be sent.
            _send(self.connection, self._request)
            return self._response()
        finally:
            self.connection.close()

    def cut_off(self) -> None:
        """A thread that reads or writes is woken up by that."""
        self._is_cut_off = True
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # It was over already.

    def _response(self) -> PostResponse:
        headers: dict[str, str] = {}
        bytes_max = self._request.response_bytes_max
        with self.connection.getresponse() as response:
            for name, value in response.getheaders():
                lowered = name.lower()
                headers[lowered] = f"{headers[lowered]}, {value}" if lowered in headers else value
            body = response.read(bytes_max)
        if headers.get("content-encoding", "").lower() == "gzip":
            body = _unzipped(body, bytes_max)
        return PostResponse(response.status, response.reason, body, headers)


def _connection(url: str, timeout_seconds: float) -> HTTPConnection:
    import ssl
    from http.client import HTTPConnection, HTTPSConnection

    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return HTTPSConnection(host, parts.port or 443, timeout=timeout_seconds, context=context)
    return HTTPConnection(host, parts.port or 80, timeout=timeout_seconds)


def _put_head(connection: HTTPConnection, request: CompletionRequest) -> None:
    parts = urlsplit(request.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    named = {name.lower() for name, _ in request.headers}
    connection.putrequest("POST", target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", parts.netloc.rpartition("@")[2])
    connection.putheader("User-Agent", "temporalio/server")
    if request.is_chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    else:
        connection.putheader("Content-Length", str(len(request.body)))
    for name, value in request.headers:
        connection.putheader(name, value)
    if parts.username is not None and "authorization" not in named:
        credentials = unquote(f"{parts.username}:{parts.password or ''}").encode()
        connection.putheader("Authorization", f"Basic {b64encode(credentials).decode()}")
    connection.putheader("Accept-Encoding", "gzip")


def _send(connection: HTTPConnection, request: CompletionRequest) -> None:
    if request.is_chunked:
        connection.endheaders(_chunks(request.body), encode_chunked=True)
    else:
        connection.endheaders(request.body)


def _chunks(body: bytes) -> Iterator[bytes]:
    if body:
        yield body


def _unzipped(body: bytes, bytes_max: int) -> bytes:
    """What a body says, as much of it as is wanted. Raises zlib.error."""
    return zlib.decompressobj(GZIP_BITS).decompress(body, bytes_max)


def _shown(url: str) -> str:
    """A URL as it may be told: without its password."""
    user, at, host = urlsplit(url).netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return url.replace(f"{user}{at}{host}", f"{name}:***@{host}", 1) if colon else url


def _words(connection: HTTPConnection, error: Exception) -> str:
    """What went wrong, as Go says it where it is common."""
    match error:
        case ConnectionRefusedError():
            host = f"[{connection.host}]" if ":" in connection.host else connection.host
            return f"dial tcp {host}:{connection.port}: connect: connection refused"
        case socket.gaierror():
            return f"dial tcp: lookup {connection.host}: no such host"
        case ConnectionResetError() if type(error) is not ConnectionResetError:  # No response came.
            return "EOF"
        case _:
            return str(error) or type(error).__name__
