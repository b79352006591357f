"""gRPC over HTTP/2, spoken by ourselves."""

from __future__ import annotations

from perdure.transport.http2.server import Http2Server
from perdure.transport.listening import BindFailed

__all__ = ["BindFailed", "Http2Server"]
