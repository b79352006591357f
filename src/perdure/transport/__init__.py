"""How a call reaches the service: bytes in, bytes out. gRPC and the inside of one process are
adapters of one port."""

from __future__ import annotations

from perdure.transport.in_process import InProcessTransport
from perdure.transport.port import Caller, CallFailed, Code, Handler, Transport

__all__ = ["CallFailed", "Caller", "Code", "Handler", "InProcessTransport", "Transport"]
