"""Nexus on one server: its endpoints, calls to the handlers behind them, and completions that come
back. Implements `NexusCaller`.

A call goes to a worker that polls the endpoint's task queue, or over HTTP to a server elsewhere.
Each is one attempt, and whatever goes wrong with it is its outcome.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from temporalio.api.common.v1 import Payload
from temporalio.api.nexus.v1 import (
    CancelOperationRequest,
    EndpointTarget,
    Request,
    StartOperationRequest,
)
from temporalio.api.nexus.v1 import Endpoint as NexusEndpoint

from perdure.server.engine.api import EngineStopped, EngineUnavailable, NamespaceRef
from perdure.server.engine.clock import Clock
from perdure.server.engine.completions import CompletionRequest
from perdure.server.engine.dispatcher import Dispatcher
from perdure.server.engine.nexus import answers, calls, external
from perdure.server.engine.nexus.calls import CancelCall, Completion, NexusCompletions, StartCall
from perdure.server.engine.nexus.counting import NexusCounts
from perdure.server.engine.nexus.endpoints import Endpoints
from perdure.server.engine.nexus.link_headers import write_links
from perdure.server.engine.nexus.links import nexus_links
from perdure.server.engine.nexus.receiving import HandlerError, read_completion
from perdure.server.engine.nexus.tasks import NexusTasks, WorkerAnswer
from perdure.server.engine.nexus.tokens import HEADER, encode_address
from perdure.server.engine.posting import PostFailed, PostResponse
from perdure.server.machines.errors import NotFound, Rejected, ResourceExhausted
from perdure.server.machines.nexus.durations import milliseconds
from perdure.server.machines.nexus.failures import (
    ERROR_STATUSES,
    compact,
    handler_failed,
    handler_failure,
    plain_error,
)
from perdure.server.machines.nexus.outcomes import (
    CancelOutcome,
    HandlerFailed,
    StartOutcome,
    Unreachable,
)
from perdure.server.machines.ports import SECOND_NS, Ids, Limits
from perdure.server.store.ports import Store

SYSTEM_URL = "temporal://system"
"""Where handlers of this server send completions."""
USER_AGENT = "temporalio/server"
NOTHING = Payload(metadata={"encoding": b"binary/null"})
NAMESPACE_MARK = "{{.NamespaceName}}"
"""Stands for the caller's namespace in the address for completions from elsewhere."""

Post = Callable[[CompletionRequest, float], Awaitable[PostResponse]]
"""As the engine's callbacks have it."""


class FindNamespace(Protocol):
    """Finds namespaces that can be used."""

    def named(self, name: str) -> NamespaceRef | None:
        """One by its name."""
        ...

    def of_id(self, namespace_id: str) -> NamespaceRef | None:
        """One by its id."""
        ...


class _NoNamespaces:
    def named(self, name: str) -> NamespaceRef | None:
        return None

    def of_id(self, namespace_id: str) -> NamespaceRef | None:
        return None


NO_NAMESPACES: FindNamespace = _NoNamespaces()
"""An engine by itself knows none by their names."""


class NobodyWaits:
    """Takes no completions: nobody has started operations."""

    async def complete(self, namespace: NamespaceRef, completion: Completion) -> None:
        """Raises NotFound."""
        raise NotFound("operation not found")


