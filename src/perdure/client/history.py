"""Histories: read page by page, kept, and written as JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from temporalio.api.common.v1 import WorkflowExecution as WorkflowExecutionMessage
from temporalio.api.enums.v1 import workflow_pb2
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
)

from perdure.client.connection import Connection
from perdure.client.inputs import FetchWorkflowHistoryEventsInput
from perdure.client.paging import PagedAsyncIterator


@dataclass(frozen=True)
class WorkflowHistory:
    """The events of one run, from its first."""

    workflow_id: str
    events: Sequence[HistoryEvent] = field(repr=False)
    """Not in the `repr`, which asyncio asks for where nobody sees it: it takes longer than a replay
    of them."""

    @property
    def run_id(self) -> str:
        """The run, as its first event tells it. Raises RuntimeError when there is none."""
        if not self.events:
            raise RuntimeError("No events in history")
        if not self.events[0].HasField("workflow_execution_started_event_attributes"):
            raise RuntimeError("First event is not workflow start")
        started = self.events[0].workflow_execution_started_event_attributes
        return started.original_execution_run_id

    @staticmethod
    def from_json(workflow_id: str, history: str | dict[str, Any]) -> WorkflowHistory:
        """The history in JSON, as `to_json`, Temporal's web page or its command line write it.

        Those write enumerations in several ways (`EVENT_TYPE_TIMER_STARTED`, `TimerStarted`), and
        may know fields that are not known here.
        """
        content = json.loads(history) if isinstance(history, str) else history
        message = History()
        fixed = _with_full_enum_names(content, History.DESCRIPTOR)
        json_format.ParseDict(fixed, message, ignore_unknown_fields=True)
        return WorkflowHistory(workflow_id, list(message.events))

    def to_json(self) -> str:
        """The events in protobuf's JSON, without the workflow's id."""
        return json_format.MessageToJson(History(events=self.events))

    def to_json_dict(self) -> dict[str, Any]:
        """`to_json` before it is written as text."""
        content: dict[str, Any] = json_format.MessageToDict(History(events=self.events))
        return content


class WorkflowHistoryEventAsyncIterator(PagedAsyncIterator[HistoryEvent]):
    """Events in order, fetched by pages as they are asked for. Made by `fetch_history_events`.

    With `wait_new_event`, fetching waits until there are events, or, if the service has ended the
    wait, leaves an empty page.
    """

    def __init__(self, connection: Connection, query: FetchWorkflowHistoryEventsInput) -> None:
        super().__init__(
            partial(_page, connection, query),
            next_page_token=query.next_page_token,
            page_size=query.page_size,
        )


async def first_event(
    connection: Connection, query: FetchWorkflowHistoryEventsInput
) -> HistoryEvent:
    """The first event of the history, once there is one."""
    while True:
        async for event in connection.outbound.fetch_workflow_history_events(query):
            return event


async def _page(
    connection: Connection,
    query: FetchWorkflowHistoryEventsInput,
    token: bytes,
    page_size: int | None,
) -> tuple[Sequence[HistoryEvent], bytes]:
    """A page, and the token of the next one; an empty one after the last."""
    request = GetWorkflowExecutionHistoryRequest(
        namespace=connection.namespace,
        execution=WorkflowExecutionMessage(workflow_id=query.id, run_id=query.run_id or ""),
        maximum_page_size=page_size or 0,
        next_page_token=token,
        wait_new_event=query.wait_new_event,
        history_event_filter_type=workflow_pb2.HistoryEventFilterType.ValueType(
            int(query.event_filter_type)
        ),
        skip_archival=query.skip_archival,
    )
    response = await connection.call(
        "GetWorkflowExecutionHistory",
        request,
        GetWorkflowExecutionHistoryResponse,
        query.rpc_metadata,
        query.rpc_timeout,
        long_poll=query.wait_new_event,
    )
    return _events(response), response.next_page_token


async def collected(workflow_id: str, events: AsyncIterator[HistoryEvent]) -> WorkflowHistory:
    """All events of a history."""
    return WorkflowHistory(workflow_id, [event async for event in events])


def _events(response: GetWorkflowExecutionHistoryResponse) -> Sequence[HistoryEvent]:
    """The events of a page; some services send them serialised and leave the decoding to us."""
    if not response.raw_history:
        return response.history.events
    return [
        event for blob in response.raw_history for event in History.FromString(blob.data).events
    ]


def _with_full_enum_names(content: Any, descriptor: Descriptor) -> Any:
    """The content with the names of enumerations as protobuf's JSON wants them."""
    if not isinstance(content, dict):
        return content
    fields: Mapping[str, FieldDescriptor] = {
        name: field for field in descriptor.fields for name in (field.name, field.json_name)
    }
    fixed: dict[str, Any] = {}
    for name, value in content.items():
        field = fields.get(name)
        fixed[name] = value if field is None else _fixed_field(value, field)
    return fixed


def _fixed_field(value: Any, field: FieldDescriptor) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        entry = kind.fields_by_name["value"]
        if isinstance(value, dict):
            return {key: _fixed_field(item, entry) for key, item in value.items()}
        return value
    if isinstance(value, list):
        return [_fixed_field(item, field) for item in value]
    if kind is not None:
        return _with_full_enum_names(value, kind)
    if field.enum_type is not None and isinstance(value, str):
        return _full_enum_name(value, field.enum_type)
    return value


def _full_enum_name(name: str, enumeration: EnumDescriptor) -> str:
    """`TIMER_STARTED` of `TimerStarted`, with the prefix that all names of the enumeration have."""
    if name in enumeration.values_by_name:
        return name
    words = "".join(
        f"_{letter}" if letter.isupper() and index else letter.upper()
        for index, letter in enumerate(name)
    )
    prefix = enumeration.values[0].name.removesuffix("UNSPECIFIED")
    full = prefix + words
    return full if full in enumeration.values_by_name else name
