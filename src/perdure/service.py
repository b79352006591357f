"""Calls to the service: which errors there are, what is tried again, and with which headers.

A `ServiceClient` turns messages into bytes for a `Transport` and answers into messages. It tries
again what failed for a passing reason, with the same bytes, and so with the same request id: the
service tells a repeated request from a new one by that id.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from functools import cached_property
from typing import Any, Protocol, TypeVar, cast

from google.protobuf import message_factory
from google.protobuf.message import Message
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.operatorservice.v1 import service_pb2 as operator_service_pb2
from temporalio.api.workflowservice.v1 import (
    GetSystemInfoRequest,
    GetSystemInfoResponse,
    PollWorkflowTaskQueueResponse,
)
from temporalio.api.workflowservice.v1 import service_pb2 as workflow_service_pb2

from perdure import __version__
from perdure._large_requests import LargeRequests
from perdure._request_headers import ConnectionHeaders, headers_of_call
from perdure.exceptions import PerdureError
from perdure.runtime import Runtime
from perdure.transport.connection_options import (
    DnsLoadBalancingConfig,
    GrpcCompression,
    HttpConnectProxyConfig,
    KeepAliveConfig,
    TLSConfig,
)
from perdure.transport.port import CallFailed, Code, Transport

__all__ = [
    "CloudService",
    "ConnectConfig",
    "DnsLoadBalancingConfig",
    "GrpcCompression",
    "HealthService",
    "HttpConnectProxyConfig",
    "KeepAliveConfig",
    "OperatorService",
    "PayloadLimitsConfig",
    "RPCError",
    "RPCStatusCode",
    "RetryConfig",
    "ServiceClient",
    "ServiceRequest",
    "ServiceResponse",
    "TLSConfig",
    "TestService",
    "WorkflowService",
]

WORKFLOW_SERVICE = workflow_service_pb2.DESCRIPTOR.services_by_name["WorkflowService"]
WORKFLOW_METHODS = f"/{WORKFLOW_SERVICE.full_name}/"
OPERATOR_SERVICE = operator_service_pb2.DESCRIPTOR.services_by_name["OperatorService"]

PAYLOADS_WARN_BYTES = 512 * 1024
MEMO_WARN_BYTES = 2 * 1024
"""From which size on the service itself warns of values and memos, unless it is set otherwise."""

CALL_TIMEOUT_SECONDS = 30.0
"""A call that does not wait for anything has been lost after this long."""
LONG_POLL_TIMEOUT_SECONDS = 70.0
"""The service itself ends a long poll after about a minute."""
TIMEOUT_SECONDS_MIN = 0.001
"""A timeout that is over is still one, and not none."""

Metadata = Mapping[str, str | bytes]
ServiceRequest = TypeVar("ServiceRequest", bound=Message)
ServiceResponse = TypeVar("ServiceResponse", bound=Message)


class RPCStatusCode(IntEnum):
    """gRPC's status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RPCError(PerdureError):
    """A call ended with a status other than OK."""

    def __init__(self, message: str, status: RPCStatusCode, raw_grpc_status: bytes) -> None:
        super().__init__(message)
        self._message = message
        self._status = status
        self._raw_grpc_status = raw_grpc_status

    @property
    def message(self) -> str:
        """What the service said."""
        return self._message

    @property
    def status(self) -> RPCStatusCode:
        """Which kind of failure it was."""
        return self._status

    @property
    def raw_grpc_status(self) -> bytes:
        """The serialised google.rpc.Status, with the typed details."""
        return self._raw_grpc_status

    @property
    def grpc_status(self) -> GrpcStatus:
        """The status with its typed details."""
        return GrpcStatus.FromString(self._raw_grpc_status)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._message, self._status, self._raw_grpc_status)


