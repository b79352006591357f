"""The port over gRPC: one generic handler that hands bytes to a table of handlers, plus health and
reflection.

The hot path is short on purpose: grpc.aio makes one task per call, we add none; there is no
interceptor, nothing is logged, and headers are read only when a handler asks.

The core's own limit for a message is set above ours, since its refusal has other words than those
that SDKs look for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import grpc
import msgspec
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from perdure.transport.listening import BindFailed
from perdure.transport.port import (
    REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    CallFailed,
    Handler,
    services_of,
    too_large,
    unknown_method,
)
from perdure.transport.session import METHOD, OpenState, ServerSession

CORE_REQUEST_BYTES_MAX = 64 * 1024 * 1024
"""Beyond this the core refuses without reading the message to its end."""

PENDING_CALLS_MAX = 100_000
"""Calls that may wait for the event loop to come to them."""

OUTGOING_MESSAGES_MAX = 1_000
"""Messages of a session that wait until its peer reads: beyond these, it is not listened to."""

DETAILS_HEADER = "grpc-status-details-bin"
REFLECTION_SERVICE = "grpc.reflection.v1.ServerReflection"

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", CORE_REQUEST_BYTES_MAX),
    ("grpc.max_send_message_length", RESPONSE_BYTES_MAX),
    # A second server on the same port must fail to start rather than share its calls.
    ("grpc.so_reuseport", 0),
    # As the real server: connections are renewed, so that balancers can move them and a leak cannot
    # grow for ever.
    ("grpc.max_connection_age_ms", 5 * 60 * 1000),
    ("grpc.max_connection_age_grace_ms", 70 * 1000),
    ("grpc.max_connection_idle_ms", 2 * 60 * 1000),
    ("grpc.keepalive_time_ms", 60 * 1000),
    ("grpc.keepalive_timeout_ms", 10 * 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5 * 1000),
    # Parked polls: a client may have as many streams on a connection as it likes.
    ("grpc.max_concurrent_streams", 2**31 - 1),
    # Calls that arrived and wait for the loop: beyond the core's own limits (1000, 3000) it cancels
    # calls at random, which a worker takes for a failure. A burst of polls is no overload.
    ("grpc.server.max_pending_requests", PENDING_CALLS_MAX),
    ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS_MAX),
)

CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

ServeStream = Callable[[AsyncIterator[bytes], "aio.ServicerContext[bytes, bytes]"], Awaitable[None]]
Serve = Callable[[bytes, "aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]


class GrpcServer:
    """Serves a table of handlers on one address, and over sessions when it is told what to keep for
    one."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        host: str,
        port: int,
        open_state: OpenState | None = None,
    ) -> None:
        self._handlers = handlers
        self._open_state = open_state
        self._host = host
        self._port = port
        self._server: aio.Server | None = None
        self._health = HealthServicer()

    async def start(self) -> int:
        """Listen; the port, which is a free one when 0 was asked for. Raises BindFailed."""
        server = aio.server(options=OPTIONS)
        # First, since grpc asks them in order.
        server.add_generic_rpc_handlers((_Table(self._handlers, self._open_state),))
        services = services_of(self._handlers)
        await self._add_health(server, services)
        _add_reflection(server, services)
        address = f"[{self._host}]" if ":" in self._host else self._host
        try:
            port = server.add_insecure_port(f"{address}:{self._port}")
        except RuntimeError as error:
            raise BindFailed(f"cannot listen on {address}:{self._port}") from error
        await server.start()
        self._server = server
        return port

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, and cancel those that are not done after the grace."""
        if self._server is not None:
            await self._health.enter_graceful_shutdown()
            await self._server.stop(grace_seconds)
            self._server = None

    async def _add_health(self, server: aio.Server, services: frozenset[str]) -> None:
        for service in ("", *services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)


class _Table(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """The generic handler: a dictionary look-up; what it does not find is refused unless another
    handler has it."""

    def __init__(self, handlers: Mapping[str, Handler], open_state: OpenState | None) -> None:
        self._methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            method: grpc.unary_unary_rpc_method_handler(_adapted(handler))
            for method, handler in handlers.items()
        }
        if open_state is not None:
            self._methods[METHOD] = grpc.stream_stream_rpc_method_handler(
                _serving_sessions(handlers, open_state)
            )
        self._services = services_of(handlers)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """The handler of one call."""
        method = handler_call_details.method
        found = self._methods.get(method)
        if found is None and not method.startswith("/grpc."):
            failure = unknown_method(method, self._services)
            return grpc.stream_stream_rpc_method_handler(_refusing(failure))
        return found


class _Caller:
    __slots__ = ("_context", "session")
    in_process = False

    def __init__(self, context: aio.ServicerContext[bytes, bytes]) -> None:
        self._context = context
        self.session: object | None = None

    def time_remaining(self) -> float | None:
        return self._context.time_remaining()

    def header(self, name: str) -> str:
        for key, value in self._context.invocation_metadata() or ():
            if key == name:
                return value if isinstance(value, str) else ""
        return ""


def _adapted(handler: Handler) -> Serve:
    async def serve(request: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        failure = too_large(len(request))
        if len(request) <= REQUEST_BYTES_MAX:
            try:
                return await handler(request, _Caller(context))
            except CallFailed as refusal:
                failure = refusal
        # The core ties what abort raises, and so this frame, into a cycle: it must hold nothing
        # large, since cycles are seldom looked for.
        request = b""
        failure.__traceback__ = failure.__cause__ = failure.__context__ = None
        await _abort(context, failure)
        return b""  # Not reached: abort raises.

    return serve


def _serving_sessions(handlers: Mapping[str, Handler], open_state: OpenState) -> ServeStream:
    closing: set[asyncio.Task[None]] = set()

    async def serve(
        requests: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]
    ) -> None:
        outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        session = ServerSession(handlers, open_state(), outgoing.put_nowait)
        writing = asyncio.get_running_loop().create_task(_write(context, outgoing))
        try:
            async for message in requests:
                session.receive(message)
                if outgoing.qsize() > OUTGOING_MESSAGES_MAX:
                    await outgoing.join()
        except msgspec.MsgspecError as error:
            await outgoing.join()  # The core takes no status while it is writing a message.
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a session: {error}")
        finally:
            writing.cancel()
            # In a task of its own: this one is cancelled, perhaps again and again, when the peer is
            # gone, and what it held must be given back all the same.
            task = asyncio.get_running_loop().create_task(session.close())
            closing.add(task)
            task.add_done_callback(closing.discard)

    return serve


async def _write(
    context: aio.ServicerContext[bytes, bytes], outgoing: asyncio.Queue[bytes]
) -> None:
    """Write messages as fast as the peer reads them."""
    while True:
        await context.write(await outgoing.get())
        outgoing.task_done()


def _refusing(failure: CallFailed) -> ServeStream:
    """Refuses at once, whatever the caller wants to send: also one that opens a stream must hear it
    before it has said anything."""

    async def serve(
        requests: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]
    ) -> None:
        await _abort(context, failure)

    return serve


async def _abort(context: aio.ServicerContext[bytes, bytes], failure: CallFailed) -> None:
    trailing = ((DETAILS_HEADER, failure.details),) if failure.details else ()
    await context.abort(CODES[failure.code], failure.message, trailing)


def _add_reflection(server: aio.Server, services: frozenset[str]) -> None:
    """Under both of its names: newer clients ask for v1 first, whose messages are the same."""
    names = (
        *sorted(services),
        health.SERVICE_NAME,
        reflection.SERVICE_NAME,
        REFLECTION_SERVICE,
    )
    reflection.enable_server_reflection(names, server)
    servicer = ReflectionServicer(names)
    handlers = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(REFLECTION_SERVICE, handlers),)
    )
