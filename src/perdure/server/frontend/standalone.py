"""StartActivityExecution, DescribeActivityExecution, PollActivityExecution, and the lists of
activities without a workflow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from temporalio.api.activity.v1 import ActivityExecutionOutcome
from temporalio.api.command.v1 import ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import Link, Payload
from temporalio.api.enums.v1 import activity_pb2, task_queue_pb2
from temporalio.api.workflowservice.v1 import (
    CountActivityExecutionsRequest,
    CountActivityExecutionsResponse,
    DescribeActivityExecutionRequest,
    DescribeActivityExecutionResponse,
    ListActivityExecutionsRequest,
    ListActivityExecutionsResponse,
    PollActivityExecutionRequest,
    PollActivityExecutionResponse,
    StartActivityExecutionRequest,
    StartActivityExecutionResponse,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.listing import STATUS_NAMES, checked_cursor, understood
from perdure.server.frontend.services import Services
from perdure.server.frontend.tokens import (
    ActivityToken,
    decode_activity_token,
    decode_list_token,
    encode_activity_token,
    encode_list_token,
)
from perdure.server.frontend.validation import (
    check_links,
    check_priority,
    check_search_attributes,
    is_too_long,
    is_uuid,
    long_poll_seconds,
)
from perdure.server.machines import durations
from perdure.server.machines.activity import retry
from perdure.server.machines.errors import InvalidArgument, InvariantViolation
from perdure.server.machines.ports import SECOND_NS, Address, Kind, Limits
from perdure.server.machines.standalone.inputs import (
    ActivityDescribed,
    ActivityStarted,
    DescribeActivity,
    StartActivity,
)
from perdure.server.machines.standalone.state import (
    START_KEY,
    START_RECORD,
    ActivityRun,
    decode_run,
)
from perdure.server.machines.wire import set_duration
from perdure.server.machines.workflow.commands import schedule_activity
from perdure.server.store.codec import unseal
from perdure.server.store.ports import GROUPS_MAX, TooManyGroups
from perdure.server.visibility.activity_info import activity_info, activity_list_info
from perdure.transport import Caller

QUERY_NAMES = {"ActivityId": "WorkflowId", "ActivityType": "WorkflowType"}
"""What queries call what all kinds of runs have."""
METADATA_BYTES_MAX = {"summary": 400, "details": 20_000}
"""Of each payload of a start's user metadata; starts of workflows have no such limit."""
_LAST_REUSE = max(activity_pb2.ActivityIdReusePolicy.values())
_LAST_CONFLICT = max(activity_pb2.ActivityIdConflictPolicy.values())


async def start_activity_execution(
    services: Services, request: StartActivityExecutionRequest, caller: Caller
) -> bytes:
    """Start a run, or answer with the one that the policies of the request lead to."""
    namespace = services.bind_for_start(request.namespace)
    _check_start(request, namespace, services.limits)
    _default(request)
    if not request.request_id:
        request.request_id = services.ids.uuid()
    whom = Address(Kind.ACTIVITY, request.activity_id)
    reply = await services.engine.ask(namespace, whom, StartActivity(request))
    if not isinstance(reply, ActivityStarted):
        raise InvariantViolation(f"a start was answered by {type(reply).__name__}")
    link = Link.Activity(
        namespace=namespace.name, activity_id=request.activity_id, run_id=reply.run_id
    )
    return StartActivityExecutionResponse(
        run_id=reply.run_id, started=reply.is_new, link=Link(activity=link)
    ).SerializeToString()


async def describe_activity_execution(
    services: Services, request: DescribeActivityExecutionRequest, caller: Caller
) -> bytes:
    """How a run stands; with the token of an earlier description, as soon as it stands differently,
    or empty when the time is over."""
    namespace, whom = bind(services, request)
    if request.long_poll_token:
        if not request.run_id:
            raise InvalidArgument("run id is required when long poll token is provided")
        await _describe(services, namespace, whom, request.run_id)
        token = decode_activity_token(request.long_poll_token)

        run = await _describe(
            services,
            namespace,
            whom,
            request.run_id,
            lambda run: (run.run_id, run.head.transitions) != (token.run_id, token.transitions),
            _seconds(services, caller),
        )
        if (run.run_id, run.head.transitions) == (token.run_id, token.transitions):
            return b""
    else:
        run = await _describe(services, namespace, whom, request.run_id)
    token = ActivityToken(run.run_id, run.head.transitions)
    response = DescribeActivityExecutionResponse(
        run_id=run.run_id,
        info=activity_info(run, request),
        long_poll_token=encode_activity_token(token),
    )
    if request.include_input:
        start = StartActivityExecutionRequest.FromString(run.start)
        if start.HasField("input"):
            response.input.CopyFrom(start.input)
    if request.include_outcome and run.head.outcome:
        response.outcome.ParseFromString(run.head.outcome)
    return response.SerializeToString()