class Nexus:
    """Nexus on one server."""

    def __init__(
        self,
        store: Store,
        dispatcher: Dispatcher,
        ids: Ids,
        clock: Clock,
        limits: Limits,
        post: Post,
        find_namespace: FindNamespace,
    ) -> None:
        self.counts = NexusCounts()
        self.endpoints = Endpoints(store, ids, clock)
        self.tasks = NexusTasks(dispatcher, clock, ids, self.counts)
        self.completions: NexusCompletions = NobodyWaits()
        """Set by whoever starts operations."""
        self.callback_url = limits.nexus_callback_url
        """Where handlers elsewhere send completions, with `NAMESPACE_MARK`; "" while there is no
        such place."""
        self._limits = limits
        self._post = post
        self._namespaces = find_namespace

    async def recover(self) -> None:
        """Know the endpoints again."""
        await self.endpoints.recover()

    def completions_come_to(self, host: str, port: int) -> None:
        """HTTP is spoken there: handlers elsewhere send completions to the first such place, unless
        they were told of another."""
        if not self.callback_url:
            named = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
            shown = f"[{named}]" if ":" in named else named
            self.callback_url = f"http://{shown}:{port}/namespaces/{NAMESPACE_MARK}/nexus/callback"

    # ---- NexusCaller

    def find(self, endpoint: str) -> calls.Endpoint | None:
        """The endpoint of a name, if there is one."""
        found = self.endpoints.by_name(endpoint)
        return None if found is None else calls.Endpoint(found.id, found.spec.name)

    async def start(self, call: StartCall) -> StartOutcome:
        """Ask a handler to start an operation."""
        endpoint = self._endpoint(call)
        if endpoint is None:
            return _absent("endpoint not registered")
        if not call.operation:
            return _absent("not found")  # Operations are paths: no handler has this one.
        callback_header = {HEADER: encode_address(call.completion)}
        if endpoint.spec.target.HasField("external"):
            return await self._start_elsewhere(endpoint, call, callback_header)
        request = Request(
            header=_header(call), endpoint=endpoint.spec.name, start_operation=_start_request(call)
        )
        request.start_operation.callback = SYSTEM_URL
        request.start_operation.callback_header.update(callback_header)
        try:
            answer = await self._ask(endpoint.spec.target.worker, request, call.timeout_ns)
        except HandlerError as error:
            return _refused(error)
        return answers.start_outcome(answer)

    async def cancel(self, call: CancelCall) -> CancelOutcome:
        """Ask a handler to cancel an operation."""
        endpoint = self._endpoint(call)
        if endpoint is None:
            return _absent("endpoint not registered")
        if endpoint.spec.target.HasField("external"):
            base = endpoint.spec.target.external.url
            response = await self._exchange(external.cancel_request(base, call), call.timeout_ns)
            if isinstance(response, Unreachable):
                return response
            return external.cancel_outcome(response)
        request = Request(
            header=_header(call),
            endpoint=endpoint.spec.name,
            cancel_operation=CancelOperationRequest(
                service=call.service,
                operation=call.operation,
                operation_id=call.operation_token,
                operation_token=call.operation_token,
            ),
        )
        try:
            answer = await self._ask(endpoint.spec.target.worker, request, call.timeout_ns)
        except HandlerError as error:
            return _refused(error)
        return answers.cancel_outcome(answer)

    # ---- completions

    async def receive(self, namespace: str | None, headers: Mapping[str, str], body: bytes) -> None:
        """A completion was posted, to the callback of a namespace or (None) to the system's own.
        It is durable when this returns. Raises HandlerError."""
        completion = read_completion(headers, body, self._limits.blob_size_bytes_max)
        owner = self._namespaces.of_id(completion.address.namespace_id)
        if owner is None or (namespace is not None and namespace != owner.name):
            raise HandlerError("BAD_REQUEST", "invalid callback token")
        try:
            await self._complete(owner, completion)
        except HandlerError as error:
            self.counts.completion(owner.name, f"error_{error.error_type.lower()}")
            raise
        self.counts.completion(owner.name, "success")

    async def _complete(self, owner: NamespaceRef, completion: Completion) -> None:
        try:
            await self.completions.complete(owner, completion)
        except NotFound as error:
            raise HandlerError("NOT_FOUND", str(error)) from error
        except ResourceExhausted as error:
            raise HandlerError("RESOURCE_EXHAUSTED", str(error)) from error
        except Rejected as error:
            raise HandlerError("BAD_REQUEST", str(error)) from error
        except (EngineUnavailable, EngineStopped) as error:
            raise HandlerError("UNAVAILABLE", str(error)) from error

    async def post(self, request: CompletionRequest, timeout_seconds: float) -> PostResponse:
        """Post a completion: one for this server takes no detour. Raises PostFailed."""
        if request.url != SYSTEM_URL:
            return await self._post(request, timeout_seconds)
        headers = {name.lower(): value for name, value in request.headers}
        try:
            await self.receive(None, headers, request.body)
        except HandlerError as error:
            body = compact(plain_error(error.error_type, str(error), error.is_retryable))
            return PostResponse(ERROR_STATUSES[error.error_type], error.error_type, body)
        return PostResponse(200, "OK", b"")

    # ---- on the way

    def _endpoint(self, call: StartCall | CancelCall) -> NexusEndpoint | None:
        if call.endpoint_id:
            return self.endpoints.by_id(call.endpoint_id)
        return self.endpoints.by_name(call.endpoint)

    async def _ask(
        self, worker: EndpointTarget.Worker, request: Request, timeout_ns: int
    ) -> WorkerAnswer | None:
        namespace = self._namespaces.named(worker.namespace)
        if namespace is None:
            raise HandlerError("NOT_FOUND", f'namespace not found: "{worker.namespace}"')
        # As by HTTP: of a request to cancel nobody says what failures its caller understands.
        request.capabilities.temporal_failure_responses = request.HasField("start_operation")
        try:
            return await self.tasks.ask(namespace, worker.task_queue, request, timeout_ns)
        except ResourceExhausted as error:
            raise HandlerError("RESOURCE_EXHAUSTED", str(error)) from error

    async def _start_elsewhere(
        self, endpoint: NexusEndpoint, call: StartCall, callback_header: Mapping[str, str]
    ) -> StartOutcome:
        url = self.callback_url.replace(NAMESPACE_MARK, call.namespace.name)
        request = external.start_request(
            endpoint.spec.target.external.url, call, url, callback_header if url else {}
        )
        response = await self._exchange(request, call.timeout_ns)
        return response if isinstance(response, Unreachable) else external.start_outcome(response)

    async def _exchange(
        self, request: CompletionRequest, timeout_ns: int
    ) -> PostResponse | Unreachable:
        try:
            return await self._post(request, timeout_ns / SECOND_NS)
        except PostFailed as error:
            return Unreachable(str(error), is_timeout=isinstance(error.__cause__, TimeoutError))


def _start_request(call: StartCall) -> StartOperationRequest:
    request = StartOperationRequest(
        service=call.service,
        operation=call.operation,
        request_id=call.request_id,
        links=nexus_links(call.links),
    )
    # Over HTTP, nothing and null are the same.
    payload = Payload.FromString(call.payload) if call.payload else NOTHING
    request.payload.CopyFrom(payload)
    return request


def _header(call: StartCall | CancelCall) -> dict[str, str]:
    """What a worker is told beside the request, as if it had come by HTTP."""
    header = {name.lower(): value for name, value in call.header.items()}
    header["user-agent"] = USER_AGENT
    if call.links:
        header["nexus-link"] = write_links(nexus_links(call.links))
    if isinstance(call, CancelCall):
        header["content-length"] = "0"
        return header
    header["nexus-request-id"] = call.request_id
    if call.operation_timeout_ns:
        header.setdefault("operation-timeout", milliseconds(call.operation_timeout_ns))
    return header


def _absent(message: str) -> HandlerFailed:
    return handler_failed(handler_failure("NOT_FOUND", message))


def _refused(error: HandlerError) -> HandlerFailed:
    return handler_failed(handler_failure(error.error_type, str(error)))
