"""The handle of a schedule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from perdure.client.connection import Connection
from perdure.client.inputs import (
    BackfillScheduleInput,
    DeleteScheduleInput,
    DescribeScheduleInput,
    PauseScheduleInput,
    TriggerScheduleInput,
    UnpauseScheduleInput,
    UpdateScheduleInput,
)
from perdure.client.schedule_spec import ScheduleBackfill, ScheduleOverlapPolicy
from perdure.client.schedules import ScheduleDescription, ScheduleUpdate, ScheduleUpdateInput
from perdure.service import Metadata


class ScheduleHandle:
    """A schedule by its id; whether it exists shows when something is done to it."""

    def __init__(self, connection: Connection, id: str) -> None:  # noqa: A002 -- the mirrored name
        self.id = id
        self._connection = connection

    async def backfill(
        self,
        *backfill: ScheduleBackfill,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Have it act for times as if it had been there."""
        if not backfill:
            raise ValueError("At least one backfill required")
        await self._connection.outbound.backfill_schedule(
            BackfillScheduleInput(
                id=self.id,
                backfills=backfill,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def delete(
        self, *, rpc_metadata: Metadata | None = None, rpc_timeout: timedelta | None = None
    ) -> None:
        """Forget it. What it has started goes on."""
        await self._connection.outbound.delete_schedule(
            DeleteScheduleInput(
                id=self.id, rpc_metadata=rpc_metadata or {}, rpc_timeout=rpc_timeout
            )
        )

    async def describe(
        self, *, rpc_metadata: Metadata | None = None, rpc_timeout: timedelta | None = None
    ) -> ScheduleDescription:
        """All that there is to know of it. Raises RPCError when it does not exist."""
        return await self._connection.outbound.describe_schedule(
            DescribeScheduleInput(
                id=self.id, rpc_metadata=rpc_metadata or {}, rpc_timeout=rpc_timeout
            )
        )

    async def pause(
        self,
        *,
        note: str | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Have it act no more, for the reason in the note."""
        await self._connection.outbound.pause_schedule(
            PauseScheduleInput(
                id=self.id, note=note, rpc_metadata=rpc_metadata or {}, rpc_timeout=rpc_timeout
            )
        )

    async def trigger(
        self,
        *,
        overlap: ScheduleOverlapPolicy | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Have it act now, also when it is paused."""
        await self._connection.outbound.trigger_schedule(
            TriggerScheduleInput(
                id=self.id,
                overlap=overlap,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def unpause(
        self,
        *,
        note: str | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Have it act again, for the reason in the note."""
        await self._connection.outbound.unpause_schedule(
            UnpauseScheduleInput(
                id=self.id, note=note, rpc_metadata=rpc_metadata or {}, rpc_timeout=rpc_timeout
            )
        )

    async def update(
        self,
        updater: Callable[
            [ScheduleUpdateInput], ScheduleUpdate | Awaitable[ScheduleUpdate | None] | None
        ],
        *,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Change it: the updater is given what it is now, and returns what it is to be.

        None leaves it as it is. Whoever changes it between the two is overwritten.
        """
        await self._connection.outbound.update_schedule(
            UpdateScheduleInput(
                id=self.id,
                updater=updater,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )
