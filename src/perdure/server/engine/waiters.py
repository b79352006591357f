"""Those who wait for news of a run's history."""

from __future__ import annotations

import asyncio

from perdure.server.engine.execution import Execution, ExecutionKey


class Waiters:
    """Per workflow, the futures to wake when something of it became durable (or was lost: then they
    look again)."""

    def __init__(self) -> None:
        self._waiting: dict[ExecutionKey, dict[asyncio.Future[None], None]] = {}

    def notify(self, key: ExecutionKey) -> None:
        """Wake everybody who waits for this workflow."""
        for future in self._waiting.pop(key, ()):
            if not future.done():
                future.set_result(None)

    async def wait(self, execution: Execution, timeout_seconds: float) -> None:
        """Return at the next news of the workflow, or when the time is over. The workflow stays in
        memory meanwhile."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(execution.key, {})
        waiting[future] = None
        execution.pins += 1
        try:
            async with asyncio.timeout(timeout_seconds):
                await future
        except TimeoutError:
            pass
        finally:
            execution.pins -= 1
            waiting.pop(future, None)
            if not waiting and self._waiting.get(execution.key) is waiting:
                del self._waiting[execution.key]

    def notify_all(self) -> None:
        """Wake everybody, since the engine stops."""
        for key in list(self._waiting):
            self.notify(key)
