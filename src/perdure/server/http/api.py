"""Answers HTTP requests: RPCs by their bindings, the OpenAPI document, and metrics."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from temporalio.api import errordetails as _registers_details  # noqa: F401
from temporalio.api.errordetails import v1 as _of_errors  # noqa: F401
from temporalio.api.operatorservice.v1 import service_pb2 as operator_service
from temporalio.api.workflowservice.v1 import service_pb2 as workflow_service

from perdure.server.http.bindings import Binding, Routes
from perdure.server.http.messages import Request, Response
from perdure.server.http.metrics import CONTENT_TYPE as METRICS_TYPE
from perdure.server.http.metrics import Metrics
from perdure.server.http.openapi import document
from perdure.server.http.parameters import BadParameter, set_field
from perdure.server.http.swagger import swagger
from perdure.server.http.transcoding import BadJson, from_json, to_json
from perdure.transport import CallFailed, Code, Handler, InProcessTransport

SERVICES = (
    workflow_service.DESCRIPTOR.services_by_name["WorkflowService"],
    operator_service.DESCRIPTOR.services_by_name["OperatorService"],
)

Nexus = Callable[[Request], Awaitable[Response | None]]
"""Answers requests of the Nexus protocol, and no others."""

STATUSES: dict[Code, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
"""The status of each code, as grpc-gateway has it."""

FORWARDED = ("authorization", "client-name", "client-version")
"""Headers that RPCs see; besides those that begin with one of `FORWARDED_PREFIXES`."""
FORWARDED_PREFIXES = ("temporal-", "x-temporal-")
METADATA_PREFIX = "grpc-metadata-"
"""Headers that begin so are seen without it."""
TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
UNITS_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2}).{0,2}")
STYLE_PARAMETERS = frozenset({"pretty", "noPayloadShorthand"})


class _Style:
    """How JSON is written and read, by the request's headers and its query."""

    def __init__(self, headers: Mapping[str, str], query: Mapping[str, list[str]]) -> None:
        accept, content = headers.get("accept", ""), headers.get("content-type", "")
        # What a client says of its own body holds for the answer, unless it asks for another.
        wanted = accept if accept.startswith("application/json") else content
        self.pretty = "pretty" in query or "+pretty" in wanted
        self.short_in = "no-payload-shorthand" not in content and "noPayloadShorthand" not in query
        self.short_out = "no-payload-shorthand" not in wanted and "noPayloadShorthand" not in query

    @property
    def content_type(self) -> str:
        """Of an answer."""
        return (
            "application/json"
            + "+pretty" * self.pretty
            + "+no-payload-shorthand" * (not self.short_out)
        )

    def answer(self, status: int, message: Message) -> Response:
        """A message as an answer."""
        body = to_json(message, shorthand=self.short_out, pretty=self.pretty)
        return Response(status, body, self.content_type)

    def failure(self, failure: CallFailed) -> Response:
        """How a call failed, as an answer."""
        status = Status(code=int(failure.code), message=failure.message)
        if failure.details:
            status = Status.FromString(failure.details)
        return self.answer(STATUSES[failure.code], status)


