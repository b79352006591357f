"""What ties the calls of a client to the Nexus operation whose handler makes them.

A handler calls the service as any program does. What it starts is linked to whoever called the
operation, and what it starts to deliver the operation's result carries the callback of the caller.
So every call passes by here; outside of a handler that costs one look.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from google.protobuf.message import Message


class OperationScope(Protocol):
    """A Nexus operation that is being started."""

    def prepare(self, request: Message) -> None:
        """Adds to a request what ties it to the operation."""
        ...

    def note(self, request: Message, response: Message) -> None:
        """Takes from a response what the operation's caller is to know."""
        ...


STARTING: ContextVar[OperationScope | None] = ContextVar("perdure_nexus_starting", default=None)
"""The operation that the calling code starts, if it is the handler of one."""
