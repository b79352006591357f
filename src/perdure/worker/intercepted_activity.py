"""The ends of an activity's interceptors: its function, and what it says to the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from perdure.activity import Info
from perdure.worker.activity_attempt import ActivityAttempt
from perdure.worker.interceptor import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

Run = Callable[[ExecuteActivityInput], Awaitable[Any]]


async def run_intercepted(
    attempt: ActivityAttempt,
    interceptors: Sequence[Interceptor],
    told: ExecuteActivityInput,
    run: Run,
) -> Any:
    """Runs the activity through the interceptors, the first of which is the outermost."""
    inbound = cast(ActivityInboundInterceptor, _ToFunction(attempt, run))
    for interceptor in reversed(interceptors):
        inbound = interceptor.intercept_activity(inbound)
    inbound.init(cast(ActivityOutboundInterceptor, _ToService(attempt)))
    return await inbound.execute_activity(told)


class _ToFunction:
    """Runs the function."""

    def __init__(self, attempt: ActivityAttempt, run: Run) -> None:
        self._attempt = attempt
        self._run = run

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        """Has what the activity says go through the interceptors."""
        context = self._attempt.context
        assert context is not None
        context._make_info = outbound.info
        context._info = None
        context.heartbeat = lambda details: outbound.heartbeat(*details)

    async def execute_activity(self, told: ExecuteActivityInput) -> Any:
        """Runs the function."""
        return await self._run(told)


class _ToService:
    """What an activity says."""

    def __init__(self, attempt: ActivityAttempt) -> None:
        self._attempt = attempt
        self._info: Info | None = None

    def info(self) -> Info:
        """What is known of the attempt."""
        if self._info is None:
            self._info = self._attempt.info()
        return self._info

    def heartbeat(self, *details: Any) -> None:
        """Reports details."""
        self._attempt.heartbeat(details)