class Api:
    """What the server answers over HTTP. `is_local`: it listens on this machine only."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        metrics: Metrics | None,
        *,
        is_local: bool,
        nexus: Nexus | None = None,
    ) -> None:
        self._transport = InProcessTransport(handlers)
        self._metrics = metrics
        self._is_local = is_local
        self._nexus = nexus
        self._routes = Routes(SERVICES)

    async def answer(self, request: Request) -> Response:
        """The answer to a request, which never fails."""
        try:
            target = urlsplit(request.target)
            is_trusted = self._is_trusted(request.headers)
        except ValueError as error:  # Brackets that do not end are no host.
            refusal = CallFailed(Code.INVALID_ARGUMENT, str(error))
            return _Style(request.headers, {}).failure(refusal)
        query = parse_qs(target.query, keep_blank_values=True)
        style = _Style(request.headers, query)
        if (problem := _problem(target)) is not None:
            return style.failure(CallFailed(Code.INVALID_ARGUMENT, problem))
        if not is_trusted:
            return style.failure(CallFailed(Code.PERMISSION_DENIED, "origin or host not allowed"))
        if self._nexus is not None and (answer := await self._nexus(request)) is not None:
            return answer
        if request.method in ("GET", "HEAD"):
            page = self._page(target.path)
            if page is not None:
                return page
        found = self._routes.find(request.method, target.path)
        if isinstance(found, set):
            if found:
                return style.failure(CallFailed(Code.UNIMPLEMENTED, "Method Not Allowed"))
            return style.failure(CallFailed(Code.NOT_FOUND, "Not Found"))
        binding, texts = found
        try:
            message = _parsed(binding, texts, query, request.body, style)
            return style.answer(HTTPStatus.OK, await self._call(binding, message, request.headers))
        except (BadJson, BadParameter) as error:
            return style.failure(CallFailed(Code.INVALID_ARGUMENT, str(error)))
        except CallFailed as failure:
            return style.failure(failure)

    def _page(self, path: str) -> Response | None:
        if path in ("/openapi.json", "/api/v1/openapi.json", "/openapi.yaml"):
            # JSON is YAML as well.
            return Response(HTTPStatus.OK, document(self._routes.bindings))
        if path in ("/swagger.json", "/api/v1/swagger.json"):
            return Response(HTTPStatus.OK, swagger(self._routes.bindings))
        if path == "/metrics" and self._metrics is not None:
            return Response(HTTPStatus.OK, self._metrics.render(), METRICS_TYPE)
        return None

    async def _call(
        self, binding: Binding, message: Message, headers: Mapping[str, str]
    ) -> Message:
        method = binding.method
        name = f"/{method.containing_service.full_name}/{method.name}"
        answer = await self._transport.call(
            name, message.SerializeToString(), _metadata(headers), _timeout_seconds(headers)
        )
        return GetMessageClass(method.output_type).FromString(answer)

    def _is_trusted(self, headers: Mapping[str, str]) -> bool:
        """Whether no page of another site makes this request: browsers say where a page is from,
        and a name that leads to this machine by somebody's DNS is not ours."""
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc != headers.get("host", ""):
            return False
        return not self._is_local or host in ("", "localhost") or _is_address(host)


def _problem(target: SplitResult) -> str | None:
    """What is wrong with how an address is written, which others might understand otherwise."""
    for text in (target.path, target.query):
        if (escape := BAD_ESCAPE.search(text)) is not None:
            return f'invalid URL escape "{escape[0]}"'
        try:
            unquote(text, errors="strict")
        except UnicodeDecodeError:
            return "the address is not UTF-8"
    return "invalid semicolon separator in query" if ";" in target.query else None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _parsed(
    binding: Binding, texts: list[str], query: dict[str, list[str]], body: bytes, style: _Style
) -> Message:
    """The request of an RPC. Raises BadJson, BadParameter."""
    message = GetMessageClass(binding.method.input_type)()
    if binding.has_body and body:
        from_json(body, message, shorthand=style.short_in)
    if not binding.has_body:
        for name, values in query.items():
            if name not in STYLE_PARAMETERS:
                set_field(message, name, values)  # What there is not is passed over.
    for name, text in zip(binding.fields, texts, strict=True):
        set_field(message, name, [text])
    return message


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    found = {
        name: value
        for name, value in headers.items()
        if name in FORWARDED or name.startswith(FORWARDED_PREFIXES)
    }
    for name, value in headers.items():
        if name.startswith(METADATA_PREFIX):
            found[name.removeprefix(METADATA_PREFIX)] = value
    return found


def _timeout_seconds(headers: Mapping[str, str]) -> float | None:
    match = TIMEOUT.fullmatch(headers.get("grpc-timeout", ""))
    return int(match[1]) * UNITS_SECONDS[match[2]] if match else None
