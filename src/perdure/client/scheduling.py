"""What is done to schedules: the calls."""

from __future__ import annotations

import inspect
import uuid

from temporalio.api.schedule.v1 import SchedulePatch, TriggerImmediatelyRequest
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    CreateScheduleResponse,
    DeleteScheduleRequest,
    DeleteScheduleResponse,
    DescribeScheduleRequest,
    DescribeScheduleResponse,
    PatchScheduleRequest,
    PatchScheduleResponse,
    UpdateScheduleRequest,
    UpdateScheduleResponse,
)

from perdure.client.connection import Connection
from perdure.client.errors import ScheduleAlreadyRunningError
from perdure.client.inputs import (
    BackfillScheduleInput,
    CreateScheduleInput,
    DeleteScheduleInput,
    DescribeScheduleInput,
    PauseScheduleInput,
    TriggerScheduleInput,
    UnpauseScheduleInput,
    UpdateScheduleInput,
)
from perdure.client.schedule_spec import overlap_value
from perdure.client.schedules import ScheduleDescription, ScheduleUpdate, ScheduleUpdateInput
from perdure.client.starting import write_memo
from perdure.converter import encode_search_attributes
from perdure.service import RPCError, RPCStatusCode

_Patching = BackfillScheduleInput | PauseScheduleInput | TriggerScheduleInput | UnpauseScheduleInput


async def create(connection: Connection, asked: CreateScheduleInput) -> None:
    """Make a schedule. Raises ScheduleAlreadyRunningError when its id is taken."""
    _check_actions(asked)
    request = CreateScheduleRequest(
        namespace=connection.namespace,
        schedule_id=asked.id,
        schedule=await asked.schedule._to_proto(connection),
        identity=connection.identity,
        request_id=str(uuid.uuid4()),
    )
    if asked.trigger_immediately:
        overlap = overlap_value(asked.schedule.policy.overlap)
        request.initial_patch.trigger_immediately.overlap_policy = overlap
    request.initial_patch.backfill_request.extend(one._to_proto() for one in asked.backfill)
    if not request.initial_patch.ByteSize():
        request.ClearField("initial_patch")
    await write_memo(connection.data_converter, asked.memo, request.memo)
    if asked.search_attributes is not None:
        encode_search_attributes(asked.search_attributes, request.search_attributes)
    try:
        await connection.call(
            "CreateSchedule",
            request,
            CreateScheduleResponse,
            asked.rpc_metadata,
            asked.rpc_timeout,
        )
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            raise ScheduleAlreadyRunningError from None
        raise


def _check_actions(asked: CreateScheduleInput) -> None:
    state = asked.schedule.state
    if state.limited_actions and not state.remaining_actions:
        raise ValueError("Must set limited actions to false if there are no remaining actions set")
    if not state.limited_actions and state.remaining_actions:
        raise ValueError("Must set limited actions to true if there are remaining actions set")


async def describe(connection: Connection, asked: DescribeScheduleInput) -> ScheduleDescription:
    """What the service knows of a schedule."""
    response = await connection.call(
        "DescribeSchedule",
        DescribeScheduleRequest(namespace=connection.namespace, schedule_id=asked.id),
        DescribeScheduleResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )
    return ScheduleDescription._from_proto(asked.id, response, connection)


async def update(connection: Connection, asked: UpdateScheduleInput) -> None:
    """Have the updater change the schedule as it is now."""
    known = DescribeScheduleInput(
        id=asked.id, rpc_metadata=asked.rpc_metadata, rpc_timeout=asked.rpc_timeout
    )
    changed = asked.updater(ScheduleUpdateInput(await describe(connection, known)))
    if inspect.isawaitable(changed):
        changed = await changed
    if changed is None:
        return
    if not isinstance(changed, ScheduleUpdate):
        raise TypeError(f"an updater returns a ScheduleUpdate or None, not {changed!r}")
    request = UpdateScheduleRequest(
        namespace=connection.namespace,
        schedule_id=asked.id,
        schedule=await changed.schedule._to_proto(connection),
        identity=connection.identity,
        request_id=str(uuid.uuid4()),
    )
    if changed.search_attributes is not None:
        request.search_attributes.SetInParent()
        encode_search_attributes(changed.search_attributes, request.search_attributes)
    await connection.call(
        "UpdateSchedule", request, UpdateScheduleResponse, asked.rpc_metadata, asked.rpc_timeout
    )


async def delete(connection: Connection, asked: DeleteScheduleInput) -> None:
    """Forget a schedule."""
    await connection.call(
        "DeleteSchedule",
        DeleteScheduleRequest(
            namespace=connection.namespace, schedule_id=asked.id, identity=connection.identity
        ),
        DeleteScheduleResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )


async def backfill(connection: Connection, asked: BackfillScheduleInput) -> None:
    """Have it act for times that are past."""
    requests = [one._to_proto() for one in asked.backfills]
    await _patch(connection, asked, SchedulePatch(backfill_request=requests))


async def pause(connection: Connection, asked: PauseScheduleInput) -> None:
    """Have it act no more."""
    await _patch(connection, asked, SchedulePatch(pause=asked.note or "Paused via Python SDK"))


async def unpause(connection: Connection, asked: UnpauseScheduleInput) -> None:
    """Have it act again."""
    await _patch(connection, asked, SchedulePatch(unpause=asked.note or "Unpaused via Python SDK"))


async def trigger(connection: Connection, asked: TriggerScheduleInput) -> None:
    """Have it act now."""
    now = TriggerImmediatelyRequest()
    if asked.overlap is not None:
        now.overlap_policy = overlap_value(asked.overlap)
    await _patch(connection, asked, SchedulePatch(trigger_immediately=now))


async def _patch(connection: Connection, asked: _Patching, patch: SchedulePatch) -> None:
    await connection.call(
        "PatchSchedule",
        PatchScheduleRequest(
            namespace=connection.namespace,
            schedule_id=asked.id,
            patch=patch,
            identity=connection.identity,
            request_id=str(uuid.uuid4()),
        ),
        PatchScheduleResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )
