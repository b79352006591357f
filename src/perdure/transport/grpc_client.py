"""The port over a gRPC channel, from the client's side.

Bytes go in and bytes come out: the channel knows nothing of messages. It connects with the first
call, on the event loop of that call, and again whenever it has lost its connection; what failed
meanwhile is the caller's to try again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import grpc
import grpc.aio

from perdure.transport.connection_options import (
    DnsLoadBalancingConfig,
    GrpcCompression,
    HttpConnectProxyConfig,
    KeepAliveConfig,
    TLSConfig,
)
from perdure.transport.port import RESPONSE_BYTES_MAX, CallFailed, Code

STATUS_DETAILS = "grpc-status-details-bin"
"""The trailer that carries a serialised google.rpc.Status."""

CONNECT_TIMEOUT_MILLIS = 10_000
"""What gRPC calls the shortest backoff is how long it lets an attempt to connect take."""
RECONNECT_INTERVAL_MILLIS = 100
RECONNECT_INTERVAL_MILLIS_MAX = 5000
"""gRPC's own limit is two minutes, far longer than a server takes to restart."""


COMPRESSED_BYTES_MIN = 1024
"""Smaller requests are sent as they are: compressing them costs more than sending them."""

IDENTITY_ONLY = 1
"""The set of compressions, as bits, that has none in it."""


@dataclass(frozen=True)
class ChannelOptions:
    """How a channel is made."""

    tls: bool | TLSConfig = False
    keep_alive: KeepAliveConfig | None = KeepAliveConfig.default
    proxy: HttpConnectProxyConfig | None = None
    load_balancing: DnsLoadBalancingConfig | None = None
    compression: GrpcCompression = GrpcCompression.NONE
    connect_timeout: timedelta | None = None

    def __post_init__(self) -> None:
        tls = self.tls
        if not isinstance(tls, TLSConfig):
            return
        if (tls.client_cert is None) != (tls.client_private_key is None):
            raise ValueError("Must have both client cert and private key or neither")
        if tls.verification_server_name is None:
            return
        if tls.server_root_ca_cert is None:
            raise ValueError("verification_server_name requires a server root CA cert")


class GrpcTransport:
    """Calls over one channel."""

    def __init__(self, target: str, options: ChannelOptions | None = None) -> None:
        self._target = target
        self._options = options or ChannelOptions()
        self._compresses = self._options.compression is GrpcCompression.GZIP
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
        compressed = self._compresses and len(request) >= COMPRESSED_BYTES_MIN
        try:
            answer: bytes = await call(
                request,
                timeout=timeout_seconds,
                metadata=tuple(metadata.items()) if metadata else None,
                compression=grpc.Compression.Gzip if compressed else None,
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
        options = _arguments_of(self._options)
        tls = TLSConfig() if self._options.tls is True else self._options.tls or None
        if tls is None:
            return grpc.aio.insecure_channel(self._target, options)
        checked_name = tls.verification_server_name or tls.domain
        if checked_name is not None:
            options.append(("grpc.ssl_target_name_override", checked_name))
        credentials = grpc.ssl_channel_credentials(
            root_certificates=tls.server_root_ca_cert,
            private_key=tls.client_private_key,
            certificate_chain=tls.client_cert,
        )
        return grpc.aio.secure_channel(self._target, credentials, options)


def _arguments_of(options: ChannelOptions) -> list[tuple[str, Any]]:
    """What gRPC's library is told of a channel."""
    arguments: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", RESPONSE_BYTES_MAX),
        ("grpc.initial_reconnect_backoff_ms", RECONNECT_INTERVAL_MILLIS),
        ("grpc.min_reconnect_backoff_ms", _connect_timeout_millis(options)),
        ("grpc.max_reconnect_backoff_ms", RECONNECT_INTERVAL_MILLIS_MAX),
        # Retries are the caller's: it knows which calls wait, and how long is long enough.
        ("grpc.enable_retries", 0),
    ]
    if options.keep_alive is not None:
        arguments.append(("grpc.keepalive_time_ms", options.keep_alive.interval_millis))
        arguments.append(("grpc.keepalive_timeout_ms", options.keep_alive.timeout_millis))
    if options.compression is GrpcCompression.NONE:
        arguments.append(("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY))
    if options.proxy is not None:
        arguments.append(("grpc.http_proxy", _address_of(options.proxy)))
    elif options.load_balancing is not None:
        interval = options.load_balancing.resolution_interval_millis
        policy = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
        arguments.append(("grpc.service_config", policy))
        arguments.append(("grpc.dns_min_time_between_resolutions_ms", interval))
    return arguments


def _connect_timeout_millis(options: ChannelOptions) -> int:
    limit = options.connect_timeout
    return CONNECT_TIMEOUT_MILLIS if limit is None else max(1, int(limit.total_seconds() * 1000))


def _address_of(proxy: HttpConnectProxyConfig) -> str:
    if proxy.basic_auth is None:
        return f"http://{proxy.target_host}"
    user, password = (quote(part, safe="") for part in proxy.basic_auth)
    return f"http://{user}:{password}@{proxy.target_host}"


def failure_of(error: grpc.aio.AioRpcError) -> CallFailed:
    """What a call of the channel failed with, as the port says it."""
    trailers: Any = error.trailing_metadata() or ()
    details = next((value for name, value in trailers if name == STATUS_DETAILS), b"")
    status: int = error.code().value[0]
    return CallFailed(
        Code(status), error.details() or "", details if isinstance(details, bytes) else b""
    )
