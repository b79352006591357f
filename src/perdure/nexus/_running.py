"""What the handler of an operation can ask: about its task, its worker, and its client."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from nexusrpc.handler import OperationContext

from perdure.activity import _Flag
from perdure.client import Client
from perdure.common import MetricMeter


@dataclass(frozen=True)
class Info:
    """Where the running operation came from."""

    endpoint: str
    """The endpoint that the caller named."""
    namespace: str
    """The namespace of the worker."""
    task_queue: str
    """The task queue of the worker."""


@dataclass(kw_only=True)
class RunningOperation:
    """What the functions of this module reach while a handler runs."""

    info: Info
    context: OperationContext
    client: Client
    worker_shutdown: _Flag
    _meter: MetricMeter | None = None

    @property
    def metric_meter(self) -> MetricMeter:
        """Made when somebody first asks."""
        if self._meter is None:
            runtime = self.client.service_client.config.runtime
            assert runtime is not None
            self._meter = runtime.metric_meter.with_additional_attributes(
                {
                    "nexus_service": self.context.service,
                    "nexus_operation": self.context.operation,
                    "task_queue": self.info.task_queue,
                }
            )
        return self._meter


RUNNING: ContextVar[RunningOperation | None] = ContextVar("perdure_nexus_running", default=None)
"""The operation whose handler runs here."""


def current() -> RunningOperation:
    """The operation whose handler runs here. Raises RuntimeError when none does."""
    running = RUNNING.get()
    if running is None:
        raise RuntimeError("Not in Nexus operation context.")
    return running


def in_operation() -> bool:
    """Whether the handler of a Nexus operation is running here."""
    return RUNNING.get() is not None


def info() -> Info:
    """What is known of the running operation. Raises RuntimeError outside of one."""
    return current().info


def client() -> Client:
    """The client of the worker."""
    return current().client


def metric_meter() -> MetricMeter:
    """The meter of the running operation."""
    return current().metric_meter


def is_worker_shutdown() -> bool:
    """Whether the worker is shutting down."""
    return current().worker_shutdown.is_set()


async def wait_for_worker_shutdown() -> None:
    """Waits until the worker shuts down."""
    await current().worker_shutdown.wait()


def wait_for_worker_shutdown_sync(timeout: timedelta | float | None = None) -> None:
    """Blocks until the worker shuts down, or the timeout has passed."""
    current().worker_shutdown.wait_sync(timeout)


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Adds service, operation and task queue of the running operation to each record."""

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Adds them."""
        extra = dict(self.extra or {})
        running = RUNNING.get()
        if running is not None:
            extra["service"] = running.context.service
            extra["operation"] = running.context.operation
            extra["task_queue"] = running.info.task_queue
        kwargs["extra"] = {**extra, **(kwargs.get("extra") or {})}
        return msg, kwargs


logger = LoggerAdapter(logging.getLogger("perdure.nexus"), None)
"""For the code of handlers."""
