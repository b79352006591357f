"""The two ports between those who call Nexus operations (workflows) and those who carry the calls
to a handler: out by `NexusCaller`, back in by `NexusCompletions`.

A call is one attempt: whoever calls decides when to try again, and when to stop trying.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from perdure.server.engine.api import NamespaceRef
from perdure.server.machines.nexus.outcomes import CancelOutcome, OperationOutcome, StartOutcome


class OperationAddress(msgspec.Struct, frozen=True, array_like=True):
    """Which operation of whom a completion is for. It travels to the handler and back in the
    callback's token, which is opaque to both."""

    namespace_id: str
    kind: int
    """The kind of its subject (`machines.ports.Kind`)."""
    id: str
    run_id: str
    scheduled_event_id: int
    """Of the event that scheduled it; 0 for an operation that is its own subject."""
    request_id: str
    """Of the request that started it."""


class Endpoint(msgspec.Struct, frozen=True):
    """What a name stands for now."""

    id: str
    name: str


class StartCall(msgspec.Struct, frozen=True, kw_only=True):
    """A request to start an operation."""

    namespace: NamespaceRef
    """Of the caller."""
    endpoint_id: str
    """Names change; the id is what counts once an operation is scheduled."""
    endpoint: str
    """The name, for what is said of it; looked up when there is no id."""
    service: str
    operation: str
    request_id: str
    completion: OperationAddress
    """Where the completion goes; callback URL and header are made of it."""
    payload: bytes = b""
    """A serialised Payload; b"" for none."""
    header: dict[str, str] = {}
    """As the caller gave it."""
    links: tuple[bytes, ...] = ()
    """Serialised `common.v1.Link`s, to the caller."""
    timeout_ns: int
    """How long to wait for the answer."""
    operation_timeout_ns: int = 0
    """What is left for the operation to complete; 0 for no limit. The handler is told, unless the
    header says something of its own."""


class CancelCall(msgspec.Struct, frozen=True, kw_only=True):
    """A request to cancel an operation that was started."""

    namespace: NamespaceRef
    endpoint_id: str
    endpoint: str
    service: str
    operation: str
    operation_token: str
    header: dict[str, str] = {}
    links: tuple[bytes, ...] = ()
    timeout_ns: int


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler tells when an operation ends that it had started asynchronously."""

    address: OperationAddress
    outcome: OperationOutcome
    operation_token: str = ""
    """Of the operation, for a completion that overtakes the answer to its start."""
    start_time_ns: int = 0
    """When the handler began it; 0 when it did not say."""
    close_time_ns: int = 0
    links: tuple[bytes, ...] = ()
    """To what the handler started."""


class NexusCaller(Protocol):
    """Carries calls to handlers. Never raises but when it is cancelled: what goes wrong is an
    outcome."""

    def find(self, endpoint: str) -> Endpoint | None:
        """The endpoint of a name, if there is one."""
        ...

    async def start(self, call: StartCall) -> StartOutcome:
        """Ask a handler to start an operation."""
        ...

    async def cancel(self, call: CancelCall) -> CancelOutcome:
        """Ask a handler to cancel an operation."""
        ...


class NexusCompletions(Protocol):
    """Takes completions in."""

    async def complete(self, namespace: NamespaceRef, completion: Completion) -> None:
        """An operation has ended; this is durable when it returns. Raises NotFound for one that is
        not waited for (any more), Rejected, EngineUnavailable, EngineStopped."""
        ...
