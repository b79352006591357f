"""The client of Temporal Cloud's own API, by which accounts, namespaces and users are managed."""

from __future__ import annotations

from perdure.runtime import Runtime
from perdure.service import (
    CloudService,
    ConnectConfig,
    DnsLoadBalancingConfig,
    GrpcCompression,
    HttpConnectProxyConfig,
    KeepAliveConfig,
    Metadata,
    RetryConfig,
    ServiceClient,
    TLSConfig,
)

ADDRESS = "saas-api.tmprl.cloud:443"
VERSION_HEADER = "temporal-cloud-api-version"


class CloudOperationsClient:
    """Manages what somebody has in Temporal Cloud, by the RPCs of `cloud_service`."""

    @staticmethod
    async def connect(
        *,
        api_key: str | None = None,
        version: str | None = None,
        target_host: str = ADDRESS,
        tls: bool | TLSConfig = True,
        retry_config: RetryConfig | None = None,
        keep_alive_config: KeepAliveConfig | None = KeepAliveConfig.default,
        rpc_metadata: Metadata | None = None,
        identity: str | None = None,
        lazy: bool = False,
        runtime: Runtime | None = None,
        http_connect_proxy_config: HttpConnectProxyConfig | None = None,
        dns_load_balancing_config: DnsLoadBalancingConfig | None = None,
        grpc_compression: GrpcCompression = GrpcCompression.GZIP,
    ) -> CloudOperationsClient:
        """A client of the API. `version` is of the API, which then refuses what it has changed.

        Raises RuntimeError when it cannot be reached, unless lazy.
        """
        config = ConnectConfig(
            target_host=target_host,
            api_key=api_key,
            tls=tls,
            retry_config=retry_config,
            keep_alive_config=keep_alive_config,
            rpc_metadata={**(rpc_metadata or {}), **({VERSION_HEADER: version} if version else {})},
            identity=identity or "",
            lazy=lazy,
            runtime=runtime,
            http_connect_proxy_config=http_connect_proxy_config,
            dns_load_balancing_config=dns_load_balancing_config,
            grpc_compression=grpc_compression,
        )
        return CloudOperationsClient(await ServiceClient.connect(config))

    def __init__(self, service_client: ServiceClient) -> None:
        self._service_client = service_client

    @property
    def service_client(self) -> ServiceClient:
        """The connection."""
        return self._service_client

    @property
    def cloud_service(self) -> CloudService:
        """The RPCs, message in and message out."""
        return self._service_client.cloud_service

    @property
    def identity(self) -> str:
        """Who calls."""
        return self._service_client.config.identity

    @property
    def rpc_metadata(self) -> Metadata:
        """The headers that go with every call of this connection."""
        return self._service_client.config.rpc_metadata

    @rpc_metadata.setter
    def rpc_metadata(self, value: Metadata) -> None:
        self._service_client.update_rpc_metadata(value)

    @property
    def api_key(self) -> str | None:
        """The key that goes with every call of this connection."""
        return self._service_client.config.api_key

    @api_key.setter
    def api_key(self, value: str | None) -> None:
        self._service_client.update_api_key(value)
