"""What activities in other processes share with the worker: events in, heartbeats out."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from multiprocessing.managers import SyncManager

HEARTBEATS_MAX: Final = 1000
"""So many wait in the queue between the processes; a function that reports more has to wait."""


class SharedHeartbeatSender(ABC):
    """Goes along into another process, and reports from there."""

    @abstractmethod
    def send_heartbeat(self, task_token: bytes, *details: Any) -> None:
        """Reports the details of an activity."""


class SharedStateManager(ABC):
    """Makes what works across processes. One may serve several workers."""

    @staticmethod
    def create_from_multiprocessing(
        mgr: SyncManager,
        queue_poller_executor: concurrent.futures.Executor | None = None,
    ) -> SharedStateManager:
        """Made of a `multiprocessing.Manager()`, with a thread that reads the heartbeats."""
        return _MultiprocessingStateManager(
            mgr, queue_poller_executor or concurrent.futures.ThreadPoolExecutor(1)
        )

    @abstractmethod
    def new_event(self) -> threading.Event:
        """An event that can be sent to other processes."""

    @abstractmethod
    async def register_heartbeater(
        self, task_token: bytes, heartbeat: Callable[..., None]
    ) -> SharedHeartbeatSender:
        """Has heartbeats of an activity given to a function, in a thread of this process."""

    @abstractmethod
    async def unregister_heartbeater(self, task_token: bytes) -> None:
        """The activity has ended. What it has reported has been handed over when this returns."""


class _MultiprocessingSender(SharedHeartbeatSender):
    def __init__(self, heartbeats: queue.Queue[tuple[bytes, Sequence[Any] | None]]) -> None:
        self._heartbeats = heartbeats

    def send_heartbeat(self, task_token: bytes, *details: Any) -> None:
        self._heartbeats.put((task_token, details))


class _MultiprocessingStateManager(SharedStateManager):
    """One queue for all activities. A thread reads it as long as any activity is registered;
    details of None mark that an activity has ended."""

    def __init__(self, manager: SyncManager, executor: concurrent.futures.Executor) -> None:
        self._manager = manager
        self._executor = executor
        self._heartbeats: queue.Queue[tuple[bytes, Sequence[Any] | None]] = manager.Queue(
            HEARTBEATS_MAX
        )
        self._lock = threading.Lock()
        self._functions: dict[bytes, Callable[..., None]] = {}
        self._ended: dict[bytes, Callable[[], object]] = {}

    def new_event(self) -> threading.Event:
        return self._manager.Event()

    async def register_heartbeater(
        self, task_token: bytes, heartbeat: Callable[..., None]
    ) -> SharedHeartbeatSender:
        with self._lock:
            self._functions[task_token] = heartbeat
            first = len(self._functions) == 1
        if first:
            self._executor.submit(self._read)
        return _MultiprocessingSender(self._heartbeats)

    async def unregister_heartbeater(self, task_token: bytes) -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        with self._lock:
            self._ended[task_token] = partial(loop.call_soon_threadsafe, ended.set)
        await loop.run_in_executor(None, self._heartbeats.put, (task_token, None))
        await ended.wait()

    def _read(self) -> None:
        while True:
            task_token, details = self._heartbeats.get()
            with self._lock:
                heartbeat = self._functions.get(task_token)
                ended = None
                if details is None:
                    self._functions.pop(task_token, None)
                    ended = self._ended.pop(task_token, None)
                last = not self._functions
            if details is not None and heartbeat is not None:
                heartbeat(*details)
            if ended is not None:
                ended()
                if last:
                    return


class OwnStateManager:
    """A shared state manager that goes with its worker."""

    def __init__(self) -> None:
        self._manager: SyncManager | None = None
        self._executor: concurrent.futures.ThreadPoolExecutor | None = None

    async def make(self) -> SharedStateManager:
        """The manager; it has a process of its own."""
        import multiprocessing  # With all it brings, for workers that have processes.

        # Never fork: this process has threads.
        manager = multiprocessing.get_context("spawn").Manager
        self._manager = await asyncio.to_thread(manager)
        self._executor = concurrent.futures.ThreadPoolExecutor(1, "perdure-heartbeats")
        return await asyncio.to_thread(
            SharedStateManager.create_from_multiprocessing, self._manager, self._executor
        )

    async def close(self) -> None:
        """Ends its process."""
        if self._executor is not None:
            await asyncio.to_thread(self._executor.shutdown)
        if self._manager is not None:
            await asyncio.to_thread(self._manager.shutdown)