@dataclass
class RetryConfig:
    """When calls that failed for a passing reason are tried again.

    Waits `initial_interval_millis * multiplier ** n`, at most `max_interval_millis`, give or take
    the share `randomization_factor`; gives up after `max_retries` retries, or when another wait
    would end later than `max_elapsed_time_millis` (None: no such limit) after the first attempt.
    """

    initial_interval_millis: int = 100
    randomization_factor: float = 0.2
    multiplier: float = 1.5
    max_interval_millis: int = 5000
    max_elapsed_time_millis: int | None = 10000
    max_retries: int = 10

    def wait_seconds(self, retries: int) -> float:
        """How long to wait after so many retries."""
        wait = min(
            self.initial_interval_millis * self.multiplier**retries, self.max_interval_millis
        )
        spread = self.randomization_factor * (2 * random.random() - 1)
        return wait * (1 + spread) / 1000

    def gives_up(self, retries: int, elapsed_seconds: float) -> bool:
        """Whether there is no further attempt when that much time will have passed."""
        limit = self.max_elapsed_time_millis
        return retries >= self.max_retries or (limit is not None and elapsed_seconds * 1000 > limit)


THROTTLED = RetryConfig(
    initial_interval_millis=1000,
    multiplier=2.0,
    max_interval_millis=10000,
    max_elapsed_time_millis=None,
    max_retries=10,
)
"""A service that refuses for lack of resources is given more time."""

PASSING = frozenset(
    {
        Code.UNKNOWN,
        Code.RESOURCE_EXHAUSTED,
        Code.ABORTED,
        Code.OUT_OF_RANGE,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    }
)
"""What may succeed when it is tried again."""

_TOO_LARGE = "message larger than max"
"""A RESOURCE_EXHAUSTED with these words will never pass."""


@dataclass(frozen=True)
class PayloadLimitsConfig:
    """From which size on, in bytes, a warning is logged of values that are sent; 0: never.

    `payloads_warn_size` is of the values of one field, `memo_warn_size` of a memo.
    """

    payloads_warn_size: int = PAYLOADS_WARN_BYTES
    memo_warn_size: int = MEMO_WARN_BYTES


@dataclass
class ConnectConfig:
    """Where the service is and how to speak to it."""

    target_host: str
    api_key: str | None = None
    tls: bool | TLSConfig | None = None
    """None means: exactly when there is an API key."""
    retry_config: RetryConfig | None = None
    keep_alive_config: KeepAliveConfig | None = KeepAliveConfig.default
    rpc_metadata: Metadata = field(default_factory=dict)
    identity: str = ""
    lazy: bool = False
    runtime: Runtime | None = None
    """Where metrics go; None: the default one."""
    http_connect_proxy_config: HttpConnectProxyConfig | None = None
    dns_load_balancing_config: DnsLoadBalancingConfig | None = None
    grpc_compression: GrpcCompression = GrpcCompression.GZIP
    payload_limits: PayloadLimitsConfig = field(default_factory=PayloadLimitsConfig)
    connect_timeout: timedelta | None = None

    def __post_init__(self) -> None:
        self.identity = self.identity or f"{os.getpid()}@{socket.gethostname()}"
        self.runtime = self.runtime or Runtime.default()


class EagerWorkflowSlot(Protocol):
    """A place in a worker, reserved for the first task of a workflow that is being started."""

    def fill(self, task: PollWorkflowTaskQueueResponse) -> None:
        """Run the task here."""

    def release(self) -> None:
        """The service gave no task: free the place."""


