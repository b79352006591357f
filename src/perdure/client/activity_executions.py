"""Activities without a workflow as the service describes, lists and counts them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from temporalio.api.activity.v1 import (
    ActivityExecutionInfo,
    ActivityExecutionListInfo,
    ActivityExecutionOutcome,
    CallbackInfo,
)
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import activity_pb2, workflow_pb2
from temporalio.api.workflowservice.v1 import (
    CountActivityExecutionsResponse,
    DescribeActivityExecutionResponse,
    ListActivityExecutionsRequest,
    ListActivityExecutionsResponse,
)

from perdure.client.activity_inputs import ListActivitiesInput
from perdure.client.activity_options import length_of
from perdure.client.connection import Connection
from perdure.client.executions import time_of
from perdure.client.paging import PagedAsyncIterator
from perdure.common import (
    Priority,
    RetryPolicy,
    SearchAttributeValue,
    TypedSearchAttributes,
    WorkerDeploymentVersion,
)
from perdure.converter import DataConverter, decode_typed_search_attributes


class ActivityExecutionStatus(IntEnum):
    """How an activity stands, or how it has ended."""

    UNSPECIFIED = activity_pb2.ACTIVITY_EXECUTION_STATUS_UNSPECIFIED
    RUNNING = activity_pb2.ACTIVITY_EXECUTION_STATUS_RUNNING
    COMPLETED = activity_pb2.ACTIVITY_EXECUTION_STATUS_COMPLETED
    FAILED = activity_pb2.ACTIVITY_EXECUTION_STATUS_FAILED
    CANCELED = activity_pb2.ACTIVITY_EXECUTION_STATUS_CANCELED
    TERMINATED = activity_pb2.ACTIVITY_EXECUTION_STATUS_TERMINATED
    TIMED_OUT = activity_pb2.ACTIVITY_EXECUTION_STATUS_TIMED_OUT
    PAUSED = activity_pb2.ACTIVITY_EXECUTION_STATUS_PAUSED


class PendingActivityState(IntEnum):
    """What becomes of an activity that has not ended."""

    UNSPECIFIED = workflow_pb2.PENDING_ACTIVITY_STATE_UNSPECIFIED
    SCHEDULED = workflow_pb2.PENDING_ACTIVITY_STATE_SCHEDULED
    STARTED = workflow_pb2.PENDING_ACTIVITY_STATE_STARTED
    CANCEL_REQUESTED = workflow_pb2.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
    PAUSED = workflow_pb2.PENDING_ACTIVITY_STATE_PAUSED
    PAUSE_REQUESTED = workflow_pb2.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED


@dataclass(frozen=True, kw_only=True)
class ActivityExecution:
    """What lists show of an activity."""

    activity_id: str
    activity_run_id: str | None
    activity_type: str
    close_time: datetime | None
    execution_duration: timedelta | None
    execution_time: datetime | None
    """When its start delay is over."""
    namespace: str
    schedule_time: datetime
    status: ActivityExecutionStatus
    task_queue: str
    typed_search_attributes: TypedSearchAttributes
    raw_info: ActivityExecutionListInfo | ActivityExecutionInfo


@dataclass(frozen=True, kw_only=True)
class ActivityExecutionDescription(ActivityExecution):
    """All that the service knows of an activity. What was not asked for is not there."""

    raw_info: ActivityExecutionInfo
    attempt: int
    canceled_reason: str | None
    current_retry_interval: timedelta | None
    expiration_time: datetime | None
    heartbeat_timeout: timedelta | None
    last_attempt_complete_time: datetime | None
    last_deployment_version: WorkerDeploymentVersion | None
    last_heartbeat_time: datetime | None
    last_started_time: datetime | None
    last_worker_identity: str | None
    next_attempt_schedule_time: datetime | None
    priority: Priority
    retry_policy: RetryPolicy | None
    run_state: PendingActivityState | None
    """None once it has ended."""
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    start_delay: timedelta | None
    total_heartbeat_count: int
    raw_callbacks: Sequence[CallbackInfo]
    raw_input: Payloads | None
    raw_outcome: ActivityExecutionOutcome | None
    data_converter: DataConverter = field(repr=False)

    def has_input(self) -> bool:
        """Whether the arguments came with it."""
        return self.raw_input is not None

    async def input(self, type_hints: list[Any] | None = None) -> list[Any]:
        """The arguments; none when they did not come with it."""
        return await self._decoded(self.raw_input, type_hints)

    def has_result(self) -> bool:
        """Whether it has a result, which came with it."""
        return self.raw_outcome is not None and self.raw_outcome.HasField("result")

    async def result(self, type_hint: Any = None) -> Any:
        """The result. Raises ValueError when there is none."""
        if self.raw_outcome is None or not self.raw_outcome.HasField("result"):
            raise ValueError("the description has no result: see has_result")
        hints = None if type_hint is None else [type_hint]
        values = await self._decoded(self.raw_outcome.result, hints)
        return values[0] if values else None

    def has_outcome_failure(self) -> bool:
        """Whether it has ended by a failure, which came with it."""
        return self.raw_outcome is not None and self.raw_outcome.HasField("failure")

    async def outcome_failure(self) -> BaseException | None:
        """What it has ended by; None when it has not, or that did not come with it."""
        if self.raw_outcome is None or not self.raw_outcome.HasField("failure"):
            return None
        return await self.data_converter.decode_failure(self.raw_outcome.failure)

    def has_heartbeat_details(self) -> bool:
        """Whether there are details of a heartbeat, which came with it."""
        return self.raw_info.HasField("heartbeat_details")

    async def heartbeat_details(self, type_hints: list[Any] | None = None) -> list[Any]:
        """What the last heartbeat told."""
        return await self._decoded(self.raw_info.heartbeat_details, type_hints)

    def has_last_failure(self) -> bool:
        """Whether an attempt has failed, and why came with it."""
        return self.raw_info.HasField("last_failure")

    async def last_failure(self) -> BaseException | None:
        """Why the last attempt failed; None when none has, or that did not come with it."""
        if not self.raw_info.HasField("last_failure"):
            return None
        return await self.data_converter.decode_failure(self.raw_info.last_failure)

    async def _decoded(self, payloads: Payloads | None, hints: list[Any] | None) -> list[Any]:
        if payloads is None:
            return []
        return await self.data_converter.decode_wrapper(payloads, hints)


def common_of(
    info: ActivityExecutionListInfo | ActivityExecutionInfo, connection: Connection
) -> dict[str, Any]:
    """What a list and a description have in common."""
    return {
        "activity_id": info.activity_id,
        "activity_run_id": info.run_id or None,
        "activity_type": info.activity_type.name,
        "close_time": time_of(info, "close_time"),
        "execution_duration": (
            info.execution_duration.ToTimedelta() if info.HasField("execution_duration") else None
        ),
        "execution_time": time_of(info, "execution_time"),
        "namespace": connection.namespace,
        "schedule_time": time_of(info, "schedule_time"),
        "status": ActivityExecutionStatus(info.status),
        "task_queue": info.task_queue,
        "typed_search_attributes": decode_typed_search_attributes(info.search_attributes),
        "raw_info": info,
    }


def described(
    response: DescribeActivityExecutionResponse, connection: Connection, converter: DataConverter
) -> ActivityExecutionDescription:
    """What the service answered, as a description."""
    info = response.info
    version = info.last_deployment_version
    return ActivityExecutionDescription(
        **common_of(info, connection),
        attempt=info.attempt,
        canceled_reason=info.canceled_reason or None,
        current_retry_interval=length_of(info.current_retry_interval),
        expiration_time=time_of(info, "expiration_time"),
        heartbeat_timeout=length_of(info.heartbeat_timeout),
        last_attempt_complete_time=time_of(info, "last_attempt_complete_time"),
        last_deployment_version=(
            WorkerDeploymentVersion(version.deployment_name, version.build_id)
            if info.HasField("last_deployment_version")
            else None
        ),
        last_heartbeat_time=time_of(info, "last_heartbeat_time"),
        last_started_time=time_of(info, "last_started_time"),
        last_worker_identity=info.last_worker_identity or None,
        next_attempt_schedule_time=time_of(info, "next_attempt_schedule_time"),
        priority=Priority.from_proto(info.priority),
        retry_policy=(
            RetryPolicy.from_proto(info.retry_policy) if info.HasField("retry_policy") else None
        ),
        run_state=PendingActivityState(info.run_state) if info.run_state else None,
        schedule_to_close_timeout=length_of(info.schedule_to_close_timeout),
        schedule_to_start_timeout=length_of(info.schedule_to_start_timeout),
        start_to_close_timeout=length_of(info.start_to_close_timeout),
        start_delay=length_of(info.start_delay),
        total_heartbeat_count=info.total_heartbeat_count,
        raw_callbacks=list(response.callbacks),
        raw_input=response.input if response.HasField("input") else None,
        raw_outcome=response.outcome if response.HasField("outcome") else None,
        data_converter=converter,
    )


@dataclass(frozen=True)
class ActivityExecutionCountAggregationGroup:
    """How many activities have the same values of what the query groups by."""

    count: int
    group_values: Sequence[SearchAttributeValue]


@dataclass(frozen=True)
class ActivityExecutionCount:
    """How many activities there are; by groups, when the query groups them."""

    count: int
    groups: Sequence[ActivityExecutionCountAggregationGroup]

    @staticmethod
    def _from_response(response: CountActivityExecutionsResponse) -> ActivityExecutionCount:
        groups = [
            ActivityExecutionCountAggregationGroup(
                group.count, [json.loads(one.data) for one in group.group_values]
            )
            for group in response.groups
        ]
        return ActivityExecutionCount(response.count, groups)


class ActivityExecutionAsyncIterator(PagedAsyncIterator[ActivityExecution]):
    """Activities, fetched by pages as they are asked for. Made by `Client.list_activities`."""

    def __init__(self, connection: Connection, query: ListActivitiesInput) -> None:
        async def fetch(
            token: bytes, page_size: int | None
        ) -> tuple[Sequence[ActivityExecution], bytes]:
            response = await connection.call(
                "ListActivityExecutions",
                ListActivityExecutionsRequest(
                    namespace=connection.namespace,
                    page_size=page_size or 0,
                    next_page_token=token,
                    query=query.query or "",
                ),
                ListActivityExecutionsResponse,
                query.rpc_metadata,
                query.rpc_timeout,
            )
            found = [
                ActivityExecution(**common_of(info, connection)) for info in response.executions
            ]
            return found, response.next_page_token

        super().__init__(
            fetch,
            next_page_token=query.next_page_token,
            page_size=query.page_size,
            limit=query.limit,
        )
