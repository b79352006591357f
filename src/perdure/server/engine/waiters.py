"""Those who wait for news of a run's history, or only for its close."""

from __future__ import annotations

import asyncio

from perdure.server.engine.api import EngineStopped
from perdure.server.engine.execution import Execution, ExecutionKey

_Waiting = dict[ExecutionKey, dict[asyncio.Future[None], None]]


class Waiters:
    """Per workflow, the futures to wake when something of it became durable, or when a run of it
    closed: then they look again."""

    def __init__(self) -> None:
        self._for_news: _Waiting = {}
        self._for_close: _Waiting = {}
        self._is_stopped = False

    def notify(self, key: ExecutionKey, *, is_closed: bool) -> None:
        """Wake whoever waits for this workflow."""
        for future in self._for_news.pop(key, ()):
            _wake(future)
        if is_closed:
            for future in self._for_close.pop(key, ()):
                _wake(future)

    def has(self, key: ExecutionKey) -> bool:
        """Whether anybody waits for this workflow."""
        return key in self._for_news or key in self._for_close

    async def wait(
        self, execution: Execution, timeout_seconds: float, *, for_close: bool = False
    ) -> None:
        """Return at the next news of the workflow (or close of a run), or when the time is over.
        The workflow stays in memory meanwhile. Raises EngineStopped."""
        self._check_running()
        everybody = self._for_close if for_close else self._for_news
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        waiting = everybody.setdefault(execution.key, {})
        waiting[future] = None
        execution.pins += 1
        timer = loop.call_later(timeout_seconds, _wake, future)
        try:
            await future
        finally:
            timer.cancel()
            execution.pins -= 1
            waiting.pop(future, None)
            if not waiting and everybody.get(execution.key) is waiting:
                del everybody[execution.key]
        self._check_running()

    def stop(self) -> None:
        """The engine stops: there will be no more news."""
        self._is_stopped = True
        for key in {*self._for_news, *self._for_close}:
            self.notify(key, is_closed=True)

    def _check_running(self) -> None:
        if self._is_stopped:
            raise EngineStopped("the engine has stopped")


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
