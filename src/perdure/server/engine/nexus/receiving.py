"""Completions that come back: read, checked, and handed to whoever waits for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from temporalio.api.failure.v1 import CanceledFailureInfo

from perdure.server.engine.nexus.calls import Completion
from perdure.server.engine.nexus.content import (
    BODY_BYTES_MAX,
    BadContent,
    payload_of,
    problem_of_token,
)
from perdure.server.engine.nexus.link_headers import BadLinks, read_links
from perdure.server.engine.nexus.links import links_of
from perdure.server.engine.nexus.tokens import HEADER, decode_address
from perdure.server.machines.nexus.failures import UNSUCCESSFUL, failure_of, from_plain
from perdure.server.machines.nexus.outcomes import OperationFailed, OperationOutcome, SyncSuccess
from perdure.server.machines.ports import SECOND_NS

SUCCEEDED = "succeeded"
CANCELED = "canceled"
STATES = (SUCCEEDED, *UNSUCCESSFUL)


class HandlerError(Exception):
    """A request of Nexus cannot be carried out; what is wrong, in the words of the protocol."""

    def __init__(self, error_type: str, message: str, *, is_retryable: bool | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.is_retryable = is_retryable
        """None leaves it to the type."""


def read_completion(headers: Mapping[str, str], body: bytes, bytes_max: int) -> Completion:
    """A completion as it was posted; names of headers are in lower case. Raises HandlerError."""
    state = headers.get("nexus-operation-state", "")
    if state not in STATES:
        raise _bad(f"invalid request operation state: {json.dumps(state)}")
    outcome = (
        _succeeded(headers, body, bytes_max)
        if state == SUCCEEDED
        else _failed(headers, body, is_canceled=state == CANCELED)
    )
    start_ns = _time(headers, "nexus-operation-start-time", "start", _http_time)
    close_ns = _time(headers, "nexus-operation-close-time", "close", _iso_time)
    try:
        links = links_of(read_links(headers.get("nexus-link", "")))
    except BadLinks:
        raise _bad("failed to decode links from request headers") from None
    address = decode_address(headers.get(HEADER, ""))
    if address is None:
        raise _bad("invalid callback token")
    token = headers.get("nexus-operation-token") or headers.get("nexus-operation-id", "")
    if problem := problem_of_token(token):
        raise _bad(problem)
    return Completion(
        address=address,
        outcome=outcome,
        operation_token=token,
        start_time_ns=start_ns,
        close_time_ns=close_ns,
        links=links,
    )


def _bad(message: str) -> HandlerError:
    return HandlerError("BAD_REQUEST", message)


def _succeeded(headers: Mapping[str, str], body: bytes, bytes_max: int) -> OperationOutcome:
    if len(body) > bytes_max:
        raise _bad("invalid result content")
    try:
        payload = payload_of(headers, body)
    except BadContent:
        raise _bad("invalid result content") from None
    return SyncSuccess(payload.SerializeToString(deterministic=True))


def _failed(headers: Mapping[str, str], body: bytes, *, is_canceled: bool) -> OperationOutcome:
    content_type = headers.get("content-type", "")
    if content_type.partition(";")[0].strip() != "application/json":
        raise _bad(f"invalid request content type: {json.dumps(content_type)}")
    if len(body) > BODY_BYTES_MAX:
        raise _bad("failed to read Failure from request body")
    try:
        failure = failure_of(from_plain(json.loads(body)))
    except (ValueError, RecursionError):
        raise _bad("failed to decode Failure from request body") from None
    if is_canceled and failure.WhichOneof("failure_info") is None:
        failure.canceled_failure_info.CopyFrom(CanceledFailureInfo())
    return OperationFailed(failure.SerializeToString(deterministic=True), is_canceled)


def _time(headers: Mapping[str, str], name: str, words: str, parse: type | object) -> int:
    text = headers.get(name, "")
    if not text:
        return 0
    try:
        time: datetime = parse(text)  # type: ignore[operator]
        return int(time.timestamp() * 1_000_000) * (SECOND_NS // 1_000_000)
    except (ValueError, TypeError, OverflowError):
        raise _bad(f"failed to parse operation {words} time header") from None


def _http_time(text: str) -> datetime:
    from email.utils import parsedate_to_datetime  # With all it brings, for servers called back.

    return parsedate_to_datetime(text)


def _iso_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