class ServiceClient:
    """The service over one transport. All clients of one connection share it."""

    def __init__(self, config: ConnectConfig, transport: Transport) -> None:
        self.config = config
        self.transport = transport
        self._process_id = os.getpid()
        self.workflow_service = WorkflowService(self)
        self.operator_service = OperatorService(self)
        self.eager_workflow_slots: dict[
            tuple[str, str], Callable[[], EagerWorkflowSlot | None]
        ] = {}
        """By namespace and task queue: the workers of this connection that take eager starts."""
        assert config.runtime is not None
        self._metrics = config.runtime._request_metrics
        self._large_requests = LargeRequests(
            payloads_warn_bytes=config.payload_limits.payloads_warn_size,
            memo_warn_bytes=config.payload_limits.memo_warn_size,
        )
        self._given_headers = ConnectionHeaders()
        self._headers: dict[str, str | bytes] = {}
        self._headers_by_namespace: dict[str, dict[str, str | bytes]] = {}
        self.update_rpc_metadata(config.rpc_metadata)

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was made here: sockets and locks do not survive a fork."""
        return self._process_id == os.getpid()

    @property
    def serves_any_loop(self) -> bool:
        """Whether calls from other event loops have connections of their own."""
        return getattr(self.transport, "has_connection_per_loop", False)

    @property
    def worker_service_client(self) -> ServiceClient:
        """The one that workers use. A stand-in for a service client that says so here can be
        wrapped around this one."""
        return self

    @cached_property
    def test_service(self) -> TestService:
        """The RPCs by which tests have time skipped, where the service serves them."""
        return TestService(self)

    @cached_property
    def cloud_service(self) -> CloudService:
        """The RPCs by which Temporal Cloud is managed, where the service is that."""
        return CloudService(self)

    @cached_property
    def health_service(self) -> HealthService:
        """The RPCs by which any gRPC server says whether it is well."""
        return HealthService(self)

    async def check_health(
        self,
        *,
        service: str = WORKFLOW_SERVICE.full_name,
        retry: bool = False,
        metadata: Metadata | None = None,
        timeout: timedelta | None = None,
    ) -> bool:
        """Whether a service of the server is up. Raises RPCError when the server does not answer,
        and when it does not know the service."""
        from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

        response = await self.health_service.check(
            HealthCheckRequest(service=service), retry=retry, metadata=metadata, timeout=timeout
        )
        return bool(response.status == HealthCheckResponse.SERVING)

    @staticmethod
    async def connect(config: ConnectConfig) -> ServiceClient:
        """A client of the service over a session, or over gRPC where there are none. Unless lazy,
        it has answered when this returns.

        Raises RuntimeError when it cannot be reached, AssertionError in a process that was forked
        after its runtime had connected.
        """
        assert config.runtime is not None
        if config.runtime._connected_in not in (None, os.getpid()):
            raise AssertionError("Cannot create client across forks")
        config.runtime._connected_in = os.getpid()
        # A program whose engine is its own needs no gRPC, which takes long to import.
        from perdure.transport.grpc_client import ChannelOptions, GrpcTransport
        from perdure.transport.grpc_session import GrpcSessionTransport
        from perdure.transport.per_loop import PerLoopTransport

        options = ChannelOptions(
            tls=config.api_key is not None if config.tls is None else config.tls,
            keep_alive=config.keep_alive_config,
            proxy=config.http_connect_proxy_config,
            load_balancing=config.dns_load_balancing_config,
            compression=config.grpc_compression,
            connect_timeout=config.connect_timeout,
        )
        transport = PerLoopTransport(
            lambda: GrpcSessionTransport(GrpcTransport(config.target_host, options))
        )
        client = ServiceClient(config, transport)
        if config.lazy:
            return client
        try:
            await client.check_connection()
        except RPCError as error:
            await transport.close()
            raise RuntimeError(f"Failed client connect: {error.status.name}: {error}") from error
        return client

    async def check_connection(self) -> GetSystemInfoResponse:
        """What the service can do. Old services that do not say so can do nothing special."""
        try:
            return await self.call(
                "GetSystemInfo",
                GetSystemInfoRequest(),
                GetSystemInfoResponse,
                retry=False,
                timeout=self.config.connect_timeout,
            )
        except RPCError as error:
            if error.status is RPCStatusCode.UNIMPLEMENTED:
                return GetSystemInfoResponse()
            raise

    def call(
        self,
        rpc: str,
        request: Message,
        response_type: type[ServiceResponse],
        *,
        retry: bool = True,
        namespace: str = "",
        metadata: Metadata | None = None,
        timeout: timedelta | None = None,
        long_poll: bool = False,
    ) -> Coroutine[Any, Any, ServiceResponse]:
        """The answer of an RPC of the workflow service. Raises RPCError.

        Without a timeout of its own, a long poll that ended without an answer is begun anew for
        ever; other calls give up as the retry configuration says.
        """
        replaced = self.workflow_service.replacement_of(rpc)
        if replaced is not None:
            answer: Coroutine[Any, Any, ServiceResponse] = replaced(
                request, retry=retry, metadata=metadata or {}, timeout=timeout
            )
            return answer
        return self.call_method(
            f"{WORKFLOW_METHODS}{rpc}",
            request,
            response_type,
            retry=retry,
            namespace=namespace,
            metadata=metadata,
            timeout=timeout,
            long_poll=long_poll,
        )

    async def call_method(
        self,
        method: str,
        request: Message,
        response_type: type[ServiceResponse],
        *,
        retry: bool,
        metadata: Metadata | None,
        timeout: timedelta | None,
        namespace: str = "",
        long_poll: bool = False,
    ) -> ServiceResponse:
        """`call` for a method by its full name."""
        # The port speaks of text; gRPC also carries bytes, under names that end in -bin.
        headers = cast(Mapping[str, str], self._headers_of(namespace, metadata))
        encoded = request.SerializeToString()
        large = self._large_requests
        if large.bytes_min is not None and len(encoded) > large.bytes_min:
            large.look_at(method, request, len(encoded))
        seconds = _seconds(timeout, long_poll)
        attempts = None
        started = begun = time.monotonic()
        metrics = self._metrics
        while True:
            try:
                answer = await self.transport.call(method, encoded, headers, seconds)
                if metrics is not None:
                    metrics.note(method, namespace, begun, long_poll=long_poll)
                return response_type.FromString(answer)
            except CallFailed as failed:
                if metrics is not None:
                    code = failed.code.name
                    metrics.note(method, namespace, begun, long_poll=long_poll, failed=code)
                if attempts is None:
                    retries = self.config.retry_config or RetryConfig()
                    attempts = _Attempts(retries, retry, timeout, long_poll, started)
                if not attempts.go_on_after(failed):
                    raise _error(failed) from None
            await asyncio.sleep(attempts.wait_seconds)
            seconds = attempts.time_left()
            begun = time.monotonic()

    def _headers_of(self, namespace: str, metadata: Metadata | None) -> Metadata:
        headers = self._headers
        if namespace:
            known = self._headers_by_namespace.get(namespace)
            if known is None:
                known = {"temporal-namespace": namespace}
                known = self._headers_by_namespace[namespace] = {**headers, **known}
            headers = known
        return {**headers, **headers_of_call(metadata)} if metadata else headers

    def update_rpc_metadata(self, metadata: Metadata) -> None:
        """Replace the headers that go with every call.

        Raises ValueError and TypeError for those that gRPC cannot carry, as
        `ConnectionHeaders.replace` does.
        """
        try:
            self._given_headers.replace(metadata)
            self.config.rpc_metadata = metadata
        finally:
            self._refresh_headers()

    def _refresh_headers(self) -> None:
        self._headers_by_namespace.clear()
        self._headers = {
            "client-name": "perdure-python",
            "client-version": __version__,
            **self._given_headers.all,
        }
        if self.config.api_key is not None:
            self._headers.setdefault("authorization", f"Bearer {self.config.api_key}")

    def update_api_key(self, api_key: str | None) -> None:
        """Replace the key that goes with every call."""
        self.config.api_key = api_key
        self._refresh_headers()

    async def close(self) -> None:
        """Give up the connection, when the transport has one of its own."""
        close = getattr(self.transport, "close", None)
        if close is not None:
            await close()


class RPCs:
    """A service's methods by their names in snake case: `service.get_system_info(request)`.

    A method that a test sets in place of one of them is what clients and workers call too.
    """

    def __init__(self, client: ServiceClient, service: Any) -> None:
        self._client = client
        self._methods: dict[str, Any] = {_snake(method.name): method for method in service.methods}
        self._service_name: str = service.full_name
        self._own_attributes = len(vars(self)) + 1

    def replacement_of(self, rpc: str) -> Callable[..., Any] | None:
        """What was set in place of an RPC; its own method, set again, is not."""
        attributes = vars(self)
        if len(attributes) == self._own_attributes:
            return None
        replacement: Callable[..., Any] | None = attributes.get(_snake(rpc))
        return None if hasattr(replacement, "_rpc") else replacement

    def __dir__(self) -> Iterable[str]:
        return self._methods

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = self._methods.get(name)
        if method is None:
            raise AttributeError(f"{self._service_name} has no method {name}")
        response_type = message_factory.GetMessageClass(method.output_type)

        async def call(
            request: Message,
            *,
            retry: bool = False,
            metadata: Metadata | None = None,
            timeout: timedelta | None = None,
        ) -> Any:
            return await self._client.call_method(
                f"/{self._service_name}/{method.name}",
                request,
                response_type,
                retry=retry,
                metadata=metadata,
                timeout=timeout,
            )

        call._rpc = method.name  # type: ignore[attr-defined]
        return call


class WorkflowService(RPCs):
    """The RPCs of workflows."""

    def __init__(self, client: ServiceClient) -> None:
        super().__init__(client, WORKFLOW_SERVICE)


class OperatorService(RPCs):
    """The RPCs of who operates a service."""

    def __init__(self, client: ServiceClient) -> None:
        super().__init__(client, OPERATOR_SERVICE)


class CloudService(RPCs):
    """The RPCs of Temporal Cloud."""

    def __init__(self, client: ServiceClient) -> None:
        # Few programs need it, and it is large.
        from temporalio.api.cloud.cloudservice.v1 import service_pb2

        super().__init__(client, service_pb2.DESCRIPTOR.services_by_name["CloudService"])


class TestService(RPCs):
    """The RPCs of servers for tests."""

    __test__ = False

    def __init__(self, client: ServiceClient) -> None:
        from temporalio.api.testservice.v1 import service_pb2

        super().__init__(client, service_pb2.DESCRIPTOR.services_by_name["TestService"])


class HealthService(RPCs):
    """The RPCs of a server's health. Watching it is not offered."""

    def __init__(self, client: ServiceClient) -> None:
        from grpc_health.v1 import health_pb2

        super().__init__(client, health_pb2.DESCRIPTOR.services_by_name["Health"])


class _Attempts:
    """One call's attempts so far, and whether there is another."""

    def __init__(
        self,
        retries: RetryConfig,
        retry: bool,
        timeout: timedelta | None,
        long_poll: bool,
        started: float | None = None,
    ) -> None:
        self._retries = retries
        self._retry = retry
        self._long_poll = long_poll
        self._started = time.monotonic() if started is None else started
        self._deadline = None if timeout is None else self._started + timeout.total_seconds()
        self._count = 0
        self.wait_seconds = 0.0
        """How long to wait before the attempt that `go_on_after` allowed."""

    def time_left(self) -> float:
        """How long the next attempt may take."""
        if self._deadline is not None:
            return max(self._deadline - time.monotonic(), TIMEOUT_SECONDS_MIN)
        return _seconds(None, self._long_poll)

    def go_on_after(self, failed: CallFailed) -> bool:
        """Whether the call is tried again."""
        if not self._retry:
            return False
        if self._long_poll and self._deadline is None and failed.code is Code.DEADLINE_EXCEEDED:
            self.wait_seconds = 0.0
            return True
        if failed.code not in PASSING or _TOO_LARGE in failed.message:
            return False
        throttled = failed.code is Code.RESOURCE_EXHAUSTED
        config = THROTTLED if throttled else self._retries
        self.wait_seconds = config.wait_seconds(self._count)
        then = time.monotonic() + self.wait_seconds
        if self._deadline is not None and then >= self._deadline:
            return False
        if not self._long_poll and config.gives_up(self._count, then - self._started):
            return False
        self._count += 1
        return True


def _seconds(timeout: timedelta | None, long_poll: bool) -> float:
    """How long a first attempt may take."""
    if timeout is not None:
        return max(timeout.total_seconds(), TIMEOUT_SECONDS_MIN)
    return LONG_POLL_TIMEOUT_SECONDS if long_poll else CALL_TIMEOUT_SECONDS


def _error(failed: CallFailed) -> RPCError:
    details = failed.details
    if not details:
        details = GrpcStatus(code=int(failed.code), message=failed.message).SerializeToString()
    return RPCError(failed.message, RPCStatusCode(int(failed.code)), details)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
