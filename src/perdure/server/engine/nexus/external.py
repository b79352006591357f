"""Calls to handlers elsewhere, over HTTP: the requests of the Nexus protocol, and what their
responses come to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote, urlencode

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import CanceledFailureInfo, Failure
from temporalio.api.nexus.v1 import Failure as NexusFailure

from perdure.server.engine.completions import CompletionRequest
from perdure.server.engine.nexus.calls import CancelCall, StartCall
from perdure.server.engine.nexus.content import (
    BODY_BYTES_MAX,
    BadContent,
    content_of,
    payload_of,
    problem_of_token,
)
from perdure.server.engine.nexus.link_headers import BadLinks, read_links, write_links
from perdure.server.engine.nexus.links import links_of, nexus_links
from perdure.server.engine.posting import PostResponse
from perdure.server.machines.nexus.durations import milliseconds
from perdure.server.machines.nexus.failures import (
    ERROR_STATUSES,
    NON_RETRYABLE,
    RETRYABLE,
    UNSUCCESSFUL,
    failure_of,
    from_plain,
    handler_failed,
    handler_failure,
)
from perdure.server.machines.nexus.outcomes import (
    AsyncStarted,
    CancelAccepted,
    CancelOutcome,
    HandlerFailed,
    OperationFailed,
    StartOutcome,
    SyncSuccess,
    Unreachable,
)

RUNNING = "running"
TOO_LARGE = Unreachable("http: response body too large", is_retryable=False)
ERROR_TYPES = {status: kind for kind, status in ERROR_STATUSES.items()}
OWN_HEADERS = frozenset(("host", "content-length", "transfer-encoding", "connection"))
"""What carries the request sets these."""


def start_request(
    base: str, call: StartCall, callback_url: str, callback_header: Mapping[str, str]
) -> CompletionRequest:
    """The request that starts an operation."""
    content_type, body = content_of(Payload.FromString(call.payload))
    headers = _headers(call)
    if content_type:
        headers["content-type"] = content_type
    for name, value in callback_header.items():
        headers[f"nexus-callback-{name}"] = value
    headers["nexus-request-id"] = call.request_id
    headers["temporal-nexus-failure-support"] = "true"
    if call.operation_timeout_ns:
        headers.setdefault("operation-timeout", milliseconds(call.operation_timeout_ns))
    query = urlencode({"callback": callback_url}) if callback_url else ""
    return _request(f"{_url(base, call)}" + (f"?{query}" if query else ""), headers, body)


def cancel_request(base: str, call: CancelCall) -> CompletionRequest:
    """The request that cancels an operation."""
    headers = _headers(call)
    headers["nexus-operation-token"] = call.operation_token
    return _request(f"{_url(base, call)}/cancel", headers, b"")


def start_outcome(response: PostResponse) -> StartOutcome:
    """What a response to a start comes to."""
    if len(response.body) > BODY_BYTES_MAX:
        return TOO_LARGE
    try:
        links = links_of(read_links(response.headers.get("nexus-link", "")))
    except BadLinks:
        links = ()  # They are only links.
    match response.status:
        case HTTPStatus.OK:
            try:
                payload = payload_of(response.headers, response.body)
            except BadContent as error:
                return Unreachable(str(error))
            return SyncSuccess(payload.SerializeToString(deterministic=True), links)
        case HTTPStatus.CREATED:
            return _started(response.body, links)
        case HTTPStatus.FAILED_DEPENDENCY:
            return _operation_failed(response)
        case _:
            return _failed(response)


def cancel_outcome(response: PostResponse) -> CancelOutcome:
    """What a response to a cancellation comes to."""
    if response.status == HTTPStatus.ACCEPTED:
        return CancelAccepted()
    return _failed(response)


def _headers(call: StartCall | CancelCall) -> dict[str, str]:
    headers = {
        name.lower(): value
        for name, value in call.header.items()
        if name.lower() not in OWN_HEADERS
    }
    headers["request-timeout"] = milliseconds(call.timeout_ns)
    if call.links:
        headers["nexus-link"] = write_links(nexus_links(call.links))
    return headers


def _request(url: str, headers: Mapping[str, str], body: bytes) -> CompletionRequest:
    named = sorted(
        ("-".join(part.capitalize() for part in name.split("-")), value)
        for name, value in headers.items()
    )
    return CompletionRequest(
        url, named, body, is_chunked=False, response_bytes_max=BODY_BYTES_MAX + 1
    )


def _url(base: str, call: StartCall | CancelCall) -> str:
    return "/".join((base.rstrip("/"), quote(call.service, ""), quote(call.operation, "")))


def _started(body: bytes, links: tuple[bytes, ...]) -> StartOutcome:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return Unreachable("unexpected end of JSON input" if len(body) < 2 else "invalid JSON")
    state, token = (told.get("state"), told.get("token")) if isinstance(told, dict) else ("", "")
    if state != RUNNING:
        return Unreachable(f'invalid operation state in response info: "{state}"')
    if not isinstance(token, str) or not token:
        return Unreachable("empty operation token in response")
    if problem_of_token(token):
        return Unreachable("invalid operation token", is_retryable=False)
    return AsyncStarted(token, links)


def _operation_failed(response: PostResponse) -> StartOutcome:
    state = response.headers.get("nexus-operation-state", "")
    if state not in UNSUCCESSFUL:
        return Unreachable(f'invalid operation state: "{state}"')
    nexus = _nexus_failure(response.body)
    if nexus is None:
        return Unreachable("invalid response: no failure")
    failure = failure_of(nexus)
    is_canceled = state == "canceled"
    if is_canceled and not failure.HasField("canceled_failure_info"):
        failure.canceled_failure_info.CopyFrom(CanceledFailureInfo())
    return OperationFailed(failure.SerializeToString(deterministic=True), is_canceled)


def _failed(response: PostResponse) -> HandlerFailed | Unreachable:
    nexus = _nexus_failure(response.body)
    told = Failure() if nexus is None else failure_of(nexus)
    if told.HasField("nexus_handler_failure_info"):
        return handler_failed(told)
    status = f"{response.status} {response.reason}".rstrip()
    kind = ERROR_TYPES.get(response.status)
    if kind is None:
        return Unreachable(f'unexpected response status: "{status}"')
    override = response.headers.get("nexus-request-retryable", "").lower()
    behavior = {"true": RETRYABLE, "false": NON_RETRYABLE}.get(override, 0)
    failure = handler_failure(kind, behavior=behavior)
    if nexus is None:
        told.message = f'unexpected response status: "{status}"'
    failure.cause.CopyFrom(told)
    return handler_failed(failure)


def _nexus_failure(body: bytes) -> NexusFailure | None:
    try:
        return from_plain(json.loads(body))
    except (ValueError, RecursionError):
        return None
