"""The port over a gRPC channel, from the client's side.

Bytes go in and bytes come out: the channel knows nothing of messages. It connects with the first
call, on the event loop of that call, and again whenever it has lost its connection; what failed
meanwhile is the caller's to try again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio

from perdure.transport.connection_options import KeepAliveConfig, TLSConfig
from perdure.transport.port import RESPONSE_BYTES_MAX, CallFailed, Code

STATUS_DETAILS = "grpc-status-details-bin"
"""The trailer that carries a serialised google.rpc.Status."""

CONNECT_TIMEOUT_MILLIS = 10_000
"""What gRPC calls the shortest backoff is how long it lets an attempt to connect take."""
RECONNECT_INTERVAL_MILLIS = 100
RECONNECT_INTERVAL_MILLIS_MAX = 5000
"""gRPC's own limit is two minutes, far longer than a server takes to restart."""


class GrpcTransport:
    """Calls over one channel."""

    def __init__(
        self,
        target: str,
        *,
        tls: bool | TLSConfig = False,
        keep_alive: KeepAliveConfig | None = KeepAliveConfig.default,
    ) -> None:
        self._target = target
        self._tls = TLSConfig() if tls is True else tls or None
        self._keep_alive = keep_alive
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, Any] = {}

    async def call(
        self,
        method: str,
        request: bytes,
        metadata: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> bytes:
        """The serialised response of `/package.Service/Method`. Raises CallFailed."""
        call = self._methods.get(method)
        if call is None:
            call = self._methods[method] = self.channel.unary_unary(method, None, None)
        try:
            answer: bytes = await call(
                request,
                timeout=timeout_seconds,
                metadata=tuple(metadata.items()) if metadata else None,
            )
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from None
        return answer

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel, opened when it is first wanted."""
        if self._channel is None:
            self._channel = self._open()
        return self._channel

    async def close(self) -> None:
        """End the connection. Calls under way fail; a later call connects anew."""
        channel, self._channel = self._channel, None
        self._methods = {}
        if channel is not None:
            await channel.close(None)

    def _open(self) -> grpc.aio.Channel:
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", RESPONSE_BYTES_MAX),
            ("grpc.initial_reconnect_backoff_ms", RECONNECT_INTERVAL_MILLIS),
            ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MILLIS),
            ("grpc.max_reconnect_backoff_ms", RECONNECT_INTERVAL_MILLIS_MAX),
            # Retries are the caller's: it knows which calls wait, and how long is long enough.
            ("grpc.enable_retries", 0),
        ]
        if self._keep_alive is not None:
            options.append(("grpc.keepalive_time_ms", self._keep_alive.interval_millis))
            options.append(("grpc.keepalive_timeout_ms", self._keep_alive.timeout_millis))
        if self._tls is None:
            return grpc.aio.insecure_channel(self._target, options)
        if self._tls.domain is not None:
            options.append(("grpc.ssl_target_name_override", self._tls.domain))
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self._tls.server_root_ca_cert,
            private_key=self._tls.client_private_key,
            certificate_chain=self._tls.client_cert,
        )
        return grpc.aio.secure_channel(self._target, credentials, options)


def failure_of(error: grpc.aio.AioRpcError) -> CallFailed:
    """What a call of the channel failed with, as the port says it."""
    trailers: Any = error.trailing_metadata() or ()
    details = next((value for name, value in trailers if name == STATUS_DETAILS), b"")
    status: int = error.code().value[0]
    return CallFailed(
        Code(status), error.details() or "", details if isinstance(details, bytes) else b""
    )
