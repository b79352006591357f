"""The port: a method's full name and a serialised request become a serialised response, or
`CallFailed`.

A service is a table of handlers by full method name (`/package.Service/Method`). What carries the
bytes (gRPC, or a call within the process) is an adapter; both ends are the same whichever it is, so
a refusal that depends on the request alone (an unknown method, a request that is too large) is made
here.

A handler runs in the task of its call: when the caller goes away or its deadline passes, that task
is cancelled, so a handler that waits is told by `CancelledError` and must take back whatever it
left waiting elsewhere.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

REQUEST_BYTES_MAX = 4 * 1024 * 1024
"""Larger requests are refused, as on the real server; SDKs know this limit and the text of its
refusal."""
STREAM_MESSAGE_BYTES_MAX = REQUEST_BYTES_MAX + 64 * 1024
"""Of a message of a session: it may be a request as large as can be, with its headers."""

RESPONSE_BYTES_MAX = 128 * 1024 * 1024
"""Histories are paged by events, so one page may be large."""


class Code(enum.IntEnum):
    """gRPC's status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class CallFailed(Exception):
    """A call ended with a status other than OK. `details` is a serialised google.rpc.Status, or
    empty."""

    def __init__(self, code: Code, message: str, details: bytes = b"") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


class Caller(Protocol):
    """What a handler may know of the other end."""

    session: object | None
    """What the service keeps for the caller's session; None when it has none."""

    @property
    def in_process(self) -> bool:
        """Whether the caller is on the service's own loop, and so ends with it."""
        ...

    def time_remaining(self) -> float | None:
        """Seconds until the caller gives up; None when it waits for ever."""
        ...

    def header(self, name: str) -> str:
        """The value of a header (its name in lower case), "" when it was not sent."""
        ...


Handler = Callable[[bytes, Caller], Awaitable[bytes]]


class Transport(Protocol):
    """A client's way to the service."""

    async def call(
        self,
        method: str,
        request: bytes,
        metadata: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> bytes:
        """The serialised response of `/package.Service/Method`. Raises CallFailed."""
        ...


def unknown_method(method: str, services: frozenset[str]) -> CallFailed:
    """The refusal of a method that no handler serves."""
    service, _, name = method.removeprefix("/").rpartition("/")
    if service in services:
        return CallFailed(Code.UNIMPLEMENTED, f"unknown method {name} for service {service}")
    return CallFailed(Code.UNIMPLEMENTED, f"unknown service {service}")


def too_large(size: int) -> CallFailed:
    """The refusal of a request beyond `REQUEST_BYTES_MAX`. SDKs recognise these words: they shrink
    what they sent."""
    return CallFailed(
        Code.RESOURCE_EXHAUSTED,
        f"grpc: received message larger than max ({size} vs. {REQUEST_BYTES_MAX})",
    )


def services_of(handlers: Mapping[str, Handler]) -> frozenset[str]:
    """The full names of the services that the handlers belong to."""
    return frozenset(method.removeprefix("/").rpartition("/")[0] for method in handlers)
