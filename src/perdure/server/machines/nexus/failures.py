"""Failures as Nexus has them, and as Temporal does.

A failure of Nexus has a message and, in JSON, details of a type that its metadata name. One that
names Temporal's failure is one of those, spelled out; any other becomes an application failure that
keeps what it was in its details.
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import nexus_pb2
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure, NexusHandlerFailureInfo
from temporalio.api.nexus.v1 import Failure as NexusFailure
from temporalio.api.nexus.v1 import HandlerError

from perdure.server.machines.activity.failures import cut_causes
from perdure.server.machines.nexus.outcomes import HandlerFailed

RETRYABLE = nexus_pb2.NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_RETRYABLE
NON_RETRYABLE = nexus_pb2.NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_NON_RETRYABLE
TEMPORAL_TYPE = Failure.DESCRIPTOR.full_name
HANDLER_TYPE = "nexus.HandlerError"
FOREIGN_TYPE = "NexusFailure"
UNSUCCESSFUL = ("failed", "canceled")
"""How an operation can have ended without a result."""
DEPTH_MAX = 20
"""Causes below this are left out."""

ERROR_STATUSES: dict[str, int] = {
    "BAD_REQUEST": 400,
    "UNAUTHENTICATED": 401,
    "UNAUTHORIZED": 403,
    "NOT_FOUND": 404,
    "REQUEST_TIMEOUT": 408,
    "CONFLICT": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "NOT_IMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "UPSTREAM_TIMEOUT": 520,
}
"""What goes wrong with handlers, and what HTTP says of it."""
STATUS_UNKNOWN = 500
FINAL = frozenset(
    ("BAD_REQUEST", "UNAUTHENTICATED", "UNAUTHORIZED", "NOT_FOUND", "CONFLICT", "NOT_IMPLEMENTED")
)
"""What trying again does not help, unless the error says so."""


def is_retryable(error_type: str, behavior: int) -> bool:
    """Whether another attempt may help."""
    if behavior == RETRYABLE:
        return True
    return behavior != NON_RETRYABLE and error_type not in FINAL


def handler_failure(error_type: str, message: str = "", behavior: int = 0) -> Failure:
    """The failure of a handler."""
    info = NexusHandlerFailureInfo(type=error_type, retry_behavior=behavior)  # type: ignore[arg-type]
    return Failure(message=message, nexus_handler_failure_info=info)


def handler_failed(failure: Failure) -> HandlerFailed:
    """The outcome of a call whose handler failed like that."""
    info = failure.nexus_handler_failure_info
    return HandlerFailed(
        failure.SerializeToString(deterministic=True),
        info.type,
        is_retryable(info.type, info.retry_behavior),
    )


def failure_of_error(error: HandlerError) -> Failure:
    """What a worker says of its handler in the old form: the handler's own failure is the cause."""
    failure = handler_failure(error.error_type, behavior=error.retry_behavior)
    if error.HasField("failure"):
        failure.cause.CopyFrom(failure_of(error.failure))
    return failure


def failure_of(nexus: NexusFailure) -> Failure:
    """A failure of Nexus as Temporal has it, with so many causes at most that events which have it
    can be read."""
    failure = _failure_of(nexus, 0)
    cut_causes(failure, DEPTH_MAX)
    return failure


def _failure_of(nexus: NexusFailure, depth: int) -> Failure:
    failure = Failure()
    match nexus.metadata.get("type"):
        case kind if kind == TEMPORAL_TYPE and _parse(nexus.details, failure):
            failure.message, failure.stack_trace = nexus.message, nexus.stack_trace
            return failure
        case kind if kind == HANDLER_TYPE:
            failure = _handler_failure(nexus.details)
        case _ if nexus.metadata or nexus.details:
            failure.application_failure_info.CopyFrom(_foreign(nexus))
        case _:
            pass
    failure.message, failure.stack_trace = nexus.message, nexus.stack_trace
    if nexus.HasField("cause") and depth < DEPTH_MAX:
        failure.cause.CopyFrom(_failure_of(nexus.cause, depth + 1))
    return failure


