"""The Nexus protocol over HTTP: operations are started and canceled by endpoint, or by namespace
and task queue, and completions are posted to the callback of a namespace.

The words of errors are those of the real server.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from temporalio.api.failure.v1 import Failure
from temporalio.api.nexus.v1 import (
    CancelOperationRequest,
    StartOperationRequest,
    StartOperationResponse,
)
from temporalio.api.nexus.v1 import (
    Request as NexusRequest,
)

from perdure.server.engine.nexus.content import BadContent, content_of, payload_of
from perdure.server.engine.nexus.link_headers import BadLinks, read_links, write_links
from perdure.server.engine.nexus.receiving import HandlerError
from perdure.server.engine.nexus.tasks import WorkerAnswer
from perdure.server.frontend.services import Services
from perdure.server.http.messages import Request, Response
from perdure.server.machines.errors import Rejected, ResourceExhausted
from perdure.server.machines.nexus.durations import milliseconds, parse_duration
from perdure.server.machines.nexus.failures import (
    ERROR_STATUSES,
    NON_RETRYABLE,
    RETRYABLE,
    STATUS_UNKNOWN,
    UNSUCCESSFUL,
    compact,
    plain_error,
    plain_failure,
    to_plain,
)
from perdure.server.machines.ports import SECOND_NS
from perdure.server.namespaces.registry import NamespaceNotFound

JSON = "application/json"
TIMEOUT_NS_MAX = 60 * SECOND_NS
CALLBACK_PREFIX = "nexus-callback-"
FROM_WORKER = ("Temporal-Nexus-Failure-Source", "worker")
FAILURE_SUPPORT = "temporal-nexus-failure-support"
NOT_TOLD = ("content-", CALLBACK_PREFIX)
"""Headers that begin so are part of the request, and not told beside it."""
HIDDEN = frozenset(
    {
        "accept-encoding",
        "connection",
        "host",
        "nexus-operation-token",
        "request-timeout",
        "transfer-encoding",
        "x-forwarded-for",
        FAILURE_SUPPORT,
    }
)
"""What is for the server alone."""
UNKNOWN_TIMEOUT = "invalid request timeout header"


class _Target(msgspec.Struct, frozen=True):
    """Whom a request is for, and what is left of its path."""

    namespace: str
    queue: str
    endpoint: str
    parts: list[str]


class NexusHttp:
    """Answers requests of the Nexus protocol."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def answer(self, request: Request) -> Response | None:
        """The answer to a request; None for one that is not of this protocol."""
        parts = urlsplit(request.target)
        path = parts.path.split("/")[1:]
        try:
            match path:
                case ["nexus", "endpoints", endpoint_id, "services", *rest]:
                    target = self._of_endpoint(unquote(endpoint_id), rest)
                case ["namespaces", namespace, "task-queues", queue, "nexus-services", *rest]:
                    target = _Target(unquote(namespace), unquote(queue), "", rest)
                case ["namespaces", namespace, "nexus", "callback"]:
                    await self._complete(unquote(namespace), request)
                    return Response(HTTPStatus.OK, b"", "")
                case ["nexus", "callback"]:
                    await self._complete(None, request)
                    return Response(HTTPStatus.OK, b"", "")
                case _:
                    return None
            return await self._carry_out(target, request, parse_qs(parts.query))
        except HandlerError as error:
            return _refused(error)

    async def _complete(self, namespace: str | None, request: Request) -> None:
        await self._services.engine.nexus.receive(namespace, request.headers, request.body)

    def _of_endpoint(self, endpoint_id: str, rest: list[str]) -> _Target:
        try:
            uuid.UUID(endpoint_id)
        except ValueError:
            raise HandlerError("INTERNAL", "internal error") from None
        endpoint = self._services.engine.nexus.endpoints.by_id(endpoint_id)
        if endpoint is None:
            raise HandlerError("NOT_FOUND", "nexus endpoint not found", is_retryable=False)
        if not endpoint.spec.target.HasField("worker"):
            raise HandlerError("BAD_REQUEST", "invalid endpoint target")
        worker = endpoint.spec.target.worker
        return _Target(worker.namespace, worker.task_queue, endpoint.spec.name, rest)

    async def _carry_out(
        self, target: _Target, request: Request, query: dict[str, list[str]]
    ) -> Response:
        """Have a worker start or cancel an operation. Raises HandlerError."""
        try:
            namespace = self._services.bind(target.namespace)
        except NamespaceNotFound:
            raise HandlerError(
                "NOT_FOUND", f"namespace not found: {json.dumps(target.namespace)}"
            ) from None
        except Rejected as error:
            raise HandlerError("BAD_REQUEST", str(error)) from error
        asked = self._request(target, request, query)
        timeout_ns = _timeout_ns(request.headers)
        try:
            answer = await self._services.engine.nexus.tasks.ask(
                namespace, target.queue, asked, timeout_ns
            )
        except ResourceExhausted as error:
            raise HandlerError("RESOURCE_EXHAUSTED", str(error)) from error
        return _response(answer, is_start=asked.HasField("start_operation"))

    def _request(
        self, target: _Target, request: Request, query: dict[str, list[str]]
    ) -> NexusRequest:
        asked = NexusRequest(endpoint=target.endpoint, header=_told_headers(request.headers))
        asked.capabilities.temporal_failure_responses = (
            request.headers.get(FAILURE_SUPPORT, "") == "true"
        )
        match [unquote(part) for part in target.parts]:
            case [_, _] | [_, _, "cancel" | "result"] | [_, _, _, "cancel"] if (
                request.method != "POST"
            ):
                got = json.dumps(request.method)
                raise _bad(f"invalid request method: expected POST, got {got}")
            case [service, operation]:
                asked.start_operation.CopyFrom(self._start(service, operation, request, query))
            case [service, operation, "cancel"]:
                token = request.headers.get("nexus-operation-token") or query.get("token", [""])[0]
                asked.cancel_operation.CopyFrom(_cancel(service, operation, token))
            case [service, operation, token, "cancel"]:
                asked.cancel_operation.CopyFrom(_cancel(service, operation, token))
            case _:
                raise HandlerError("NOT_FOUND", "not found")
        if asked.HasField("cancel_operation"):
            asked.header["content-length"] = str(len(request.body))
        return asked

    def _start(
        self, service: str, operation: str, request: Request, query: dict[str, list[str]]
    ) -> StartOperationRequest:
        headers = request.headers
        try:
            links = read_links(headers.get("nexus-link", ""))
        except BadLinks:
            raise _bad('invalid "nexus-link" header') from None
        try:
            if len(request.body) > self._services.limits.blob_size_bytes_max:
                raise BadContent
            payload = payload_of(headers, request.body)
        except BadContent:
            raise _bad("invalid input") from None
        return StartOperationRequest(
            service=service,
            operation=operation,
            request_id=headers.get("nexus-request-id", ""),
            callback=query.get("callback", [""])[0],
            callback_header={
                name.removeprefix(CALLBACK_PREFIX): value
                for name, value in headers.items()
                if name.startswith(CALLBACK_PREFIX)
            },
            payload=payload,
            links=links,
        )


