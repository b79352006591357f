"""How a connection is made, kept alive and secured: what a user of any adapter may set."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


@dataclass(frozen=True)
class KeepAliveConfig:
    """How often an idle connection is probed, and how long its answer may take."""

    interval_millis: int = 30000
    timeout_millis: int = 15000

    default: ClassVar[KeepAliveConfig]


KeepAliveConfig.default = KeepAliveConfig()


@dataclass(frozen=True)
class TLSConfig:
    """Certificates in PEM. Without a root certificate, the system's are trusted.

    `domain` replaces the host in what the server's certificate must name, in the name that is sent
    for it to choose one by (SNI), and in the authority of requests.

    `verification_server_name` does the same, and takes a root certificate. In the official SDK it
    leaves SNI and authority alone; gRPC's library has one name for all three.
    """

    server_root_ca_cert: bytes | None = None
    domain: str | None = None
    client_cert: bytes | None = None
    client_private_key: bytes | None = None
    verification_server_name: str | None = None


@dataclass(frozen=True)
class HttpConnectProxyConfig:
    """A proxy to connect by, as `host:port`, and the user and password that it asks for."""

    target_host: str
    basic_auth: tuple[str, str] | None = None


@dataclass(frozen=True)
class DnsLoadBalancingConfig:
    """Calls go to all addresses of the host in turn; they are looked up anew so often at most.

    Other than in the official SDK, they are looked up when a connection is lost, not all the time.
    Not through a proxy, which looks them up itself.
    """

    resolution_interval_millis: int = 30000

    default: ClassVar[DnsLoadBalancingConfig]


DnsLoadBalancingConfig.default = DnsLoadBalancingConfig()


class GrpcCompression(Enum):
    """Whether large requests are sent compressed, and compressed answers are asked for."""

    NONE = "none"
    GZIP = "gzip"
