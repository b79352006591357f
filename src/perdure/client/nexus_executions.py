"""Nexus operations that no workflow calls, as the service describes, lists and counts them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.message import Message
from temporalio.api.nexus.v1 import (
    NexusOperationExecutionCancellationInfo as CancellationInfoMessage,
)
from temporalio.api.nexus.v1 import (
    NexusOperationExecutionInfo,
    NexusOperationExecutionListInfo,
)
from temporalio.api.workflowservice.v1 import (
    CountNexusOperationExecutionsResponse,
    ListNexusOperationExecutionsRequest,
    ListNexusOperationExecutionsResponse,
)

from perdure.client.connection import Connection
from perdure.client.executions import time_of
from perdure.client.nexus_inputs import ListNexusOperationsInput
from perdure.client.paging import PagedAsyncIterator
from perdure.common import SearchAttributeValue, TypedSearchAttributes
from perdure.common.nexus import (
    NexusOperationCancellationState,
    NexusOperationExecutionStatus,
    PendingNexusOperationExecutionState,
)
from perdure.converter import DataConverter, decode_typed_search_attributes


@dataclass(kw_only=True)
class NexusOperationExecutionCancellationInfo:
    """How the request to cancel an operation stands."""

    raw: CancellationInfoMessage
    requested_time: datetime | None
    state: NexusOperationCancellationState
    attempt: int
    last_attempt_complete_time: datetime | None
    next_attempt_schedule_time: datetime | None
    last_attempt_failure: BaseException | None
    blocked_reason: str
    """Why it is not tried just now, when its state is BLOCKED."""
    reason: str
    """What whoever asked for it has said."""


@dataclass(kw_only=True)
class NexusOperationExecution:
    """What lists show of an operation."""

    operation_id: str
    run_id: str
    endpoint: str
    service: str
    operation: str
    schedule_time: datetime | None
    close_time: datetime | None
    status: NexusOperationExecutionStatus
    search_attributes: TypedSearchAttributes
    state_transition_count: int
    execution_duration: timedelta | None
    """From being scheduled to being closed; None as long as it is not."""
    raw_info: NexusOperationExecutionListInfo | NexusOperationExecutionInfo


@dataclass(kw_only=True)
class NexusOperationExecutionDescription(NexusOperationExecution):
    """All that the service knows of an operation."""

    raw_description: NexusOperationExecutionInfo
    state: PendingNexusOperationExecutionState
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    attempt: int
    expiration_time: datetime | None
    last_attempt_complete_time: datetime | None
    next_attempt_schedule_time: datetime | None
    last_attempt_failure: BaseException | None
    blocked_reason: str | None
    request_id: str
    operation_token: str | None
    """None until an operation that is not over at once has been started."""
    identity: str
    """Who started it."""
    cancellation_info: NexusOperationExecutionCancellationInfo | None
    _data_converter: DataConverter = field(repr=False, compare=False)

    async def static_summary(self) -> str | None:
        """What labels it in one line."""
        return await self._label("summary")

    async def static_details(self) -> str | None:
        """What describes it at length."""
        return await self._label("details")

    async def _label(self, name: str) -> str | None:
        metadata = self.raw_description.user_metadata
        if not metadata.HasField(name):  # type: ignore[arg-type]
            return None
        label: str = (await self._data_converter.decode([getattr(metadata, name)], [str]))[0]
        return label


def _common(info: NexusOperationExecutionListInfo | NexusOperationExecutionInfo) -> dict[str, Any]:
    return {
        "operation_id": info.operation_id,
        "run_id": info.run_id,
        "endpoint": info.endpoint,
        "service": info.service,
        "operation": info.operation,
        "schedule_time": time_of(info, "schedule_time"),
        "close_time": time_of(info, "close_time"),
        "status": NexusOperationExecutionStatus(info.status),
        "search_attributes": decode_typed_search_attributes(info.search_attributes),
        "state_transition_count": info.state_transition_count,
        "execution_duration": _length(info, "execution_duration"),
        "raw_info": info,
    }


def _length(info: Message, name: str) -> timedelta | None:
    length: timedelta | None = getattr(info, name).ToTimedelta() if info.HasField(name) else None
    return length


async def described(
    info: NexusOperationExecutionInfo, converter: DataConverter
) -> NexusOperationExecutionDescription:
    """What the service answered, as a description."""
    cancellation = None
    if info.HasField("cancellation_info"):
        cancellation = await _cancellation_of(info.cancellation_info, converter)
    return NexusOperationExecutionDescription(
        **_common(info),
        raw_description=info,
        state=PendingNexusOperationExecutionState(info.state),
        schedule_to_close_timeout=_length(info, "schedule_to_close_timeout"),
        schedule_to_start_timeout=_length(info, "schedule_to_start_timeout"),
        start_to_close_timeout=_length(info, "start_to_close_timeout"),
        attempt=info.attempt,
        expiration_time=time_of(info, "expiration_time"),
        last_attempt_complete_time=time_of(info, "last_attempt_complete_time"),
        next_attempt_schedule_time=time_of(info, "next_attempt_schedule_time"),
        last_attempt_failure=await _last_failure(info, converter),
        blocked_reason=info.blocked_reason or None,
        request_id=info.request_id,
        operation_token=info.operation_token or None,
        identity=info.identity,
        cancellation_info=cancellation,
        _data_converter=converter,
    )


async def _cancellation_of(
    info: CancellationInfoMessage, converter: DataConverter
) -> NexusOperationExecutionCancellationInfo:
    return NexusOperationExecutionCancellationInfo(
        raw=info,
        requested_time=time_of(info, "requested_time"),
        state=NexusOperationCancellationState(info.state),
        attempt=info.attempt,
        last_attempt_complete_time=time_of(info, "last_attempt_complete_time"),
        next_attempt_schedule_time=time_of(info, "next_attempt_schedule_time"),
        last_attempt_failure=await _last_failure(info, converter),
        blocked_reason=info.blocked_reason,
        reason=info.reason,
    )


async def _last_failure(
    info: NexusOperationExecutionInfo | CancellationInfoMessage, converter: DataConverter
) -> BaseException | None:
    if not info.HasField("last_attempt_failure"):
        return None
    return await converter.decode_failure(info.last_attempt_failure)


@dataclass(frozen=True)
class NexusOperationExecutionCountAggregationGroup:
    """How many operations have the same values of what the query groups by."""

    count: int
    group_values: Sequence[SearchAttributeValue]


@dataclass(frozen=True)
class NexusOperationExecutionCount:
    """How many operations there are; by groups, when the query groups them."""

    count: int
    groups: Sequence[NexusOperationExecutionCountAggregationGroup]


def counted(response: CountNexusOperationExecutionsResponse) -> NexusOperationExecutionCount:
    """What the service answered, as a count."""
    groups = [
        NexusOperationExecutionCountAggregationGroup(
            group.count, [json.loads(one.data) for one in group.group_values]
        )
        for group in response.groups
    ]
    return NexusOperationExecutionCount(response.count, groups)


class NexusOperationExecutionAsyncIterator(PagedAsyncIterator[NexusOperationExecution]):
    """Operations, fetched by pages as they are asked for; see `Client.list_nexus_operations`."""

    def __init__(self, connection: Connection, query: ListNexusOperationsInput) -> None:
        async def fetch(
            token: bytes, page_size: int | None
        ) -> tuple[Sequence[NexusOperationExecution], bytes]:
            response = await connection.call(
                "ListNexusOperationExecutions",
                ListNexusOperationExecutionsRequest(
                    namespace=connection.namespace,
                    page_size=page_size or 0,
                    next_page_token=token,
                    query=query.query or "",
                ),
                ListNexusOperationExecutionsResponse,
                query.rpc_metadata,
                query.rpc_timeout,
            )
            found = [NexusOperationExecution(**_common(info)) for info in response.operations]
            return found, response.next_page_token

        super().__init__(
            fetch,
            next_page_token=query.next_page_token,
            page_size=query.page_size,
            limit=query.limit,
        )
