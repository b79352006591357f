"""How a connection is kept alive and secured: what a user of any adapter may set."""

from __future__ import annotations

from dataclasses import dataclass
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

    `domain` replaces the host in what the server's certificate must name.
    """

    server_root_ca_cert: bytes | None = None
    domain: str | None = None
    client_cert: bytes | None = None
    client_private_key: bytes | None = None
