"""Plugins of workers and replayers: they change how these are configured, and what runs around
them."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from perdure.client import WorkflowHistory

if TYPE_CHECKING:
    from perdure.worker.config import WorkerConfig
    from perdure.worker.replayer import Replayer, ReplayerConfig, WorkflowReplayResult
    from perdure.worker.worker import Worker


class Plugin(ABC):
    """Changes a worker, or a replayer."""

    def name(self) -> str:
        """What it is called in messages."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @abstractmethod
    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """What the worker is to be configured as."""

    @abstractmethod
    async def run_worker(
        self,
        worker: Worker,
        next: Callable[[Worker], Awaitable[None]],  # noqa: A002 -- the mirrored name
    ) -> None:
        """Runs the worker, by `next`, which returns when it has ended."""

    @abstractmethod
    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        """What the replayer is to be configured as."""

    @abstractmethod
    def run_replayer(
        self,
        replayer: Replayer,
        histories: AsyncIterator[WorkflowHistory],
        next: Callable[  # noqa: A002 -- the mirrored name
            [Replayer, AsyncIterator[WorkflowHistory]],
            AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]],
        ],
    ) -> AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]]:
        """Replays the histories, by `next`."""


def plugins_of(of_client: Sequence[Any], of_worker: Sequence[Plugin]) -> list[Plugin]:
    """Those of the client that are of workers too, and then those of the worker."""
    from_client = [plugin for plugin in of_client if isinstance(plugin, Plugin)]
    for kind in {type(plugin) for plugin in from_client} & {type(one) for one in of_worker}:
        warnings.warn(
            f"The same plugin type {kind} is present from both client and worker. It may run "
            "twice and may not be the intended behavior.",
            stacklevel=4,
        )
    return [*from_client, *of_worker]
