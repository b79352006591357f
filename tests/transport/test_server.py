"""The server of our own, as a client of the grpcio package sees it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import msgspec
import pytest
import pytest_asyncio
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from perdure.transport import Caller, CallFailed, Code, Handler
from perdure.transport.grpc_client import GrpcTransport
from perdure.transport.grpc_session import GrpcSessionTransport
from perdure.transport.http2 import BindFailed, Http2Server, calls, frames
from perdure.transport.http2 import server as serving
from perdure.transport.http2.frames import FrameType, Setting
from perdure.transport.http2.grpc_framing import framed
from perdure.transport.port import REQUEST_BYTES_MAX
from perdure.transport.session import METHOD as SESSION
from tests.transport.peer import GREETING, REQUEST, Peer, data, parse

METHOD = "/a.Service/"
PARKED_POLLS = 10_000
CONNECTIONS = 100
SOON_SECONDS = 20.0


class Service:
    """Handlers that show what they were given."""

    def __init__(self) -> None:
        self.parked = 0
        self.cancelled = 0
        self._changed = asyncio.Event()
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.closed_sessions = asyncio.Event()

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
        """A refusal with details, in words that must be encoded."""
        raise CallFailed(Code.FAILED_PRECONDITION, "not now: 50%\nünlikely", b"\0details")

    async def large(self, request: bytes, caller: Caller) -> bytes:
        """As many bytes as the request says."""
        return bytes(int(request))

    async def park(self, request: bytes, caller: Caller) -> bytes:
        """Wait for the answer, or until the caller goes away."""
        try:
            self._count(parked=1)
            return await asyncio.shield(self.answer)
        except asyncio.CancelledError:
            self._count(cancelled=1)
            raise

    def _count(self, *, parked: int = 0, cancelled: int = 0) -> None:
        self.parked += parked
        self.cancelled += cancelled
        self._changed.set()

    async def until(self, *, parked: int = 0, cancelled: int = 0) -> None:
        """Wait until so many calls were parked, and so many cancelled."""
        async with asyncio.timeout(SOON_SECONDS):
            while self.parked < parked or self.cancelled < cancelled:
                self._changed.clear()
                await self._changed.wait()

    async def close(self) -> None:
        """The peer of a session is gone."""
        self.closed_sessions.set()

    def handlers(self) -> dict[str, Handler]:
        """The table."""
        names = ("echo", "header", "deadline", "refuse", "large", "park")
        return {METHOD + name: getattr(self, name) for name in names}


@pytest_asyncio.fixture
async def service() -> Service:
    """The handlers."""
    return Service()


@pytest_asyncio.fixture
async def server(service: Service) -> AsyncIterator[Http2Server]:
    """A server that listens on a free port."""
    listening = Http2Server(
        service.handlers(), host="127.0.0.1", port=0, open_state=lambda: service
    )
    await listening.start()
    yield listening
    await listening.stop(0)


@pytest_asyncio.fixture
async def transport(server: Http2Server) -> AsyncIterator[GrpcTransport]:
    """A client of it."""
    client = GrpcTransport(f"127.0.0.1:{server.port}")
    yield client
    await client.close()


async def test_bytes_arrive_as_they_were_sent(transport: GrpcTransport) -> None:
    request = bytes(range(256)) * 1000
    assert await transport.call(METHOD + "echo", request) == request
    assert await transport.call(METHOD + "echo", b"") == b""


async def test_a_handler_reads_headers(transport: GrpcTransport) -> None:
    headers = {"client-name": "somebody"}
    for _ in range(3):
        assert await transport.call(METHOD + "header", b"client-name", headers) == b"somebody"
    assert await transport.call(METHOD + "header", b"other", headers) == b""


async def test_a_binary_header_is_read_as_it_travelled(transport: GrpcTransport) -> None:
    call: Any = transport.channel.unary_unary(METHOD + "header", None, None)
    assert await call(b"key-bin", metadata=(("key-bin", b"\0\1\2"),)) == b"AAEC"


async def test_a_handler_knows_how_long_its_caller_waits(transport: GrpcTransport) -> None:
    limited = await transport.call(METHOD + "deadline", b"", None, 30.0)
    assert 20.0 < float(limited) < 31.0
    assert await transport.call(METHOD + "deadline", b"") == b"for ever"


async def test_a_refusal_keeps_code_words_and_details(transport: GrpcTransport) -> None:
    with pytest.raises(CallFailed) as caught:
        await transport.call(METHOD + "refuse", b"")
    failure = caught.value
    assert (failure.code, failure.message, failure.details) == (
        Code.FAILED_PRECONDITION,
        "not now: 50%\nünlikely",
        b"\0details",
    )


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("/a.Service/Nope", "unknown method Nope for service a.Service"),
        ("/b.Other/Nope", "unknown service b.Other"),
        ("/grpc.health.v1.Health/Nope", "unknown method Nope for service grpc.health.v1.Health"),
    ],
)
async def test_an_unknown_method_is_unimplemented(
    transport: GrpcTransport, method: str, text: str
) -> None:
    with pytest.raises(CallFailed) as caught:
        await transport.call(method, b"")
    assert (caught.value.code, caught.value.message) == (Code.UNIMPLEMENTED, text)


async def test_a_request_beyond_four_mebibytes_is_refused_in_words_that_sdks_know(
    transport: GrpcTransport,
) -> None:
    fitting = bytes(REQUEST_BYTES_MAX)
    assert len(await transport.call(METHOD + "echo", fitting)) == REQUEST_BYTES_MAX
    with pytest.raises(CallFailed) as caught:
        await transport.call(METHOD + "echo", fitting + b"x")
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert caught.value.message == "grpc: received message larger than max (4194305 vs. 4194304)"
    assert await transport.call(METHOD + "echo", b"still") == b"still"


async def test_many_large_requests_at_once_get_through(transport: GrpcTransport) -> None:
    sizes = [REQUEST_BYTES_MAX - number for number in range(20)]
    answers = await asyncio.gather(*(transport.call(METHOD + "echo", bytes(s)) for s in sizes))
    assert [len(answer) for answer in answers] == sizes


async def test_a_large_answer_gets_through(transport: GrpcTransport) -> None:
    answer = await transport.call(METHOD + "large", b"60000000")
    assert len(answer) == 60_000_000


async def test_a_request_in_gzip_is_read(transport: GrpcTransport) -> None:
    call: Any = transport.channel.unary_unary(METHOD + "echo", None, None)
    request = b"text" * 10_000
    assert await call(request, compression=grpc.Compression.Gzip) == request


async def test_a_caller_that_goes_away_cancels_its_handler(
    transport: GrpcTransport, service: Service
) -> None:
    call = asyncio.create_task(transport.call(METHOD + "park", b""))
    await service.until(parked=1)
    call.cancel()
    await service.until(cancelled=1)
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_connection_that_is_lost_cancels_its_handlers(
    server: Http2Server, service: Service
) -> None:
    client = GrpcTransport(f"127.0.0.1:{server.port}")
    calls = [asyncio.create_task(client.call(METHOD + "park", b"")) for _ in range(3)]
    await service.until(parked=3)
    await client.close()
    await service.until(cancelled=3)
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_call_beyond_its_deadline_is_cancelled(
    transport: GrpcTransport, service: Service
) -> None:
    with pytest.raises(CallFailed) as caught:
        await transport.call(METHOD + "park", b"", None, 0.05)
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    await service.until(cancelled=1)


async def test_ten_thousand_polls_arrive_in_one_burst_and_are_all_answered(
    transport: GrpcTransport, service: Service
) -> None:
    polls = [
        asyncio.create_task(transport.call(METHOD + "park", b"", None, 70.0))
        for _ in range(PARKED_POLLS)
    ]
    await service.until(parked=PARKED_POLLS)
    assert await transport.call(METHOD + "echo", b"x") == b"x"
    service.answer.set_result(b"task")
    assert await asyncio.gather(*polls) == [b"task"] * PARKED_POLLS


async def test_a_hundred_connections_are_served(server: Http2Server) -> None:
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [
        aio.insecure_channel(f"127.0.0.1:{server.port}", options) for _ in range(CONNECTIONS)
    ]
    calls: list[Any] = [channel.unary_unary(METHOD + "echo", None, None) for channel in channels]
    for _ in range(3):
        assert await asyncio.gather(*(call(b"x") for call in calls)) == [b"x"] * CONNECTIONS
    await asyncio.gather(*(channel.close(None) for channel in channels))


async def test_an_old_connection_ends_without_losing_a_call(
    server: Http2Server, service: Service
) -> None:
    async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        park: Any = channel.unary_unary(METHOD + "park", None, None)
        echo: Any = channel.unary_unary(METHOD + "echo", None, None)
        poll = asyncio.ensure_future(_awaited(park(b"")))
        await service.until(parked=1)
        (old,) = server.links
        server.tick(asyncio.get_running_loop().time() + 340.0)
        while server.links == {old}:
            assert await echo(b"x") == b"x"
        service.answer.set_result(b"task")
        assert await poll == b"task"


async def _awaited(call: Any) -> Any:
    return await call


async def test_a_server_that_stops_answers_what_it_can(
    transport: GrpcTransport, server: Http2Server, service: Service
) -> None:
    poll = asyncio.create_task(transport.call(METHOD + "park", b""))
    await service.until(parked=1)
    stopping = asyncio.create_task(server.stop(SOON_SECONDS))
    service.answer.set_result(b"task")
    assert await poll == b"task"
    await stopping
    with pytest.raises(CallFailed) as caught:
        await transport.call(METHOD + "echo", b"x")
    assert caught.value.code is Code.UNAVAILABLE


async def test_a_server_that_stops_cancels_what_does_not_end(
    transport: GrpcTransport, server: Http2Server, service: Service
) -> None:
    poll = asyncio.create_task(transport.call(METHOD + "park", b""))
    await service.until(parked=1)
    await server.stop(0)
    await service.until(cancelled=1)
    with pytest.raises(CallFailed) as caught:
        await poll
    assert caught.value.code is Code.UNAVAILABLE


async def test_a_session_carries_calls_and_ends_with_its_stream(
    transport: GrpcTransport, service: Service
) -> None:
    session = GrpcSessionTransport(transport)
    calls = [session.call(METHOD + "echo", b"%d" % number) for number in range(100)]
    assert await asyncio.gather(*calls) == [b"%d" % number for number in range(100)]
    assert session.has_session
    await session.close()
    async with asyncio.timeout(SOON_SECONDS):
        await service.closed_sessions.wait()


async def test_calls_of_one_turn_may_be_larger_together_than_any_may_be(
    transport: GrpcTransport, service: Service
) -> None:
    session = GrpcSessionTransport(transport)
    requests = [bytes([number]) * REQUEST_BYTES_MAX for number in range(3)]
    requests += [bytes([number]) * 300_000 for number in range(9)]
    calls = [session.call(METHOD + "echo", request) for request in requests]
    assert await asyncio.gather(*calls) == requests
    await session.close()


async def test_a_call_that_is_too_large_is_refused_and_its_session_goes_on(
    transport: GrpcTransport, service: Service
) -> None:
    session = GrpcSessionTransport(transport)
    waiting = asyncio.create_task(session.call(METHOD + "park", b""))
    await service.until(parked=1)
    with pytest.raises(CallFailed, match="larger than max") as caught:
        await session.call(METHOD + "echo", bytes(REQUEST_BYTES_MAX + 1))
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert await session.call(METHOD + "echo", b"on") == b"on"
    assert not waiting.done()
    await session.close()
    with pytest.raises(CallFailed, match="session"):
        await waiting


@pytest.mark.parametrize("greeting", [b"nonsense", None], ids=["nonsense", "nothing"])
async def test_a_service_that_greets_otherwise_is_not_there(greeting: bytes | None) -> None:
    async def greet(requests: Any, context: Any) -> AsyncIterator[bytes]:
        if greeting is not None:
            yield greeting

    server = aio.server()
    service, _, name = SESSION.removeprefix("/").rpartition("/")
    handler = grpc.method_handlers_generic_handler(
        service, {name: grpc.stream_stream_rpc_method_handler(greet)}
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    session = GrpcSessionTransport(GrpcTransport(f"127.0.0.1:{port}"))
    for _ in range(2):
        with pytest.raises(CallFailed, match="the service has no session") as caught:
            await session.call(METHOD + "echo", b"")
        assert caught.value.code is Code.UNAVAILABLE
    assert not session.has_session
    await session.close()
    await server.stop(0)


async def test_what_is_no_session_is_refused(transport: GrpcTransport, service: Service) -> None:
    open_session: Any = transport.channel.stream_stream(SESSION, None, None)
    stream = open_session()
    assert msgspec.msgpack.decode(await stream.read()) == [[4]]
    await stream.write(b"nonsense")
    with pytest.raises(aio.AioRpcError, match="not a session") as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    await service.closed_sessions.wait()


async def test_the_health_of_each_service_and_of_the_whole_is_told(
    transport: GrpcTransport,
) -> None:
    stub = health_pb2_grpc.HealthStub(transport.channel)
    for name in ("", "a.Service"):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="b.Other"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_of_the_health_is_told_when_the_server_stops(
    transport: GrpcTransport, server: Http2Server
) -> None:
    stub: Any = health_pb2_grpc.HealthStub(transport.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="a.Service"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    stopping = asyncio.create_task(server.stop(SOON_SECONDS))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watch.cancel()
    await stopping


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_describes_the_services(transport: GrpcTransport, version: str) -> None:
    reflect: Any = transport.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = reflection_pb2.ServerReflectionRequest
    stream = reflect(
        iter(
            [
                asked(list_services="*"),
                asked(file_containing_symbol="grpc.health.v1.Health"),
                asked(file_by_filename="no/such.proto"),
                asked(),
            ]
        )
    )
    answers = [answer async for answer in stream]
    names = {found.name for found in answers[0].list_services_response.service}
    assert {"a.Service", "grpc.health.v1.Health"} <= names
    assert f"grpc.reflection.{version}.ServerReflection" in names
    assert answers[1].file_descriptor_response.file_descriptor_proto
    assert answers[2].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert answers[3].error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_a_port_that_is_taken_is_refused(server: Http2Server, service: Service) -> None:
    second = Http2Server(service.handlers(), host="127.0.0.1", port=server.port)
    with pytest.raises(BindFailed, match=f"cannot listen on 127.0.0.1:{server.port}"):
        await second.start()


async def test_a_browser_gets_an_answer_that_it_understands(server: Http2Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"This port speaks gRPC over HTTP/2 only")
    writer.close()
    await writer.wait_closed()


async def test_a_peer_that_reads_nothing_is_read_no_more(
    server: Http2Server, transport: GrpcTransport
) -> None:
    peer = Peer()
    fields = tuple((n, METHOD + "large" if n == ":path" else value) for n, value in REQUEST)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
    writer.write(frames.PREFACE + frames.settings([(Setting.INITIAL_WINDOW_SIZE, 2**31 - 1)]))
    writer.write(frames.window_update(0, 2**30))
    writer.write(peer.request(1, fields) + data(1, framed(b"100000000"), ends=True))
    async with asyncio.timeout(SOON_SECONDS):
        while not any(link.is_paused for link in server.links):
            await transport.call(METHOD + "echo", b"x")
    assert await transport.call(METHOD + "echo", b"x") == b"x"
    # When it reads on, the rest comes.
    received = 0
    while received < 100_000_000:
        received += len(await reader.read(1_000_000))
    assert not any(link.is_paused for link in server.links)
    writer.close()
    await writer.wait_closed()


async def test_a_peer_that_leaves_too_much_waiting_is_dropped(
    server: Http2Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "QUEUED_BYTES_MAX", 1_000_000)
    peer = Peer()
    fields = tuple((n, METHOD + "large" if n == ":path" else value) for n, value in REQUEST)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(GREETING + peer.request(1, fields) + data(1, framed(b"2000000"), ends=True))
    async with asyncio.timeout(SOON_SECONDS):
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while part := await reader.read(100_000):
                received += len(part)
    assert received < 1_000_000
    assert not server.links
    writer.close()


async def test_a_peer_that_leaves_too_much_unfinished_is_refused(
    server: Http2Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "HELD_BYTES_MAX", 100_000)
    peer = Peer()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = framed(bytes(1_000_000))
    writer.write(GREETING)
    for stream_id in range(1, 21, 2):
        writer.write(peer.request(stream_id) + data(stream_id, body[:11_000]))
    answer = b""
    async with asyncio.timeout(SOON_SECONDS):
        while b"too many requests are not complete" not in answer:
            part = await reader.read(1000)
            assert part
            answer += part
    refused = {frame.stream_id for frame in parse(answer) if frame.kind == FrameType.HEADERS}
    assert refused == {19}
    writer.close()
    await writer.wait_closed()
