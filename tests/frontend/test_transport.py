"""The transport port: what both adapters do alike, and what only gRPC has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import grpc
import pytest
import pytest_asyncio
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from perdure.transport import (
    Caller,
    CallFailed,
    Code,
    Handler,
    InProcessTransport,
    Transport,
)
from perdure.transport.grpc_server import DETAILS_HEADER, GrpcServer
from perdure.transport.listening import BindFailed
from perdure.transport.port import REQUEST_BYTES_MAX

METHOD = "/a.Service/"
BURST = 4000
"""More than the core would let wait by itself."""


class Service:
    """Handlers that show what they were given."""

    def __init__(self) -> None:
        self.parked = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def echo(self, request: bytes, caller: Caller) -> bytes:
        """The request, back."""
        return request

    async def header(self, request: bytes, caller: Caller) -> bytes:
        """The value of the header that the request names."""
        return caller.header(request.decode()).encode()

    async def deadline(self, request: bytes, caller: Caller) -> bytes:
        """How long the caller waits."""
        remaining = caller.time_remaining()
        return b"for ever" if remaining is None else str(remaining).encode()

    async def refuse(self, request: bytes, caller: Caller) -> bytes:
        """A refusal with details."""
        raise CallFailed(Code.FAILED_PRECONDITION, "not now", b"details")

    async def park(self, request: bytes, caller: Caller) -> bytes:
        """Wait until the caller goes away."""
        self.parked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return b""

    def handlers(self) -> dict[str, Handler]:
        """The table."""
        names = ("echo", "header", "deadline", "refuse", "park")
        return {METHOD + name: getattr(self, name) for name in names}


class GrpcTransport:
    """The port over a gRPC channel."""

    def __init__(self, channel: aio.Channel) -> None:
        self.channel = channel

    async def call(
        self,
        method: str,
        request: bytes,
        metadata: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> bytes:
        """One call."""
        unary = self.channel.unary_unary(
            method, request_serializer=bytes, response_deserializer=bytes
        )
        headers = tuple((metadata or {}).items())
        try:
            response: bytes = await unary(request, timeout=timeout_seconds, metadata=headers)
        except aio.AioRpcError as error:
            # The stubs call its pairs something that cannot be unpacked.
            trailing: dict[str, object] = dict(cast(Any, error.trailing_metadata()))
            details = trailing.get(DETAILS_HEADER, b"")
            assert isinstance(details, bytes)
            code = Code(error.code().value[0])
            raise CallFailed(code, error.details() or "", details) from error
        return response


@pytest_asyncio.fixture
async def service() -> Service:
    """The handlers."""
    return Service()


@pytest_asyncio.fixture
async def channel(service: Service) -> AsyncIterator[aio.Channel]:
    """A connection to them over gRPC."""
    server = GrpcServer(service.handlers(), host="127.0.0.1", port=0)
    port = await server.start()
    unlimited = (("grpc.max_send_message_length", -1),)
    async with aio.insecure_channel(f"127.0.0.1:{port}", options=unlimited) as opened:
        yield opened
    await server.stop(0)


@pytest_asyncio.fixture(params=["grpc", "in process"])
async def transport(
    request: pytest.FixtureRequest, service: Service, channel: aio.Channel
) -> Transport:
    """Both ways to the handlers."""
    if request.param == "grpc":
        return GrpcTransport(channel)
    return InProcessTransport(service.handlers())


async def test_bytes_arrive_as_they_were_sent(transport: Transport) -> None:
    request = bytes(range(256)) * 1000
    assert await transport.call(METHOD + "echo", request) == request


async def test_a_handler_reads_headers(transport: Transport) -> None:
    headers = {"client-name": "somebody"}
    assert await transport.call(METHOD + "header", b"client-name", headers) == b"somebody"
    assert await transport.call(METHOD + "header", b"other", headers) == b""


async def test_a_handler_knows_how_long_its_caller_waits(transport: Transport) -> None:
    limited = await transport.call(METHOD + "deadline", b"", None, 30.0)
    # gRPC rounds what is left up when it sends it.
    assert 20.0 < float(limited) < 31.0
    assert await transport.call(METHOD + "deadline", b"") == b"for ever"


async def test_a_refusal_keeps_code_words_and_details(transport: Transport) -> None:
    with pytest.raises(CallFailed) as caught:
        await transport.call(METHOD + "refuse", b"")
    failure = caught.value
    assert (failure.code, failure.message) == (Code.FAILED_PRECONDITION, "not now")
    assert failure.details == b"details"


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("/a.Service/Nope", "unknown method Nope for service a.Service"),
        ("/b.Other/Nope", "unknown service b.Other"),
    ],
)
async def test_an_unknown_method_is_unimplemented(
    transport: Transport, method: str, text: str
) -> None:
    with pytest.raises(CallFailed) as caught:
        await transport.call(method, b"")
    assert (caught.value.code, caught.value.message) == (Code.UNIMPLEMENTED, text)


async def test_a_request_beyond_four_mebibytes_is_refused_in_words_that_sdks_know(
    transport: Transport,
) -> None:
    fitting = bytes(REQUEST_BYTES_MAX)
    assert len(await transport.call(METHOD + "echo", fitting)) == REQUEST_BYTES_MAX
    with pytest.raises(CallFailed) as caught:
        await transport.call(METHOD + "echo", fitting + b"x")
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert caught.value.message == ("grpc: received message larger than max (4194305 vs. 4194304)")


async def test_a_caller_that_goes_away_cancels_its_handler(
    transport: Transport, service: Service
) -> None:
    call = asyncio.create_task(transport.call(METHOD + "park", b""))
    await service.parked.wait()
    call.cancel()
    await service.cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_call_beyond_its_deadline_is_cancelled(
    transport: Transport, service: Service
) -> None:
    with pytest.raises(CallFailed) as caught:
        await transport.call(METHOD + "park", b"", None, 0.05)
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    await service.cancelled.wait()


async def test_a_burst_of_calls_gets_through_whole(channel: aio.Channel) -> None:
    transport = GrpcTransport(channel)
    burst = [transport.call(METHOD + "echo", b"x") for _ in range(BURST)]
    assert await asyncio.gather(*burst) == [b"x"] * BURST


async def test_the_health_of_each_service_and_of_the_whole_is_told(channel: aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "a.Service"):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="b.Other"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_the_services(channel: aio.Channel, version: str) -> None:
    reflect = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = reflection_pb2.ServerReflectionRequest(list_services="*")
    response = await reflect(iter([asked])).read()
    assert isinstance(response, reflection_pb2.ServerReflectionResponse)
    names = {found.name for found in response.list_services_response.service}
    assert {
        "a.Service",
        "grpc.health.v1.Health",
        f"grpc.reflection.{version}.ServerReflection",
    } <= (names)


async def test_a_port_that_is_taken_is_refused(service: Service) -> None:
    first = GrpcServer(service.handlers(), host="127.0.0.1", port=0)
    port = await first.start()
    second = GrpcServer(service.handlers(), host="127.0.0.1", port=port)
    with pytest.raises(BindFailed, match=f"cannot listen on 127.0.0.1:{port}"):
        await second.start()
    await first.stop(0)
