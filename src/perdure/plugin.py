"""A plugin that is made of its parts, without a class of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias, TypeVar

from perdure.client import ClientConfig, WorkflowHistory
from perdure.client import Interceptor as ClientInterceptor
from perdure.client import Plugin as ClientPlugin
from perdure.converter import DataConverter
from perdure.service import ConnectConfig, ServiceClient
from perdure.worker import Interceptor as WorkerInterceptor
from perdure.worker import Plugin as WorkerPlugin
from perdure.worker import (
    Replayer,
    ReplayerConfig,
    Worker,
    WorkerConfig,
    WorkflowReplayResult,
    WorkflowRunner,
)

__all__ = ["PluginParameter", "SimplePlugin"]

T = TypeVar("T")

PluginParameter: TypeAlias = T | Callable[[T | None], T] | None
"""Nothing, a value, or what makes it of the one there is."""


class SimplePlugin(ClientPlugin, WorkerPlugin):
    """Adds what it is given to clients, workers and replayers.

    Sequences are appended to those that there are; other values replace them; a function is given
    what there is and returns what there is to be. Within `run_context` workers and replayers run.
    """

    def __init__(
        self,
        name: str,
        *,
        data_converter: PluginParameter[DataConverter] = None,
        interceptors: Sequence[ClientInterceptor | WorkerInterceptor] | None = None,
        activities: PluginParameter[Sequence[Callable[..., Any]]] = None,
        nexus_service_handlers: PluginParameter[Sequence[Any]] = None,
        workflows: PluginParameter[Sequence[type]] = None,
        workflow_runner: PluginParameter[WorkflowRunner] = None,
        workflow_failure_exception_types: PluginParameter[Sequence[type[BaseException]]] = None,
        run_context: Callable[[], AbstractAsyncContextManager[None]] | None = None,
    ) -> None:
        self._name = name
        self.data_converter = data_converter
        self.interceptors = interceptors
        self.activities = activities
        self.nexus_service_handlers = nexus_service_handlers
        self.workflows = workflows
        self.workflow_runner = workflow_runner
        self.workflow_failure_exception_types = workflow_failure_exception_types
        self.run_context = run_context

    def name(self) -> str:
        """What it is called in messages."""
        return self._name

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        """What the client is to be configured as."""
        _replace(config, "data_converter", self.data_converter)
        _extend(config, "interceptors", _of_kind(self.interceptors, ClientInterceptor))
        return config

    async def connect_service_client(
        self,
        config: ConnectConfig,
        next: Callable[[ConnectConfig], Awaitable[ServiceClient]],  # noqa: A002 -- mirrored
    ) -> ServiceClient:
        """Connects as it would without the plugin."""
        return await next(config)

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """What the worker is to be configured as."""
        _extend(config, "activities", self.activities)
        _extend(config, "nexus_service_handlers", self.nexus_service_handlers)
        _extend(config, "workflows", self.workflows)
        _replace(config, "workflow_runner", self.workflow_runner)
        # Those that the client has are the worker's already.
        known = config["client"].config(active_config=True)["interceptors"]
        mine = _of_kind(self.interceptors, WorkerInterceptor)
        _extend(config, "interceptors", [one for one in mine or () if one not in known])
        self._configure_failures(config)
        return config

    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        """What the replayer is to be configured as."""
        _replace(config, "data_converter", self.data_converter)
        _extend(config, "workflows", self.workflows)
        _replace(config, "workflow_runner", self.workflow_runner)
        _extend(config, "interceptors", _of_kind(self.interceptors, WorkerInterceptor))
        self._configure_failures(config)
        return config

    def _configure_failures(self, config: WorkerConfig | ReplayerConfig) -> None:
        types = self.workflow_failure_exception_types
        _extend(config, "workflow_failure_exception_types", types)

    async def run_worker(
        self,
        worker: Worker,
        next: Callable[[Worker], Awaitable[None]],  # noqa: A002 -- the mirrored name
    ) -> None:
        """Runs the worker within the context."""
        if self.run_context is None:
            await next(worker)
            return
        async with self.run_context():
            await next(worker)

    @asynccontextmanager
    async def run_replayer(
        self,
        replayer: Replayer,
        histories: AsyncIterator[WorkflowHistory],
        next: Callable[  # noqa: A002 -- the mirrored name
            [Replayer, AsyncIterator[WorkflowHistory]],
            AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]],
        ],
    ) -> AsyncIterator[AsyncIterator[WorkflowReplayResult]]:
        """Replays the histories within the context."""
        if self.run_context is None:
            async with next(replayer, histories) as results:
                yield results
            return
        async with self.run_context(), next(replayer, histories) as results:
            yield results


def _of_kind(values: Sequence[Any] | None, kind: type) -> list[Any] | None:
    return None if values is None else [value for value in values if isinstance(value, kind)]


def _replace(config: Any, key: str, parameter: Any) -> None:
    if parameter is not None:
        config[key] = parameter(config.get(key)) if callable(parameter) else parameter


def _extend(config: Any, key: str, parameter: Any) -> None:
    if callable(parameter):
        config[key] = parameter(config.get(key))
    elif parameter is not None:
        config[key] = [*(config.get(key) or ()), *parameter]