async def poll_activity_execution(
    services: Services, request: PollActivityExecutionRequest, caller: Caller
) -> bytes:
    """The outcome of a run, waiting for it; empty when the time is over."""
    namespace, whom = bind(services, request)
    run = await _describe(services, namespace, whom, request.run_id)
    if run.is_open:
        run = await _describe(
            services,
            namespace,
            whom,
            run.run_id,
            lambda run: not run.is_open,
            _seconds(services, caller),
        )
    if run.is_open:
        return b""
    return PollActivityExecutionResponse(
        run_id=run.run_id, outcome=ActivityExecutionOutcome.FromString(run.head.outcome)
    ).SerializeToString()


async def list_activity_executions(
    services: Services, request: ListActivityExecutionsRequest, caller: Caller
) -> bytes:
    """A page of the runs that a query is true of."""
    namespace = services.bind(request.namespace)
    query = understood(namespace, request.query, names=QUERY_NAMES)
    token = request.next_page_token
    after = checked_cursor(query, decode_list_token(token)) if token else None
    size, size_max = request.page_size, services.limits.list_page_max
    limit = size if 0 < size <= size_max else size_max
    page = await services.store.list_executions(
        namespace.number, after, limit, ((START_RECORD, START_KEY),), query, Kind.ACTIVITY
    )
    response = ListActivityExecutionsResponse()
    for number, listed in enumerate(page.runs):
        if number % 50 == 49:
            await asyncio.sleep(0)  # Others have their turn.
        records = [(record.kind, record.key, unseal(record.blob)) for record in listed.records]
        run = decode_run(unseal(listed.head), records)
        response.executions.append(activity_list_info(run))
    if page.next is not None:
        response.next_page_token = encode_list_token(page.next)
    return response.SerializeToString()


async def count_activity_executions(
    services: Services, request: CountActivityExecutionsRequest, caller: Caller
) -> bytes:
    """How many runs a query is true of, and of each group how many, if it makes groups."""
    namespace = services.bind(request.namespace)
    query = understood(namespace, request.query, is_count=True, names=QUERY_NAMES)
    try:
        counts = await services.store.count_executions(namespace.number, query, kind=Kind.ACTIVITY)
    except TooManyGroups as error:
        raise InvalidArgument(f"invalid query: more than {GROUPS_MAX:,} groups") from error
    response = CountActivityExecutionsResponse(count=sum(counts.values()))
    if query.group is not None:
        is_status = query.group.name == "ExecutionStatus"
        named = {
            "" if value is None else STATUS_NAMES[value] if is_status else str(value): count
            for value, count in counts.items()
        }
        for name, count in sorted(named.items()):
            group = response.groups.add(count=count)
            metadata = {"encoding": b"json/plain", "type": b"Keyword"}
            group.group_values.append(Payload(metadata=metadata, data=msgspec.json.encode(name)))
    return response.SerializeToString()


def bind(services: Services, request: object) -> tuple[NamespaceRef, Address]:
    """The namespace and the activity that a request names. Raises InvalidArgument."""
    namespace = services.bind(request.namespace)  # type: ignore[attr-defined]
    activity_id: str = request.activity_id  # type: ignore[attr-defined]
    run_id: str = request.run_id  # type: ignore[attr-defined]
    length_max = services.limits.id_length_max
    if not activity_id:
        raise InvalidArgument("activity ID is required")
    _check_length("activity ID", activity_id, length_max)
    if run_id and not is_uuid(run_id):
        raise InvalidArgument("invalid run id: must be a valid UUID")
    for name in ("identity", "request_id"):
        _check_length(name.replace("_id", " ID"), getattr(request, name, ""), length_max)
    return namespace, Address(Kind.ACTIVITY, activity_id)


