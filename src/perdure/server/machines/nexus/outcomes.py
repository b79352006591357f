"""What becomes of one call to a Nexus handler, and how an operation ends: values that a machine's
input can carry.

Payloads, failures and links are serialised messages of Temporal's (`common.v1.Payload`,
`failure.v1.Failure`, `common.v1.Link`).
"""

from __future__ import annotations

import msgspec


class SyncSuccess(msgspec.Struct, frozen=True, tag=True):
    """The operation is done, and this is its result; b"" where there is none."""

    payload: bytes
    links: tuple[bytes, ...] = ()


class AsyncStarted(msgspec.Struct, frozen=True, tag=True):
    """The operation goes on at its handler, which calls back when it ends."""

    operation_token: str
    links: tuple[bytes, ...] = ()


class OperationFailed(msgspec.Struct, frozen=True, tag=True):
    """The operation has ended without a result: it failed, or was canceled."""

    failure: bytes
    """As the handler told it: not wrapped into a failure of the operation."""
    is_canceled: bool = False
    links: tuple[bytes, ...] = ()


class HandlerFailed(msgspec.Struct, frozen=True, tag=True):
    """The handler could not carry out the request."""

    failure: bytes
    """One with `nexus_handler_failure_info`."""
    error_type: str
    is_retryable: bool
    """By what the error says of itself, or else by its type."""


class Unreachable(msgspec.Struct, frozen=True, tag=True):
    """No answer came, or none that could be understood."""

    message: str
    is_retryable: bool = True
    is_timeout: bool = False
    """The time of the call was over."""


class CancelAccepted(msgspec.Struct, frozen=True, tag=True):
    """The handler knows that the operation is to be canceled."""


StartOutcome = SyncSuccess | AsyncStarted | OperationFailed | HandlerFailed | Unreachable
CancelOutcome = CancelAccepted | HandlerFailed | Unreachable
OperationOutcome = SyncSuccess | OperationFailed
"""How an operation ended, as its completion callback tells it; its links stand in the completion,
and here are none."""
