"""Time skips while a client waits for a result: calls that do so unlock it for as long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.testservice.v1 import (
    LockTimeSkippingRequest,
    UnlockTimeSkippingRequest,
)
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest

from perdure.service import WORKFLOW_METHODS
from perdure.transport.port import Transport

TEST_METHODS = "/temporal.api.testservice.v1.TestService/"
_CLOSE = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT


class SkippingTransport:
    """A transport to a service that skips time."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._is_on = True

    async def call(
        self,
        method: str,
        request: bytes,
        metadata: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> bytes:
        """As that of the transport. Raises CallFailed."""
        waits = _WAITS.get(method)
        if waits is None or not self._is_on or not waits(request):
            return await self._transport.call(method, request, metadata, timeout_seconds)
        async with self._unlocked():
            return await self._transport.call(method, request, metadata, timeout_seconds)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Calls that begin inside do not unlock time."""
        was_on, self._is_on = self._is_on, False
        try:
            yield
        finally:
            self._is_on = was_on

    @asynccontextmanager
    async def _unlocked(self) -> AsyncIterator[None]:
        # Whoever gives up while it is being unlocked locks it again too.
        unlocking = asyncio.create_task(
            self._tell("UnlockTimeSkipping", UnlockTimeSkippingRequest())
        )
        try:
            await asyncio.shield(unlocking)
            yield
        finally:
            await asyncio.wait([unlocking])
            if unlocking.exception() is None:
                await self._tell("LockTimeSkipping", LockTimeSkippingRequest())

    async def _tell(
        self, rpc: str, request: LockTimeSkippingRequest | UnlockTimeSkippingRequest
    ) -> None:
        await self._transport.call(TEST_METHODS + rpc, request.SerializeToString())

    def __getattr__(self, name: str) -> Any:
        """Whatever else the transport has."""
        return getattr(self._transport, name)


def _waits_for_close(request: bytes) -> bool:
    asked = GetWorkflowExecutionHistoryRequest.FromString(request)
    return asked.wait_new_event and asked.history_event_filter_type == _CLOSE


def _always(request: bytes) -> bool:
    return True


_WAITS: Mapping[str, Callable[[bytes], bool]] = {
    f"{WORKFLOW_METHODS}GetWorkflowExecutionHistory": _waits_for_close,
    f"{WORKFLOW_METHODS}PollActivityExecution": _always,
}
"""The methods that may wait for a result, and which calls of them do."""
