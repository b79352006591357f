"""What a schedule does: it starts a workflow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Concatenate, Required, TypedDict, Unpack, overload

from temporalio.api.common.v1 import Payload
from temporalio.api.schedule.v1 import ScheduleAction as ScheduleActionMessage
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo

from perdure._definitions import workflow_name_and_result_type
from perdure.client.connection import UNSET, Connection, arguments_of
from perdure.common import Priority, RetryPolicy, SearchAttributes, TypedSearchAttributes
from perdure.converter import (
    DataConverter,
    decode_typed_search_attributes,
    encode_search_attributes,
)
from perdure.types import ParamType, SelfType


class StartOptions(TypedDict, total=False):
    """What is said of the workflow besides its function and arguments."""

    id: Required[str]
    task_queue: Required[str]
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    memo: Mapping[str, Any] | None
    typed_search_attributes: TypedSearchAttributes
    untyped_search_attributes: SearchAttributes | None
    static_summary: str | None
    static_details: str | None
    headers: Mapping[str, Payload] | None
    priority: Priority


class ScheduleAction:
    """What a schedule can do; starting a workflow is all there is."""


@dataclass(init=False)
class ScheduleActionStartWorkflow(ScheduleAction):
    """Starts a workflow, whose id is the given one and the time.

    In a description, arguments, memo, summary and details are payloads, as the service keeps them.
    """

    workflow: str
    args: Sequence[Any] | Sequence[Payload]
    id: str
    task_queue: str
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    memo: Mapping[str, Any] | Mapping[str, Payload] | None
    typed_search_attributes: TypedSearchAttributes
    untyped_search_attributes: SearchAttributes
    static_summary: str | Payload | None
    static_details: str | Payload | None
    priority: Priority
    headers: Mapping[str, Payload] | None = field(compare=False, repr=False)

    @overload
    def __init__(
        self, workflow: Callable[[SelfType], Awaitable[Any]], **options: Unpack[StartOptions]
    ) -> None: ...

    @overload
    def __init__(
        self,
        workflow: Callable[[SelfType, ParamType], Awaitable[Any]],
        arg: ParamType,
        **options: Unpack[StartOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        workflow: Callable[Concatenate[SelfType, ...], Awaitable[Any]],
        *,
        args: Sequence[Any],
        **options: Unpack[StartOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        workflow: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        **options: Unpack[StartOptions],
    ) -> None: ...

    @overload
    def __init__(self, workflow: str, *, raw_info: NewWorkflowExecutionInfo) -> None: ...

    def __init__(
        self,
        workflow: str | Callable[..., Awaitable[Any]],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        id: str | None = None,  # noqa: A002 -- the mirrored name
        task_queue: str | None = None,
        execution_timeout: timedelta | None = None,
        run_timeout: timedelta | None = None,
        task_timeout: timedelta | None = None,
        retry_policy: RetryPolicy | None = None,
        memo: Mapping[str, Any] | None = None,
        typed_search_attributes: TypedSearchAttributes = TypedSearchAttributes.empty,
        untyped_search_attributes: SearchAttributes | None = None,
        static_summary: str | None = None,
        static_details: str | None = None,
        headers: Mapping[str, Payload] | None = None,
        raw_info: NewWorkflowExecutionInfo | None = None,
        priority: Priority = Priority.default,
    ) -> None:
        """Raises ValueError without an id or a task queue."""
        if raw_info is not None:
            self._read(raw_info)
            return
        if not id:
            raise ValueError("ID required")
        if not task_queue:
            raise ValueError("Task queue required")
        self.workflow = workflow_name_and_result_type(workflow)[0]
        self.args = arguments_of(arg, args)
        self.id = id
        self.task_queue = task_queue
        self.execution_timeout = execution_timeout
        self.run_timeout = run_timeout
        self.task_timeout = task_timeout
        self.retry_policy = retry_policy
        self.memo = memo
        self.typed_search_attributes = typed_search_attributes
        self.untyped_search_attributes = untyped_search_attributes or {}
        self.static_summary = static_summary
        self.static_details = static_details
        self.headers = headers
        self._headers_read: Mapping[str, Payload] | None = None
        self.priority = priority

    def _read(self, info: NewWorkflowExecutionInfo) -> None:
        self.workflow = info.workflow_type.name
        self.args = list(info.input.payloads)
        self.id = info.workflow_id
        self.task_queue = info.task_queue.name
        self.execution_timeout = _limit(info, "workflow_execution_timeout")
        self.run_timeout = _limit(info, "workflow_run_timeout")
        self.task_timeout = _limit(info, "workflow_task_timeout")
        has_policy = info.HasField("retry_policy")
        self.retry_policy = RetryPolicy.from_proto(info.retry_policy) if has_policy else None
        self.memo = dict(info.memo.fields) or None
        self.typed_search_attributes = decode_typed_search_attributes(info.search_attributes)
        self.untyped_search_attributes = {}
        metadata = info.user_metadata
        self.static_summary = metadata.summary if metadata.HasField("summary") else None
        self.static_details = metadata.details if metadata.HasField("details") else None
        self.headers = self._headers_read = dict(info.header.fields) or None
        self.priority = Priority.from_proto(info.priority)

    async def _to_proto(self, connection: Connection) -> ScheduleActionMessage:
        converter = connection.converter_for(self.id, self.workflow)
        message = ScheduleActionMessage()
        info = message.start_workflow
        info.workflow_id = self.id
        info.workflow_type.name = self.workflow
        info.task_queue.name = self.task_queue
        info.input.payloads.extend([await _encoded(converter, arg) for arg in self.args])
        for value, duration in (
            (self.execution_timeout, info.workflow_execution_timeout),
            (self.run_timeout, info.workflow_run_timeout),
            (self.task_timeout, info.workflow_task_timeout),
        ):
            if value is not None:
                duration.FromTimedelta(value)
        if self.retry_policy is not None:
            self.retry_policy.apply_to_proto(info.retry_policy)
        for name, kept in (self.memo or {}).items():
            info.memo.fields[name].CopyFrom(await _encoded(converter, kept))
        if self.untyped_search_attributes:
            encode_search_attributes(self.untyped_search_attributes, info.search_attributes)
        encode_search_attributes(self.typed_search_attributes, info.search_attributes)
        if self.static_summary is not None:
            info.user_metadata.summary.CopyFrom(await _encoded(converter, self.static_summary))
        if self.static_details is not None:
            info.user_metadata.details.CopyFrom(await _encoded(converter, self.static_details))
        if self.headers is self._headers_read:
            # They were never decoded.
            for name, header in (self.headers or {}).items():
                info.header.fields[name].CopyFrom(header)
        else:
            await connection.write_headers(self.headers or {}, info.header, converter)
        self.priority.apply_to_proto(info.priority)
        return message


async def _encoded(converter: DataConverter, value: Any) -> Payload:
    """The payload of a value, which may be one already."""
    return value if isinstance(value, Payload) else (await converter.encode([value]))[0]


def _limit(info: NewWorkflowExecutionInfo, name: str) -> timedelta | None:
    if not info.HasField(name):  # type: ignore[arg-type]
        return None
    limit: timedelta = getattr(info, name).ToTimedelta()
    return limit
