"""Schedules as the service tells of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from temporalio.api.common.v1 import Memo
from temporalio.api.schedule.v1 import Schedule as ScheduleMessage
from temporalio.api.schedule.v1 import ScheduleActionResult as ScheduleActionResultMessage
from temporalio.api.schedule.v1 import ScheduleInfo as ScheduleInfoMessage
from temporalio.api.schedule.v1 import ScheduleListEntry
from temporalio.api.schedule.v1 import ScheduleListInfo as ScheduleListInfoMessage
from temporalio.api.workflowservice.v1 import (
    DescribeScheduleResponse,
    ListSchedulesRequest,
    ListSchedulesResponse,
)

from perdure.client.connection import UNSET, Connection
from perdure.client.inputs import ListSchedulesInput
from perdure.client.paging import PagedAsyncIterator
from perdure.client.schedule_action import ScheduleAction, ScheduleActionStartWorkflow
from perdure.client.schedule_spec import SchedulePolicy, ScheduleSpec, ScheduleState, time_of
from perdure.common import SearchAttributes, TypedSearchAttributes
from perdure.converter import (
    DataConverter,
    decode_search_attributes,
    decode_typed_search_attributes,
)


@dataclass
class Schedule:
    """What to do, and when."""

    action: ScheduleAction
    spec: ScheduleSpec
    policy: SchedulePolicy = field(default_factory=SchedulePolicy)
    state: ScheduleState = field(default_factory=ScheduleState)

    async def _to_proto(self, connection: Connection) -> ScheduleMessage:
        if not isinstance(self.action, ScheduleActionStartWorkflow):
            raise TypeError(f"a schedule cannot do {self.action!r}")
        return ScheduleMessage(
            spec=self.spec._to_proto(),
            action=await self.action._to_proto(connection),
            policies=self.policy._to_proto(),
            state=self.state._to_proto(),
        )

    @staticmethod
    def _from_proto(message: ScheduleMessage) -> Schedule:
        info = message.action.start_workflow
        return Schedule(
            action=ScheduleActionStartWorkflow(info.workflow_type.name, raw_info=info),
            spec=ScheduleSpec._from_proto(message.spec),
            policy=SchedulePolicy._from_proto(message.policies),
            state=ScheduleState._from_proto(message.state),
        )


class ScheduleActionExecution:
    """What came of an action; a started workflow is all there is."""


@dataclass(frozen=True)
class ScheduleActionExecutionStartWorkflow(ScheduleActionExecution):
    """A workflow that was started."""

    workflow_id: str
    first_execution_run_id: str


@dataclass(frozen=True)
class ScheduleActionResult:
    """An action that was taken."""

    scheduled_at: datetime
    started_at: datetime
    action: ScheduleActionExecution

    @staticmethod
    def _from_proto(message: ScheduleActionResultMessage) -> ScheduleActionResult:
        started = message.start_workflow_result
        return ScheduleActionResult(
            scheduled_at=time_of(message.schedule_time),
            started_at=time_of(message.actual_time),
            action=ScheduleActionExecutionStartWorkflow(started.workflow_id, started.run_id),
        )


def _results_of(messages: Iterable[ScheduleActionResultMessage]) -> list[ScheduleActionResult]:
    return [ScheduleActionResult._from_proto(message) for message in messages]


@dataclass(frozen=True)
class ScheduleInfo:
    """What a schedule has done, and will do next."""

    num_actions: int
    num_actions_missed_catchup_window: int
    num_actions_skipped_overlap: int
    running_actions: Sequence[ScheduleActionExecution]
    recent_actions: Sequence[ScheduleActionResult]
    next_action_times: Sequence[datetime]
    created_at: datetime
    last_updated_at: datetime | None

    @staticmethod
    def _from_proto(message: ScheduleInfoMessage) -> ScheduleInfo:
        was_updated = message.HasField("update_time")
        return ScheduleInfo(
            num_actions=message.action_count,
            num_actions_missed_catchup_window=message.missed_catchup_window,
            num_actions_skipped_overlap=message.overlap_skipped,
            running_actions=[
                ScheduleActionExecutionStartWorkflow(one.workflow_id, one.run_id)
                for one in message.running_workflows
            ],
            recent_actions=_results_of(message.recent_actions),
            next_action_times=[time_of(one) for one in message.future_action_times],
            created_at=time_of(message.create_time),
            last_updated_at=time_of(message.update_time) if was_updated else None,
        )


class _HasMemo(Protocol):
    """What can be asked for the values of its memo."""

    data_converter: DataConverter

    @property
    def _memo(self) -> Memo: ...

    async def memo(self) -> Mapping[str, Any]:
        """The values of the memo, by name."""
        return {
            name: (await self.data_converter.decode([payload]))[0]
            for name, payload in self._memo.fields.items()
        }

    async def memo_value(self, key: str, default: Any = UNSET, *, type_hint: Any = None) -> Any:
        """One value of the memo. Raises KeyError when there is none and no default."""
        payload = self._memo.fields.get(key)
        if payload is None:
            if default is UNSET:
                raise KeyError(f"Memo does not have a value for key {key}")
            return default
        hints = None if type_hint is None else [type_hint]
        return (await self.data_converter.decode([payload], hints))[0]


@dataclass
class ScheduleDescription(_HasMemo):
    """All that there is to know of a schedule."""

    id: str
    schedule: Schedule
    info: ScheduleInfo
    typed_search_attributes: TypedSearchAttributes
    search_attributes: SearchAttributes
    data_converter: DataConverter
    raw_description: DescribeScheduleResponse

    @property
    def _memo(self) -> Memo:
        return self.raw_description.memo

    @staticmethod
    def _from_proto(
        schedule_id: str, message: DescribeScheduleResponse, connection: Connection
    ) -> ScheduleDescription:
        return ScheduleDescription(
            id=schedule_id,
            schedule=Schedule._from_proto(message.schedule),
            info=ScheduleInfo._from_proto(message.info),
            typed_search_attributes=decode_typed_search_attributes(message.search_attributes),
            search_attributes=decode_search_attributes(message.search_attributes),
            data_converter=connection.data_converter,
            raw_description=message,
        )


@dataclass
class ScheduleUpdateInput:
    """What an updater is given: the schedule as it is, to be changed and given back."""

    description: ScheduleDescription


@dataclass
class ScheduleUpdate:
    """What an updater gives back. Search attributes that are None stay as they are."""

    schedule: Schedule
    search_attributes: TypedSearchAttributes | None = None


class ScheduleListAction:
    """What a schedule of a list does; starting a workflow is all there is."""


@dataclass(frozen=True)
class ScheduleListActionStartWorkflow(ScheduleListAction):
    """It starts a workflow."""

    workflow: str


@dataclass(frozen=True)
class ScheduleListInfo:
    """What a schedule of a list has done, and will do next."""

    recent_actions: Sequence[ScheduleActionResult]
    next_action_times: Sequence[datetime]

    @staticmethod
    def _from_proto(message: ScheduleListInfoMessage) -> ScheduleListInfo:
        return ScheduleListInfo(
            recent_actions=_results_of(message.recent_actions),
            next_action_times=[time_of(one) for one in message.future_action_times],
        )


@dataclass(frozen=True)
class ScheduleListState:
    """Whether a schedule of a list acts."""

    note: str | None
    paused: bool


@dataclass(frozen=True)
class ScheduleListSchedule:
    """A schedule of a list: what it does, and when."""

    action: ScheduleListAction
    spec: ScheduleSpec
    state: ScheduleListState

    @staticmethod
    def _from_proto(message: ScheduleListInfoMessage) -> ScheduleListSchedule:
        return ScheduleListSchedule(
            action=ScheduleListActionStartWorkflow(message.workflow_type.name),
            spec=ScheduleSpec._from_proto(message.spec),
            state=ScheduleListState(note=message.notes or None, paused=message.paused),
        )


@dataclass
class ScheduleListDescription(_HasMemo):
    """A schedule of a list. What it does is told a little later than that it exists."""

    id: str
    schedule: ScheduleListSchedule | None
    info: ScheduleListInfo | None
    typed_search_attributes: TypedSearchAttributes
    search_attributes: SearchAttributes
    data_converter: DataConverter
    raw_entry: ScheduleListEntry

    @property
    def _memo(self) -> Memo:
        return self.raw_entry.memo

    @staticmethod
    def _from_proto(
        message: ScheduleListEntry, data_converter: DataConverter
    ) -> ScheduleListDescription:
        has_info = message.HasField("info")
        return ScheduleListDescription(
            id=message.schedule_id,
            schedule=ScheduleListSchedule._from_proto(message.info) if has_info else None,
            info=ScheduleListInfo._from_proto(message.info) if has_info else None,
            typed_search_attributes=decode_typed_search_attributes(message.search_attributes),
            search_attributes=decode_search_attributes(message.search_attributes),
            data_converter=data_converter,
            raw_entry=message,
        )


class ScheduleAsyncIterator(PagedAsyncIterator[ScheduleListDescription]):
    """Schedules, fetched by pages as they are asked for. Made by `Client.list_schedules`."""

    def __init__(self, connection: Connection, asked: ListSchedulesInput) -> None:
        async def fetch(
            token: bytes, page_size: int | None
        ) -> tuple[Sequence[ScheduleListDescription], bytes]:
            response = await connection.call(
                "ListSchedules",
                ListSchedulesRequest(
                    namespace=connection.namespace,
                    maximum_page_size=page_size or 0,
                    next_page_token=token,
                    query=asked.query or "",
                ),
                ListSchedulesResponse,
                asked.rpc_metadata,
                asked.rpc_timeout,
            )
            found = [
                ScheduleListDescription._from_proto(entry, connection.data_converter)
                for entry in response.schedules
            ]
            return found, response.next_page_token

        super().__init__(fetch, next_page_token=asked.next_page_token, page_size=asked.page_size)