def from_plain(plain: Any, depth: int = 0) -> NexusFailure:
    """A failure of Nexus, from JSON as Python has it. Raises ValueError."""
    if not isinstance(plain, dict):
        raise ValueError("a failure is an object")
    texts = {name: plain.get(name, "") for name in ("message", "stackTrace")}
    metadata = plain.get("metadata") or {}
    if not isinstance(metadata, dict) or not all(
        isinstance(text, str) for text in (*texts.values(), *metadata.values())
    ):
        raise ValueError("message and metadata of a failure are texts")
    failure = NexusFailure(
        message=texts["message"], stack_trace=texts["stackTrace"], metadata=metadata
    )
    if plain.get("details") is not None:
        failure.details = compact(plain["details"])
    if plain.get("cause") is not None and depth < DEPTH_MAX:
        failure.cause.CopyFrom(from_plain(plain["cause"], depth + 1))
    return failure


def to_plain(nexus: NexusFailure) -> dict[str, Any]:
    """A failure of Nexus as JSON has it. Raises ValueError when its details are not."""
    told: dict[str, Any] = {"message": nexus.message} if nexus.message else {}
    if nexus.stack_trace:
        told["stackTrace"] = nexus.stack_trace
    if nexus.metadata:
        told["metadata"] = dict(nexus.metadata)
    if nexus.details:
        told["details"] = json.loads(nexus.details)
    if nexus.HasField("cause"):
        told["cause"] = to_plain(nexus.cause)
    return told


def plain_failure(failure: Failure) -> dict[str, Any]:
    """One of Temporal's failures as JSON has it in Nexus."""
    told: dict[str, Any] = {"message": failure.message} if failure.message else {}
    if failure.stack_trace:
        told["stackTrace"] = failure.stack_trace
    details = Failure()
    details.CopyFrom(failure)
    details.ClearField("message")
    details.ClearField("stack_trace")
    _clear_what_json_has_not(details)
    told["metadata"] = {"type": TEMPORAL_TYPE}
    told["details"] = MessageToDict(details)
    if failure.HasField("cause"):
        told["cause"] = plain_failure(failure.cause)
    return told


def _clear_what_json_has_not(failure: Failure) -> None:
    current: Failure | None = failure
    while current is not None:
        info = current.application_failure_info
        try:
            info.next_retry_delay.ToJsonString()
        except ValueError:  # A length that JSON has no words for; the failure is told without it.
            info.ClearField("next_retry_delay")
        current = current.cause if current.HasField("cause") else None


def plain_error(error_type: str, message: str, is_retryable: bool | None = None) -> dict[str, Any]:
    """What is told of a handler error of the server itself."""
    details: dict[str, Any] = {"type": error_type}
    if is_retryable is not None:
        details["retryableOverride"] = is_retryable
    return {"message": message, "metadata": {"type": HANDLER_TYPE}, "details": details}


def compact(value: Any) -> bytes:
    """JSON as Go writes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode(errors="replace")


def _parse(details: bytes, failure: Failure) -> bool:
    try:
        ParseDict(json.loads(details or b"{}"), failure, ignore_unknown_fields=True)
    except (ParseError, ValueError, RecursionError):
        failure.Clear()
        return False
    return True


def _handler_failure(details: bytes) -> Failure:
    try:
        told = json.loads(details or b"{}")
    except (ValueError, RecursionError):
        told = {}
    kind = told.get("type") if isinstance(told, dict) else ""
    override = told.get("retryableOverride") if isinstance(told, dict) else None
    behavior = (RETRYABLE if override else NON_RETRYABLE) if isinstance(override, bool) else 0
    return handler_failure(kind if isinstance(kind, str) else "", behavior=behavior)


def _foreign(nexus: NexusFailure) -> ApplicationFailureInfo:
    """What a failure that is not Temporal's says, kept."""
    kept: dict[str, Any] = {"metadata": dict(nexus.metadata)} if nexus.metadata else {}
    if nexus.details:
        try:
            kept["details"] = json.loads(nexus.details)
        except (ValueError, RecursionError):
            kept["details"] = nexus.details.decode(errors="replace")
    payload = Payload(metadata={"encoding": b"json/plain"}, data=compact(kept))
    return ApplicationFailureInfo(type=FOREIGN_TYPE, details=Payloads(payloads=[payload]))
