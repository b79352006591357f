"""A handle on one activity without a workflow: everything that can be done to it from outside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar

from perdure.client.acting_on_activities import converter_for, outcome_of
from perdure.client.activity_executions import ActivityExecutionDescription
from perdure.client.activity_inputs import (
    CancelActivityInput,
    DescribeActivityInput,
    PauseActivityInput,
    TerminateActivityInput,
    UnpauseActivityInput,
    UpdateActivityOptionsInput,
)
from perdure.client.activity_options import ActivityExecutionOptions, ActivityOptionsUpdate
from perdure.client.connection import Connection
from perdure.client.errors import ActivityFailureError
from perdure.service import Metadata

ReturnType = TypeVar("ReturnType")


class ActivityHandle(Generic[ReturnType]):
    """An activity by its id, made by `Client.start_activity` and `Client.get_activity_handle`.

    With a run id, every call is meant for that run, otherwise for the newest one.
    """

    def __init__(
        self,
        connection: Connection,
        id: str,  # noqa: A002 -- the mirrored name
        *,
        run_id: str | None = None,
        result_type: Any = None,
    ) -> None:
        self._connection = connection
        self._id = id
        self._run_id = run_id
        self._result_type = result_type

    @property
    def id(self) -> str:
        """The id of the activity."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that all calls are meant for; None means the newest one."""
        return self._run_id

    async def result(
        self, *, rpc_metadata: Metadata | None = None, rpc_timeout: timedelta | None = None
    ) -> ReturnType:
        """Wait for the result. Raises ActivityFailureError when it did not complete."""
        connection = self._connection
        outcome = await outcome_of(
            connection, self._id, self._run_id, rpc_metadata or {}, rpc_timeout
        )
        converter = converter_for(connection, self._id)
        if outcome.HasField("failure"):
            raise ActivityFailureError(cause=await converter.decode_failure(outcome.failure))
        hints = None if self._result_type is None else [self._result_type]
        values = await converter.decode_wrapper(outcome.result, hints)
        return values[0] if values else None  # type: ignore[return-value]

    async def cancel(
        self,
        *,
        reason: str | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Ask it to stop: a worker that has it hears of it by its heartbeat."""
        await self._connection.outbound.cancel_activity(
            CancelActivityInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                reason=reason,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def terminate(
        self,
        *,
        reason: str | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """End it at once."""
        await self._connection.outbound.terminate_activity(
            TerminateActivityInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                reason=reason,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def pause(
        self,
        *,
        reason: str | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Have it not be started, or not again."""
        await self._connection.outbound.pause_activity(
            PauseActivityInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                reason=reason,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def unpause(
        self,
        *,
        reason: str | None = None,
        jitter: timedelta | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Have it go on, at some time within the jitter."""
        await self._connection.outbound.unpause_activity(
            UnpauseActivityInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                reason=reason,
                jitter=jitter,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def update_options(
        self,
        updates: Sequence[ActivityOptionsUpdate[Any]],
        *,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> ActivityExecutionOptions:
        """Give it other options; those that hold now."""
        return await self._update(updates, False, rpc_metadata, rpc_timeout)

    async def restore_original_options(
        self, *, rpc_metadata: Metadata | None = None, rpc_timeout: timedelta | None = None
    ) -> ActivityExecutionOptions:
        """Give it back the options that it was started with."""
        return await self._update((), True, rpc_metadata, rpc_timeout)

    async def _update(
        self,
        updates: Sequence[ActivityOptionsUpdate[Any]],
        restores: bool,
        rpc_metadata: Metadata | None,
        rpc_timeout: timedelta | None,
    ) -> ActivityExecutionOptions:
        return await self._connection.outbound.update_activity_options(
            UpdateActivityOptionsInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                updates=updates,
                restore_original=restores,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def describe(
        self,
        *,
        include_input: bool = False,
        include_outcome: bool = False,
        include_heartbeat_details: bool = False,
        include_last_failure: bool = False,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> ActivityExecutionDescription:
        """What the service knows of it. Raises RPCError when it does not exist."""
        return await self._connection.outbound.describe_activity(
            DescribeActivityInput(
                activity_id=self._id,
                activity_run_id=self._run_id,
                include_input=include_input,
                include_outcome=include_outcome,
                include_heartbeat_details=include_heartbeat_details,
                include_last_failure=include_last_failure,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )
