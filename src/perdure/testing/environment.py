"""The composition root of tests: an engine in this process, for as long as a test wants it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import msgspec
from google.protobuf.empty_pb2 import Empty
from temporalio.api.nexus.v1 import Endpoint, EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import (
    CreateNexusEndpointRequest,
    DeleteNexusEndpointRequest,
)
from temporalio.api.testservice.v1 import SleepRequest

from perdure._embedded import opened_service
from perdure.client import Client, Interceptor, Plugin, WorkflowHandle
from perdure.common import QueryRejectCondition, SearchAttributeKey
from perdure.converter import DataConverter
from perdure.runtime import Runtime
from perdure.server.app import IN_MEMORY, transport_of
from perdure.server.config import (
    DEFAULT_NAMESPACE,
    Settings,
    parse_overrides,
    parse_search_attributes,
)
from perdure.service import ConnectConfig, RetryConfig, ServiceClient, TLSConfig
from perdure.testing.assertions import with_failing_assertions
from perdure.testing.server_process import ServerProcess
from perdure.testing.skipping import SkippingTransport
from perdure.transport.health import with_health
from perdure.transport.in_process import InProcessTransport
from perdure.transport.port import CallFailed, Code, Transport

_GRACE_SECONDS = 0.1
_LOCALHOST = "127.0.0.1"
_SLEEP_MARGIN = timedelta(seconds=60)
_KNOWN_ARGUMENTS = ("--dynamic-config-value", "--namespace", "-n", "--search-attribute")


class WorkflowEnvironment:
    """A service to test workflows against.

    Use `start_local` for an engine of its own, `start_time_skipping` for one whose time skips, or
    `from_client` for a service that exists. It ends with `shutdown`, or as `async with`.

    An assertion that does not hold in a workflow, run by a worker of this client, fails it.
    """

    def __init__(
        self,
        client: Client,
        resources: AsyncExitStack | None = None,
        skipping: SkippingTransport | None = None,
    ) -> None:
        self._client = with_failing_assertions(client)
        self._resources = resources or AsyncExitStack()
        self._skipping = skipping

    @staticmethod
    def from_client(client: Client) -> WorkflowEnvironment:
        """An environment of a service that exists, which `shutdown` leaves alone."""
        return WorkflowEnvironment(client)

    @staticmethod
    async def start_local(
        *,
        namespace: str = DEFAULT_NAMESPACE,
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        plugins: Sequence[Plugin] = (),
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        retry_config: RetryConfig | None = None,
        rpc_metadata: Mapping[str, str | bytes] | None = None,
        identity: str | None = None,
        tls: bool | TLSConfig = False,
        ip: str = "127.0.0.1",
        port: int | None = None,
        download_dest_dir: str | None = None,
        ui: bool = False,
        ui_port: int | None = None,
        runtime: Runtime | None = None,
        search_attributes: Sequence[SearchAttributeKey[Any]] = (),
        dev_server_existing_path: str | None = None,
        dev_server_database_filename: str | None = None,
        dev_server_log_format: str = "pretty",
        dev_server_log_level: str | None = "warn",
        dev_server_download_version: str = "default",
        dev_server_extra_args: Sequence[str] = (),
        dev_server_download_ttl: timedelta | None = None,
        dev_server_startup_timeout: timedelta | None = None,
    ) -> WorkflowEnvironment:
        """An engine in this process, on its event loop, and a client of it.

        It also listens, at `ip` and `port` (None: a free one), for whoever else wants to call it;
        `client.service_client.config.target_host` tells where. Of `dev_server_extra_args` it takes
        `--dynamic-config-value KEY=JSON`, `--namespace` and `--search-attribute NAME=TYPE`.

        With `dev_server_existing_path`, that program is started instead, as
        `PATH server start-dev`. Nothing is ever downloaded; there is no web page; TLS is not
        served: what is asked for these is accepted and has no effect.
        """
        del download_dest_dir, dev_server_download_version, dev_server_download_ttl, tls
        async with AsyncExitStack() as resources:
            transport: InProcessTransport | None = None
            if dev_server_existing_path is not None:
                arguments = _arguments_of(
                    namespace, search_attributes, dev_server_database_filename, ui, ui_port
                )
                arguments += _log_arguments(dev_server_log_format, dev_server_log_level)
                arguments += dev_server_extra_args
                process = ServerProcess(
                    dev_server_existing_path,
                    ip,
                    port,
                    lambda bound: _dev_server_arguments(ip, bound, arguments),
                    dev_server_startup_timeout,
                )
                target = await resources.enter_async_context(process)
            else:
                settings = _settings_of(
                    ip, port, namespace, search_attributes, dev_server_database_filename
                )
                settings = _with_options(settings, dev_server_extra_args)
                target, transport = await _start_here(settings, resources)
            config = ConnectConfig(
                target_host=target,
                retry_config=retry_config,
                rpc_metadata=rpc_metadata or {},
                identity=identity or "",
                runtime=runtime,
            )
            client = Client(
                await _connected(config, transport),
                namespace=namespace,
                data_converter=data_converter,
                plugins=plugins,
                interceptors=interceptors,
                default_workflow_query_reject_condition=default_workflow_query_reject_condition,
            )
            return WorkflowEnvironment(client, resources.pop_all())

    @staticmethod
    async def start_time_skipping(
        *,
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        plugins: Sequence[Plugin] = (),
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        retry_config: RetryConfig | None = None,
        rpc_metadata: Mapping[str, str | bytes] | None = None,
        identity: str | None = None,
        port: int | None = None,
        download_dest_dir: str | None = None,
        runtime: Runtime | None = None,
        test_server_existing_path: str | None = None,
        test_server_download_version: str = "default",
        test_server_extra_args: Sequence[str] = (),
        test_server_download_ttl: timedelta | None = None,
        test_server_startup_timeout: timedelta | None = None,
    ) -> WorkflowEnvironment:
        """An engine in this process whose time skips: to whatever is due next, as soon as no worker
        has anything to do, while a client of it waits for a result, or a test in `sleep`.

        It is one clock for all workflows. Of `test_server_extra_args` it takes
        `--dynamic-config-value KEY=JSON`, `--namespace` and `--search-attribute NAME=TYPE`.

        With `test_server_existing_path`, that program is started instead, as `PATH PORT`. Nothing
        is ever downloaded.
        """
        del download_dest_dir, test_server_download_version, test_server_download_ttl
        async with AsyncExitStack() as resources:
            inner: Transport | None = None
            if test_server_existing_path is not None:
                process = ServerProcess(
                    test_server_existing_path,
                    _LOCALHOST,
                    port,
                    lambda bound: [str(bound), *test_server_extra_args],
                    test_server_startup_timeout,
                )
                target = await resources.enter_async_context(process)
            else:
                settings = _settings_of(_LOCALHOST, port, DEFAULT_NAMESPACE, (), None)
                settings = msgspec.structs.replace(settings, skips_time=True)
                settings = _with_options(settings, test_server_extra_args)
                target, inner = await _start_here(settings, resources)
            config = ConnectConfig(
                target_host=target,
                retry_config=retry_config,
                rpc_metadata=rpc_metadata or {},
                identity=identity or "",
                runtime=runtime,
            )
            if inner is None:
                connected = await ServiceClient.connect(config)
                resources.push_async_callback(connected.close)
                inner = connected.transport
            skipping = SkippingTransport(inner)
            client = Client(
                ServiceClient(config, skipping),
                data_converter=data_converter,
                plugins=plugins,
                interceptors=interceptors,
                default_workflow_query_reject_condition=default_workflow_query_reject_condition,
            )
            return WorkflowEnvironment(client, resources.pop_all(), skipping)

    @property
    def client(self) -> Client:
        """A client of the service."""
        return self._client

    async def connect_client(self, **kwargs: Any) -> Client:
        """Another client of the same service; the arguments are those of `Client.connect`."""
        config = self._client.service_client.config
        kwargs.setdefault("namespace", self._client.namespace)
        kwargs.setdefault("runtime", config.runtime)
        return await Client.connect(config.target_host, **kwargs)

    async def shutdown(self) -> None:
        """Ends what `start_local` began."""
        await self._resources.aclose()

    async def create_nexus_endpoint(self, endpoint_name: str, task_queue: str) -> Endpoint:
        """Makes a Nexus endpoint that leads to a task queue of the client's namespace."""
        worker = EndpointTarget.Worker(namespace=self._client.namespace, task_queue=task_queue)
        spec = EndpointSpec(name=endpoint_name, target=EndpointTarget(worker=worker))
        response = await self._client.operator_service.create_nexus_endpoint(
            CreateNexusEndpointRequest(spec=spec)
        )
        endpoint: Endpoint = response.endpoint
        return endpoint

    async def delete_nexus_endpoint(self, endpoint: Endpoint) -> None:
        """Deletes a Nexus endpoint."""
        await self._client.operator_service.delete_nexus_endpoint(
            DeleteNexusEndpointRequest(id=endpoint.id, version=endpoint.version)
        )

    async def sleep(self, duration: timedelta | float) -> None:
        """Waits for so long, by the service's clock. Time that can be skipped is skipped, also when
        an activity sleeps."""
        if isinstance(duration, int | float):
            duration = timedelta(seconds=duration)
        if self._skipping is None:
            await asyncio.sleep(duration.total_seconds())
            return
        request = SleepRequest()
        request.duration.FromTimedelta(duration)
        # Where nothing can be skipped it takes as long as it says.
        await self._client.test_service.unlock_time_skipping_with_sleep(
            request, timeout=duration + _SLEEP_MARGIN
        )

    async def get_current_time(self, handle: WorkflowHandle[Any, Any] | None = None) -> datetime:
        """The time by the service's clock, which is the same for all workflows."""
        del handle
        if self._skipping is None:
            return datetime.now(UTC)
        answer = await self._client.test_service.get_current_time(Empty())
        now: datetime = answer.time.ToDatetime(tzinfo=UTC)
        return now

    @property
    def supports_time_skipping(self) -> bool:
        """Whether the service's clock can be ahead of the real one."""
        return self.supports_time_skipping_v1 or self.supports_time_skipping_v2

    @property
    def supports_time_skipping_v1(self) -> bool:
        """Whether all workflows have one clock, which skips."""
        return self._skipping is not None

    @property
    def supports_time_skipping_v2(self) -> bool:
        """Whether each workflow has a clock of its own, which skips: they have not."""
        return False

    @contextmanager
    def auto_time_skipping_disabled(self) -> Iterator[None]:
        """Time does not skip for results that are waited for inside; `sleep` skips it all the
        same."""
        if self._skipping is None:
            yield
            return
        with self._skipping.disabled():
            yield

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shuts down."""
        await self.shutdown()


def _dev_server_arguments(ip: str, port: int, more: Sequence[str]) -> list[str]:
    return ["server", "start-dev", "--ip", ip, "--port", str(port), *more]


def _log_arguments(log_format: str, level: str | None) -> list[str]:
    return ["--log-format", log_format, *(["--log-level", level] if level else [])]


async def _start_here(
    settings: Settings, resources: AsyncExitStack
) -> tuple[str, InProcessTransport]:
    """An engine on this loop: where it listens, and the short way to it."""
    service = await resources.enter_async_context(opened_service(settings))
    listener = transport_of(settings.transport)(
        service.handlers, host=settings.host, port=settings.port, open_state=service.open_session
    )
    bound = await listener.start()
    resources.push_async_callback(listener.stop, _GRACE_SECONDS)
    transport = InProcessTransport(with_health(service.handlers))
    resources.callback(transport.close, _ended())
    return f"{settings.host}:{bound}", transport


async def _connected(config: ConnectConfig, transport: InProcessTransport | None) -> ServiceClient:
    if transport is not None:
        return ServiceClient(config, transport)
    return await ServiceClient.connect(config)


def _settings_of(
    ip: str,
    port: int | None,
    namespace: str,
    search_attributes: Sequence[SearchAttributeKey[Any]],
    database: str | None,
) -> Settings:
    return Settings(
        host=ip,
        port=port or 0,
        database=IN_MEMORY if database is None else os.fspath(database),
        namespaces=tuple(dict.fromkeys((DEFAULT_NAMESPACE, namespace))),
        search_attributes=parse_search_attributes(_named(search_attributes)),
    )


def _with_options(settings: Settings, arguments: Sequence[str]) -> Settings:
    given = _options_of(arguments)
    attributes = parse_search_attributes(given["--search-attribute"])
    more = (*given["--namespace"], *given["-n"])
    return msgspec.structs.replace(
        settings,
        namespaces=tuple(dict.fromkeys((*settings.namespaces, *more))),
        search_attributes={**settings.search_attributes, **attributes},
        limits=parse_overrides(given["--dynamic-config-value"]),
    )


def _options_of(arguments: Sequence[str]) -> dict[str, list[str]]:
    """The values of each option. Raises ValueError for one that has no meaning in this process."""
    found: dict[str, list[str]] = {name: [] for name in _KNOWN_ARGUMENTS}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name not in found:
            raise ValueError(
                f"{argument!r} is not an option of the engine in this process; those are "
                f"{', '.join(_KNOWN_ARGUMENTS)}"
            )
        found[name].append(value if equals else next(rest, ""))
    return found


def _arguments_of(
    namespace: str,
    search_attributes: Sequence[SearchAttributeKey[Any]],
    database: str | None,
    ui: bool,
    ui_port: int | None,
) -> list[str]:
    """The options of a server in a process of its own."""
    arguments = ["--namespace", namespace]
    if database is not None:
        arguments += ["--db-filename", database]
    if not ui:
        arguments.append("--headless")
    elif ui_port is not None:
        arguments += ["--ui-port", str(ui_port)]
    for attribute in _named(search_attributes):
        arguments += ["--search-attribute", attribute]
    return arguments


def _named(search_attributes: Sequence[SearchAttributeKey[Any]]) -> list[str]:
    return [f"{key.name}={key.metadata_type}" for key in search_attributes]


def _ended() -> CallFailed:
    """Of a kind that is not tried again."""
    return CallFailed(Code.FAILED_PRECONDITION, "the workflow environment has been shut down")
