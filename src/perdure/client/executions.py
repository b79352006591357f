"""Runs as the service describes, lists and counts them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsResponse,
    DescribeWorkflowExecutionResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
)

from perdure.client.connection import UNSET, Connection
from perdure.client.history import (
    WorkflowHistory,
    collected,
)
from perdure.client.inputs import FetchWorkflowHistoryEventsInput, ListWorkflowsInput
from perdure.client.paging import PagedAsyncIterator
from perdure.client.status import WorkflowExecutionStatus, WorkflowHistoryEventFilterType
from perdure.common import SearchAttributes, SearchAttributeValue, TypedSearchAttributes
from perdure.converter import (
    DataConverter,
    WorkflowSerializationContext,
    decode_search_attributes,
    decode_typed_search_attributes,
)
from perdure.service import Metadata


@dataclass
class WorkflowExecution:
    """What is known of a run without reading its history."""

    close_time: datetime | None
    execution_time: datetime | None
    """When it begins to run, after a start delay or a backoff."""
    history_length: int
    id: str
    namespace: str
    parent_id: str | None
    parent_run_id: str | None
    root_id: str | None
    root_run_id: str | None
    raw_info: WorkflowExecutionInfo
    run_id: str
    search_attributes: SearchAttributes
    start_time: datetime
    status: WorkflowExecutionStatus | None
    task_queue: str
    typed_search_attributes: TypedSearchAttributes
    workflow_type: str
    _data_converter: DataConverter = field(repr=False)

    @classmethod
    def _from_info(cls, info: WorkflowExecutionInfo, connection: Connection, **more: Any) -> Self:
        parent = info.parent_execution if info.HasField("parent_execution") else None
        root = info.root_execution if info.HasField("root_execution") else None
        known = info.status in WorkflowExecutionStatus._value2member_map_
        return cls(
            close_time=time_of(info, "close_time"),
            execution_time=time_of(info, "execution_time"),
            history_length=info.history_length,
            id=info.execution.workflow_id,
            namespace=connection.namespace,
            parent_id=parent.workflow_id if parent is not None else None,
            parent_run_id=parent.run_id if parent is not None else None,
            root_id=root.workflow_id if root is not None else None,
            root_run_id=root.run_id if root is not None else None,
            raw_info=info,
            run_id=info.execution.run_id,
            search_attributes=decode_search_attributes(info.search_attributes),
            start_time=_utc(info.start_time),
            status=WorkflowExecutionStatus(info.status) if known else None,
            task_queue=info.task_queue,
            typed_search_attributes=decode_typed_search_attributes(info.search_attributes),
            workflow_type=info.type.name,
            _data_converter=connection.data_converter,
            **more,
        )

    @property
    def data_converter(self) -> DataConverter:
        """The data converter for the values of this workflow."""
        return self._data_converter.with_context(
            WorkflowSerializationContext(namespace=self.namespace, workflow_id=self.id)
        )

    async def memo(self) -> Mapping[str, Any]:
        """The values of the memo, by name."""
        return {
            name: (await self.data_converter.decode([payload]))[0]
            for name, payload in self.raw_info.memo.fields.items()
        }

    async def memo_value(self, key: str, default: Any = UNSET, *, type_hint: Any = None) -> Any:
        """One value of the memo, or the default. Raises KeyError when there is neither."""
        payload = self.raw_info.memo.fields.get(key)
        if payload is None:
            if default is UNSET:
                raise KeyError(f"Memo does not have a value for key {key}")
            return default
        hints = None if type_hint is None else [type_hint]
        return (await self.data_converter.decode([payload], hints))[0]


@dataclass
class WorkflowExecutionDescription(WorkflowExecution):
    """What the service answers when it is asked for one run."""

    raw_description: DescribeWorkflowExecutionResponse

    @staticmethod
    def _from_response(
        response: DescribeWorkflowExecutionResponse, connection: Connection
    ) -> WorkflowExecutionDescription:
        return WorkflowExecutionDescription._from_info(
            response.workflow_execution_info, connection, raw_description=response
        )

    async def static_summary(self) -> str | None:
        """The line about this run that was given when it was started."""
        metadata = self.raw_description.execution_config.user_metadata
        return await self._text(metadata.summary) if metadata.HasField("summary") else None

    async def static_details(self) -> str | None:
        """The text about this run that was given when it was started."""
        metadata = self.raw_description.execution_config.user_metadata
        return await self._text(metadata.details) if metadata.HasField("details") else None

    async def _text(self, payload: Payload) -> str:
        text: str = (await self.data_converter.decode([payload], [str]))[0]
        return text


class WorkflowExecutionAsyncIterator(PagedAsyncIterator[WorkflowExecution]):
    """Runs, fetched by pages as they are asked for. Made by `Client.list_workflows`."""

    def __init__(self, connection: Connection, query: ListWorkflowsInput) -> None:
        async def fetch(
            token: bytes, page_size: int | None
        ) -> tuple[Sequence[WorkflowExecution], bytes]:
            response = await connection.call(
                "ListWorkflowExecutions",
                ListWorkflowExecutionsRequest(
                    namespace=connection.namespace,
                    page_size=page_size or 0,
                    next_page_token=token,
                    query=query.query or "",
                ),
                ListWorkflowExecutionsResponse,
                query.rpc_metadata,
                query.rpc_timeout,
            )
            found = [WorkflowExecution._from_info(info, connection) for info in response.executions]
            return found, response.next_page_token

        super().__init__(
            fetch,
            next_page_token=query.next_page_token,
            page_size=query.page_size,
            limit=query.limit,
        )
        self._connection = connection

    async def map_histories(
        self,
        *,
        event_filter_type: WorkflowHistoryEventFilterType = (
            WorkflowHistoryEventFilterType.ALL_EVENT
        ),
        skip_archival: bool = False,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> AsyncIterator[WorkflowHistory]:
        """The history of each run that is left."""
        async for execution in self:
            query = FetchWorkflowHistoryEventsInput(
                id=execution.id,
                run_id=execution.run_id,
                page_size=None,
                next_page_token=None,
                wait_new_event=False,
                event_filter_type=event_filter_type,
                skip_archival=skip_archival,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
            events = self._connection.outbound.fetch_workflow_history_events(query)
            yield await collected(execution.id, events)


@dataclass
class WorkflowExecutionCountAggregationGroup:
    """How many runs have the same values of what the query groups by."""

    count: int
    group_values: Sequence[SearchAttributeValue]


@dataclass
class WorkflowExecutionCount:
    """How many runs there are; by groups, when the query groups them."""

    count: int
    groups: Sequence[WorkflowExecutionCountAggregationGroup]

    @staticmethod
    def _from_response(response: CountWorkflowExecutionsResponse) -> WorkflowExecutionCount:
        groups = [
            WorkflowExecutionCountAggregationGroup(
                count=group.count, group_values=[json.loads(one.data) for one in group.group_values]
            )
            for group in response.groups
        ]
        return WorkflowExecutionCount(count=response.count, groups=groups)


def time_of(info: Message, name: str) -> datetime | None:
    """A time that a message may have."""
    return _utc(getattr(info, name)) if info.HasField(name) else None


def _utc(time: Timestamp) -> datetime:
    return time.ToDatetime(tzinfo=UTC)
