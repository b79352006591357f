"""The errors of Nexus handlers, which are the `nexusrpc` package's, as failures and back.

That package is imported when such an error comes in, and never to find out that none went out.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from google.protobuf.json_format import MessageToDict, ParseDict
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import NexusHandlerErrorRetryBehavior as RetryBehavior
from temporalio.api.failure.v1 import Failure

if TYPE_CHECKING:
    from nexusrpc import Failure as NexusFailure
    from nexusrpc import HandlerError

_log = logging.getLogger("perdure.converter")

_TEMPORAL_FAILURE = Failure.DESCRIPTOR.full_name

_RETRYABLE = {
    RetryBehavior.NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_RETRYABLE: True,
    RetryBehavior.NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_NON_RETRYABLE: False,
}
_BEHAVIORS = {retryable: behavior for behavior, retryable in _RETRYABLE.items()}
_UNSPECIFIED = RetryBehavior.NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_UNSPECIFIED


def as_handler_error(exception: BaseException) -> HandlerError | None:
    """The exception, if it is a handler's error."""
    nexusrpc = sys.modules.get("nexusrpc")
    if nexusrpc is None or not isinstance(exception, nexusrpc.HandlerError):
        return None
    return cast("HandlerError", exception)


def describe_handler_error(
    error: HandlerError, failure: Failure, describe: Callable[[BaseException, Failure], None]
) -> None:
    """Describe the error in an empty failure; `describe` does so for its cause."""
    if error.original_failure is not None:
        _restore(error.original_failure, error.retryable, failure)
        return
    failure.message = error.message
    if error.stack_trace:
        failure.stack_trace = error.stack_trace
    elif error.__traceback__ is not None:
        failure.stack_trace = "\n".join(traceback.format_tb(error.__traceback__))
    if error.__cause__ is not None:
        describe(error.__cause__, failure.cause)
    info = failure.nexus_handler_failure_info
    info.type = error.type.name
    override = error.retryable_override
    info.retry_behavior = _UNSPECIFIED if override is None else _BEHAVIORS[override]


def decode_handler_error(failure: Failure) -> HandlerError:
    """The error, without its cause. One of an unknown type counts as the handler's own fault."""
    import nexusrpc

    info = failure.nexus_handler_failure_info
    kind = nexusrpc.HandlerErrorType.__members__.get(info.type)
    if kind is None:
        _log.warning("Unknown Nexus HandlerErrorType: %s", info.type)
        kind = nexusrpc.HandlerErrorType.INTERNAL
    return nexusrpc.HandlerError(
        failure.message or "Nexus handler error",
        type=kind,
        retryable_override=_RETRYABLE.get(info.retry_behavior),
        stack_trace=failure.stack_trace or None,
        original_failure=_kept(failure),
    )


def _kept(failure: Failure) -> NexusFailure:
    """The failure itself, so that whoever passes the error on loses nothing of it."""
    import nexusrpc

    inside = Failure()
    inside.CopyFrom(failure)
    inside.message = inside.stack_trace = ""
    return nexusrpc.Failure(
        message=failure.message,
        stack_trace=failure.stack_trace,
        metadata={"type": _TEMPORAL_FAILURE},
        details=MessageToDict(inside),
    )


def _restore(kept: NexusFailure, retryable: bool, failure: Failure) -> None:
    if (kept.metadata or {}).get("type") == _TEMPORAL_FAILURE:
        ParseDict(dict(kept.details or {}), failure)
    else:
        info = failure.application_failure_info
        info.type = "NexusFailure"
        info.non_retryable = not retryable
        foreign = dataclasses.asdict(dataclasses.replace(kept, message=""))
        data = json.dumps(foreign, separators=(",", ":")).encode()
        info.details.payloads.append(Payload(metadata={"encoding": b"json/plain"}, data=data))
    failure.message = kept.message
    failure.stack_trace = kept.stack_trace or ""
