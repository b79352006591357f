"""Looks at a workflow until something holds that no call waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.api.enums.v1 import EventType, PendingActivityState
from temporalio.api.history.v1 import HistoryEvent

from perdure.client import WorkflowHandle

WAIT_SECONDS = 20.0


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Asks again and again."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)


async def until_activity_runs(handle: WorkflowHandle[Any, Any]) -> None:
    """A worker has an activity of the workflow in hand."""

    async def holds() -> bool:
        description = (await handle.describe()).raw_description
        return any(
            pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
            for pending in description.pending_activities
        )

    await until(holds)


async def until_event(
    handle: WorkflowHandle[Any, Any], event_type: EventType.ValueType, count: int = 1
) -> list[HistoryEvent]:
    """The history has so many events of a type; those events."""
    found: list[HistoryEvent] = []

    async def holds() -> bool:
        found[:] = [
            event async for event in handle.fetch_history_events() if event.event_type == event_type
        ]
        return len(found) >= count

    await until(holds)
    return found
