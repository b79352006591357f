"""The API by hand over one gRPC channel, and how an SDK insists when the server is away."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
AWAY = frozenset((grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED))
"""The server could not be reached, or could not write; what it has done of the request is
unknown."""
CUT_OFF = "Stream removed"
"""What gRPC reports as UNKNOWN when a connection breaks at a certain moment."""
PAUSE_SECONDS = 0.03
READER = (("client-name", "temporal-cli"),)
"""A reader that is shown only what is recorded."""

Response = TypeVar("Response", bound=Message)


class Refused(Exception):
    """The server answered, and said no."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code


class ServerAway(Exception):
    """The server did not answer, or was not able to."""


class Connection:
    """A channel that connects again as soon as it can."""

    def __init__(self, port: int, timeout_seconds: float = 10.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{port}",
            options=(
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 100),
                ("grpc.enable_retries", 0),
                ("grpc.use_local_subchannel_pool", 1),
            ),
        )
        self._methods: dict[str, Any] = {}
        self.away: Counter[grpc.StatusCode] = Counter()
        """How often it was away, by what was reported."""

    @property
    def times_away(self) -> int:
        """How many calls have found the server away."""
        return self.away.total()

    async def call(
        self,
        request: Message,
        response: type[Response],
        *,
        timeout_seconds: float = 0.0,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """One try. Raises Refused or ServerAway."""
        name = type(request).__name__.removesuffix("Request")
        method = self._methods.get(name)
        if method is None:
            method = self._methods[name] = self._channel.unary_unary(SERVICE + name, None, None)
        try:
            answer: bytes = await method(
                request.SerializeToString(),
                timeout=timeout_seconds or self._timeout_seconds,
                metadata=metadata,
            )
        except grpc.aio.AioRpcError as error:
            code, details = error.code(), error.details() or ""
            if code in AWAY or (code is grpc.StatusCode.UNKNOWN and CUT_OFF in details):
                self.away[code] += 1
                raise ServerAway(f"{code.name}: {details}") from None
            raise Refused(code, details) from None
        return response.FromString(answer)

    async def insist(
        self,
        request: Message,
        response: type[Response],
        *,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """The same request until the server has answered it. Raises Refused."""
        while True:
            try:
                return await self.call(request, response, metadata=metadata)
            except ServerAway:
                await asyncio.sleep(PAUSE_SECONDS)

    async def close(self) -> None:
        """Break it."""
        await self._channel.close(None)