def _check_length(name: str, text: str, length_max: int) -> None:
    if is_too_long(text, length_max):
        size = len(text.encode())
        raise InvalidArgument(f"{name} exceeds length limit. Length={size} Limit={length_max}")


async def _describe(
    services: Services,
    namespace: NamespaceRef,
    whom: Address,
    run_id: str,
    is_wanted: Callable[[ActivityRun], bool] = lambda run: True,
    seconds: float = 0,
) -> ActivityRun:
    """A run as it stands, waiting so long for it to stand as is wanted."""
    reply = await services.engine.ask_until(
        namespace,
        whom,
        DescribeActivity(run_id),
        lambda reply: not isinstance(reply, ActivityDescribed) or is_wanted(reply.run),
        seconds,
    )
    if not isinstance(reply, ActivityDescribed):
        raise InvariantViolation(f"a description was answered by {type(reply).__name__}")
    return reply.run


def _seconds(services: Services, caller: Caller) -> float:
    return long_poll_seconds(
        caller.time_remaining(), services.limits.history_poll_ns_max / SECOND_NS
    )


def _check_start(
    request: StartActivityExecutionRequest, namespace: NamespaceRef, limits: Limits
) -> None:
    """What is wrong with a start, in the order and the words of the real server."""
    attributes = _attributes(request)
    length_max = limits.id_length_max
    if request.activity_id:
        _check_length("activityId", request.activity_id, length_max)
    if request.activity_type.name:
        _check_length("activityType", request.activity_type.name, length_max)
    if problem := schedule_activity.problem_of(attributes, "", length_max):
        raise InvalidArgument(problem)
    try:
        check_priority(request.priority)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid priorities: {error}") from error
    if request.HasField("start_delay") and (problem := durations.problem_of(request.start_delay)):
        raise InvalidArgument(f"invalid StartDelay: {problem}")
    _check_length("request ID", request.request_id, length_max)
    _check_length("identity", request.identity, length_max)
    if request.input.ByteSize() > limits.blob_size_bytes_max:
        raise InvalidArgument("input exceeds length limit")
    for name, size_max in METADATA_BYTES_MAX.items():
        size = getattr(request.user_metadata, name).ByteSize()
        if size > size_max:
            raise InvalidArgument(
                f"user_metadata.{name} exceeds size limit. Length={size} Limit={size_max}"
            )
    if not 0 <= request.id_reuse_policy <= _LAST_REUSE:
        raise InvalidArgument(f"unsupported ID reuse policy: {request.id_reuse_policy}")
    if not 0 <= request.id_conflict_policy <= _LAST_CONFLICT:
        raise InvalidArgument(f"unsupported ID conflict policy: {request.id_conflict_policy}")
    check_search_attributes(request.search_attributes, namespace, limits)
    check_links(request.links, limits)
    if request.completion_callbacks:
        url = request.completion_callbacks[0].nexus.url
        raise InvalidArgument(
            f"invalid url: url does not match any configured callback address: {url}"
        )


def _attributes(
    request: StartActivityExecutionRequest,
) -> ScheduleActivityTaskCommandAttributes:
    """The same as a workflow would ask for it, since the same rules hold."""
    attributes = ScheduleActivityTaskCommandAttributes(
        activity_id=request.activity_id, activity_type=request.activity_type
    )
    for name in (
        "task_queue",
        "schedule_to_close_timeout",
        "schedule_to_start_timeout",
        "start_to_close_timeout",
        "heartbeat_timeout",
        "retry_policy",
    ):
        if request.HasField(name):
            getattr(attributes, name).CopyFrom(getattr(request, name))
    return attributes


def _default(request: StartActivityExecutionRequest) -> None:
    """Fill in what the request leaves open."""
    timeouts = schedule_activity.timeouts_of(_attributes(request), 0)
    set_duration(request.schedule_to_close_timeout, timeouts[0])
    set_duration(request.schedule_to_start_timeout, timeouts[1])
    set_duration(request.start_to_close_timeout, timeouts[2])
    set_duration(request.heartbeat_timeout, timeouts[3])
    retry.with_defaults(request.retry_policy)
    retry.validate(request.retry_policy)  # It cuts what is too long.
    request.task_queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL
