"""CreateSchedule and its relatives."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.schedule.v1 import SchedulePatch
from temporalio.api.workflowservice.v1 import (
    CountSchedulesRequest,
    CountSchedulesResponse,
    CreateScheduleRequest,
    CreateScheduleResponse,
    DeleteScheduleRequest,
    DeleteScheduleResponse,
    DescribeScheduleRequest,
    ListScheduleMatchingTimesRequest,
    ListScheduleMatchingTimesResponse,
    ListSchedulesRequest,
    ListSchedulesResponse,
    PatchScheduleRequest,
    PatchScheduleResponse,
    UpdateScheduleRequest,
    UpdateScheduleResponse,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend import schedule_checks, schedule_views
from perdure.server.frontend.responses import embedded
from perdure.server.frontend.services import Services
from perdure.server.frontend.tokens import decode_list_token, encode_list_token
from perdure.server.frontend.validation import is_too_long
from perdure.server.machines.errors import InvalidArgument, InvariantViolation
from perdure.server.machines.ports import Address, Kind
from perdure.server.machines.schedule import inputs
from perdure.server.machines.schedule.codec import record_key
from perdure.server.machines.schedule.decide import not_found_text
from perdure.server.machines.schedule.state import BLOB_RECORD, Backfill, Blob, Overlap
from perdure.server.machines.wire import is_timestamp, timestamp, timestamp_ns
from perdure.server.visibility.query.binding import CannotFilter, QueryError, understand
from perdure.server.visibility.query.tree import Query
from perdure.transport import Caller

NO_ID = "Can't load workflow execution.  WorkflowId not set."
STORED_NS_MAX = 2**63 - 1
FUTURE_TIMES = 10
"""Times that a description tells."""
MATCHING_TIMES_MAX = 1000
STARTS_SECONDS_MAX = 1.0
"""How long a description waits for workflows that are about to start."""
LISTED_AT_ONCE = 20
"""Schedules that are read, and made into messages, at a time: a memo may have megabytes."""
PAGE_BYTES_MAX = 4 * 1024 * 1024
_SHOWN_RECORDS = tuple(
    (BLOB_RECORD, record_key(BLOB_RECORD, blob)) for blob in (Blob.MEMO, Blob.SEARCH_ATTRIBUTES)
)
_ENTRIES = ListSchedulesResponse.SCHEDULES_FIELD_NUMBER

ReplyType = TypeVar("ReplyType", bound=inputs.Reply)


async def create_schedule(
    services: Services, request: CreateScheduleRequest, caller: Caller
) -> bytes:
    """Begin a schedule."""
    namespace = services.bind(request.namespace)
    schedule_checks.check_names(request.schedule_id, request.request_id, services.limits)
    settings, blobs = schedule_checks.settings_of(request.schedule, namespace, services.limits)
    schedule_checks.add_texts(
        blobs, request.memo, request.search_attributes, namespace, services.limits
    )
    message = inputs.CreateSchedule(
        request.request_id,
        settings,
        {name: content for name, content in blobs.items() if content},
        _patch(request.initial_patch),
    )
    reply = await _ask(services, namespace, request.schedule_id, message, inputs.Created)
    token = reply.conflict_token.to_bytes(8, "big")
    return CreateScheduleResponse(conflict_token=token).SerializeToString()


async def describe_schedule(
    services: Services, request: DescribeScheduleRequest, caller: Caller
) -> bytes:
    """Tell all of a schedule."""
    namespace = _bind(services, request.namespace, request.schedule_id)
    # Whoever has triggered an action wants to see it: what was asked for is waited for.
    reply = await services.engine.ask_until(
        namespace,
        Address(Kind.SCHEDULE, request.schedule_id),
        inputs.DescribeSchedule(FUTURE_TIMES),
        _is_settled,
        STARTS_SECONDS_MAX,
    )
    return schedule_views.description(reply).SerializeToString()


def _is_settled(described: inputs.Described) -> bool:
    return not any(start.is_sent for start in described.state.buffer)


async def update_schedule(
    services: Services, request: UpdateScheduleRequest, caller: Caller
) -> bytes:
    """Replace what a client sets of a schedule."""
    namespace = _bind(services, request.namespace, request.schedule_id)
    schedule_checks.check_request_id(request.request_id, services.limits)
    if not request.schedule.action.HasField("start_workflow"):
        raise InvalidArgument("Only StartWorkflow action is supported for schedules")
    settings, blobs = schedule_checks.settings_of(request.schedule, namespace, services.limits)
    schedule_checks.add_texts(
        blobs,
        request.memo if request.HasField("memo") else None,
        request.search_attributes if request.HasField("search_attributes") else None,
        namespace,
        services.limits,
    )
    message = inputs.UpdateSchedule(request.request_id, settings, blobs, request.conflict_token)
    await _ask(services, namespace, request.schedule_id, message, inputs.Done)
    return UpdateScheduleResponse().SerializeToString()


async def patch_schedule(
    services: Services, request: PatchScheduleRequest, caller: Caller
) -> bytes:
    """Trigger, backfill, pause or unpause a schedule."""
    namespace = _bind(services, request.namespace, request.schedule_id)
    if not request.HasField("patch"):
        raise InvalidArgument("Patch is not set on request.")
    schedule_checks.check_request_id(request.request_id, services.limits)
    for note in (request.patch.pause, request.patch.unpause):
        if is_too_long(note, services.limits.id_length_max):
            raise InvalidArgument("Schedule notes exceeds limit.")
    message = inputs.PatchSchedule(request.request_id, _patch(request.patch))
    await _ask(services, namespace, request.schedule_id, message, inputs.Done)
    return PatchScheduleResponse().SerializeToString()


async def delete_schedule(
    services: Services, request: DeleteScheduleRequest, caller: Caller
) -> bytes:
    """Forget a schedule."""
    namespace = _bind(services, request.namespace, request.schedule_id)
    message = inputs.DeleteSchedule()
    await _ask(services, namespace, request.schedule_id, message, inputs.Done)
    return DeleteScheduleResponse().SerializeToString()


async def list_schedule_matching_times(
    services: Services, request: ListScheduleMatchingTimesRequest, caller: Caller
) -> bytes:
    """When a schedule acts, later than one time and not later than another."""
    namespace = _bind(services, request.namespace, request.schedule_id)
    if not (request.HasField("start_time") and request.HasField("end_time")):
        raise InvalidArgument("missing or invalid query")
    for time in (request.start_time, request.end_time):
        _check_time(time)
    message = inputs.ListTimes(
        timestamp_ns(request.start_time), timestamp_ns(request.end_time), MATCHING_TIMES_MAX
    )
    reply = await _ask(services, namespace, request.schedule_id, message, inputs.Listed)
    times = [timestamp(coming.due_ns) for coming in reply.times]
    return ListScheduleMatchingTimesResponse(start_time=times).SerializeToString()


async def list_schedules(
    services: Services, request: ListSchedulesRequest, caller: Caller
) -> bytes:
    """A page of the schedules that a query is true of, the newest first."""
    namespace = services.bind(request.namespace)
    query = _query(namespace, request.query)
    after = decode_list_token(request.next_page_token) if request.next_page_token else None
    if after is not None and len(after.keys) != len(query.order):
        raise InvalidArgument("Invalid NextPageToken.")
    size, size_max = request.maximum_page_size, services.limits.list_page_max
    limit = size if 0 < size <= size_max else size_max
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        wanted = min(LISTED_AT_ONCE, limit - len(parts))
        page = await services.store.list_executions(
            namespace.number, after, wanted, _SHOWN_RECORDS, query, Kind.SCHEDULE
        )
        now_ns = services.clock.now_ns()
        parts += [
            embedded(_ENTRIES, schedule_views.entry(listed, namespace, now_ns))
            for listed in page.runs
        ]
        size_bytes += sum(map(len, parts[-len(page.runs) :])) if page.runs else 0
        after = page.next
        if after is None or len(parts) >= limit or size_bytes >= PAGE_BYTES_MAX:
            break
    if after is not None:
        following = ListSchedulesResponse(next_page_token=encode_list_token(after))
        parts.append(following.SerializeToString())
    return b"".join(parts)


async def count_schedules(
    services: Services, request: CountSchedulesRequest, caller: Caller
) -> bytes:
    """How many schedules a query is true of."""
    namespace = services.bind(request.namespace)
    query = _query(namespace, request.query, is_count=True)
    if query.group is not None:
        raise InvalidArgument("invalid query: schedules cannot be counted in groups")
    counts = await services.store.count_executions(namespace.number, query, kind=Kind.SCHEDULE)
    return CountSchedulesResponse(count=sum(counts.values())).SerializeToString()


def _bind(services: Services, namespace: str, schedule_id: str) -> NamespaceRef:
    found = services.bind(namespace)
    if not schedule_id:
        raise InvalidArgument(NO_ID)
    schedule_checks.check_can_exist(schedule_id, services.limits, not_found_text(schedule_id))
    return found


async def _ask(
    services: Services,
    namespace: NamespaceRef,
    schedule_id: str,
    message: inputs.Input,
    expected: type[ReplyType],
) -> ReplyType:
    whom = Address(Kind.SCHEDULE, schedule_id)
    reply = await services.engine.ask(namespace, whom, message)
    if not isinstance(reply, expected):
        raise InvariantViolation(f"a schedule answered with {type(reply).__name__}")
    return reply


def _query(namespace: NamespaceRef, text: str, *, is_count: bool = False) -> Query:
    try:
        return understand(
            text, namespace.search_attributes, is_count=is_count, is_of_schedules=True
        )
    except CannotFilter as error:
        raise InvalidArgument(
            f'invalid query filter for schedules: cannot filter on "{error}"'
        ) from error
    except QueryError as error:
        raise InvalidArgument(f"invalid query: {error}") from error


def _check_time(time: Timestamp) -> None:
    if not is_timestamp(time):
        raise InvalidArgument("a time is not between the years 1 and 9999")


def _check_stored_time(time: Timestamp) -> None:
    if not (is_timestamp(time) and abs(timestamp_ns(time)) <= STORED_NS_MAX):
        raise InvalidArgument("a time is not between the years 1678 and 2262")


def _patch(patch: SchedulePatch) -> inputs.Patch:
    """What a patch asks for; a backfill has the time that it begins with."""
    trigger = patch.trigger_immediately
    _check_stored_time(trigger.scheduled_time)
    for backfill in patch.backfill_request:
        _check_stored_time(backfill.start_time)
        _check_stored_time(backfill.end_time)
    return inputs.Patch(
        trigger=(
            schedule_checks.overlap_of(trigger.overlap_policy)
            if patch.HasField("trigger_immediately")
            else None
        ),
        trigger_ns=timestamp_ns(trigger.scheduled_time)
        if trigger.HasField("scheduled_time")
        else None,
        backfills=tuple(
            Backfill(
                timestamp_ns(backfill.start_time) - 1,
                timestamp_ns(backfill.end_time),
                Overlap(schedule_checks.overlap_of(backfill.overlap_policy)),
            )
            for backfill in patch.backfill_request
        ),
        pause=patch.pause or None,
        unpause=patch.unpause or None,
    )
