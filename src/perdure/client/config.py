"""What makes a client, and what connects one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypedDict

from perdure.client.interceptor import Interceptor
from perdure.client.plugin import Plugin
from perdure.common import HeaderCodecBehavior, QueryRejectCondition
from perdure.converter import DataConverter
from perdure.runtime import Runtime
from perdure.service import (
    DnsLoadBalancingConfig,
    GrpcCompression,
    HttpConnectProxyConfig,
    KeepAliveConfig,
    Metadata,
    PayloadLimitsConfig,
    RetryConfig,
    ServiceClient,
    TLSConfig,
)


class ClientConfig(TypedDict):
    """What `Client(**config)` takes."""

    service_client: ServiceClient
    namespace: str
    data_converter: DataConverter
    interceptors: Sequence[Interceptor]
    default_workflow_query_reject_condition: QueryRejectCondition | None
    plugins: Sequence[Plugin]
    header_codec_behavior: HeaderCodecBehavior


class ClientConnectConfig(TypedDict, total=False):
    """What `Client.connect(**config)` takes."""

    target_host: str
    namespace: str
    api_key: str | None
    data_converter: DataConverter
    interceptors: Sequence[Interceptor]
    default_workflow_query_reject_condition: QueryRejectCondition | None
    tls: bool | TLSConfig | None
    retry_config: RetryConfig | None
    keep_alive_config: KeepAliveConfig | None
    connect_timeout: timedelta | None
    rpc_metadata: Metadata
    identity: str | None
    lazy: bool
    runtime: Runtime | None
    plugins: Sequence[Plugin]
    http_connect_proxy_config: HttpConnectProxyConfig | None
    dns_load_balancing_config: DnsLoadBalancingConfig | None
    grpc_compression: GrpcCompression
    payload_limits: PayloadLimitsConfig
    header_codec_behavior: HeaderCodecBehavior