def _bad(message: str) -> HandlerError:
    return HandlerError("BAD_REQUEST", message)


def _cancel(service: str, operation: str, token: str) -> CancelOperationRequest:
    if not token:
        raise _bad("missing operation token")
    return CancelOperationRequest(
        service=service, operation=operation, operation_id=token, operation_token=token
    )


def _told_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What a worker sees of the headers. How long the operation may take is told in
    milliseconds."""
    told = {
        name: value
        for name, value in headers.items()
        if name not in HIDDEN and not name.startswith(NOT_TOLD)
    }
    timeout = told.get("operation-timeout", "")
    if timeout and (length_ns := parse_duration(timeout)) is not None:
        told["operation-timeout"] = milliseconds(length_ns)
    return told


def _timeout_ns(headers: Mapping[str, str]) -> int:
    text = headers.get("request-timeout", "")
    if not text:
        return TIMEOUT_NS_MAX
    length_ns = parse_duration(text)
    if length_ns is None:
        raise _bad(UNKNOWN_TIMEOUT)
    return min(length_ns, TIMEOUT_NS_MAX)


def _refused(error: HandlerError) -> Response:
    """How the server itself refuses a request."""
    body = compact(plain_error(error.error_type, str(error), error.is_retryable))
    headers: tuple[tuple[str, str], ...] = ()
    if error.is_retryable is not None:
        headers = (("Nexus-Request-Retryable", str(error.is_retryable).lower()),)
    return Response(ERROR_STATUSES.get(error.error_type, STATUS_UNKNOWN), body, JSON, headers)


def _response(answer: WorkerAnswer | None, *, is_start: bool) -> Response:
    """What a worker answered."""
    if answer is None:
        return _failed("UPSTREAM_TIMEOUT", 0, plain_error("UPSTREAM_TIMEOUT", "upstream timeout"))
    if answer.failure is not None:
        return _handler_failure(answer.failure)
    if answer.error is not None:
        error = answer.error
        return _failed(error.error_type, error.retry_behavior, to_plain(error.failure))
    if not is_start:
        return Response(HTTPStatus.ACCEPTED, b"", "")
    if answer.response is None:
        return _empty()
    return _start_response(answer.response.start_operation)


def _start_response(started: StartOperationResponse) -> Response:
    match started.WhichOneof("variant"):
        case "sync_success":
            content_type, body = content_of(started.sync_success.payload)
            links = _link_headers(write_links(started.sync_success.links))
            return Response(HTTPStatus.OK, body, content_type, links)
        case "async_success":
            found = started.async_success
            token = found.operation_token or found.operation_id
            body = compact({"token": token, "state": "running"})
            return Response(HTTPStatus.CREATED, body, JSON, _link_headers(write_links(found.links)))
        case "operation_error":
            state = started.operation_error.operation_state
            if state not in UNSUCCESSFUL:
                return Response(HTTPStatus.INTERNAL_SERVER_ERROR, b"", "", (FROM_WORKER,))
            return _operation_failed(state, to_plain(started.operation_error.failure))
        case "failure":
            is_canceled = started.failure.HasField("canceled_failure_info")
            state = "canceled" if is_canceled else "failed"
            return _operation_failed(state, plain_failure(started.failure))
        case _:
            return _empty()


def _handler_failure(failure: Failure) -> Response:
    """A handler failure in the new form: of one with a cause, only that is told."""
    info = failure.nexus_handler_failure_info
    override = {RETRYABLE: True, NON_RETRYABLE: False}.get(info.retry_behavior)
    told = (
        plain_failure(failure.cause)
        if failure.HasField("cause")
        else plain_error(info.type, failure.message, override)
    )
    return _failed(info.type, info.retry_behavior, told)


def _failed(error_type: str, behavior: int, told: dict[str, Any]) -> Response:
    headers: tuple[tuple[str, str], ...] = (FROM_WORKER,)
    if behavior in (RETRYABLE, NON_RETRYABLE):
        headers = (("Nexus-Request-Retryable", str(behavior == RETRYABLE).lower()), *headers)
    status = ERROR_STATUSES.get(error_type, STATUS_UNKNOWN)
    return Response(status, compact(told), JSON, headers)


def _operation_failed(state: str, told: dict[str, Any]) -> Response:
    headers = (("Nexus-Operation-State", state), FROM_WORKER)
    return Response(HTTPStatus.FAILED_DEPENDENCY, compact(told), JSON, headers)


def _empty() -> Response:
    return _failed("INTERNAL", 0, plain_error("INTERNAL", "empty outcome"))


def _link_headers(value: str) -> tuple[tuple[str, str], ...]:
    return (("Nexus-Link", value),) if value else ()
