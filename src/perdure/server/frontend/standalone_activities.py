"""StartActivityExecution, DescribeActivityExecution, PollActivityExecution, and the lists of
activities without a workflow."""

from __future__ import annotations

from temporalio.api.activity.v1 import ActivityExecutionOutcome
from temporalio.api.command.v1 import ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import Link
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
from perdure.server.frontend.services import Services
from perdure.server.frontend.standalone import (
    check_length,
    check_metadata,
    count,
    described,
    listed,
    poll_seconds,
    started,
)
from perdure.server.frontend.tokens import (
    ActivityToken,
    decode_activity_token,
    encode_activity_token,
)
from perdure.server.frontend.validation import (
    check_links,
    check_priority,
    check_search_attributes,
    is_uuid,
)
from perdure.server.machines import durations
from perdure.server.machines.activity import retry
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import Address, Kind, Limits
from perdure.server.machines.standalone_activity.inputs import (
    StartActivity,
)
from perdure.server.machines.standalone_activity.state import (
    decode_run,
)
from perdure.server.machines.wire import set_duration
from perdure.server.machines.workflow.commands import schedule_activity
from perdure.server.visibility.activity_info import activity_info, activity_list_info
from perdure.transport import Caller

QUERY_NAMES = {"ActivityId": "WorkflowId", "ActivityType": "WorkflowType"}
"""What queries call what all kinds of runs have."""
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
    reply = await started(services, namespace, whom, StartActivity(request))
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
        await described(services, namespace, whom, request.run_id)
        token = decode_activity_token(request.long_poll_token)

        run = await described(
            services,
            namespace,
            whom,
            request.run_id,
            lambda run: (run.run_id, run.head.transitions) != (token.run_id, token.transitions),
            poll_seconds(services, caller),
        )
        if (run.run_id, run.head.transitions) == (token.run_id, token.transitions):
            return b""
    else:
        run = await described(services, namespace, whom, request.run_id)
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
    run = await described(services, namespace, whom, request.run_id)
    if run.is_open:
        run = await described(
            services,
            namespace,
            whom,
            run.run_id,
            lambda run: not run.is_open,
            poll_seconds(services, caller),
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
    runs, token = await listed(services, request, Kind.ACTIVITY, QUERY_NAMES, decode_run)
    return ListActivityExecutionsResponse(
        executions=map(activity_list_info, runs), next_page_token=token
    ).SerializeToString()


async def count_activity_executions(
    services: Services, request: CountActivityExecutionsRequest, caller: Caller
) -> bytes:
    """How many runs a query is true of, and of each group how many, if it makes groups."""
    response = CountActivityExecutionsResponse()
    return await count(services, request, response, Kind.ACTIVITY, QUERY_NAMES)


def bind(services: Services, request: object) -> tuple[NamespaceRef, Address]:
    """The namespace and the activity that a request names. Raises InvalidArgument."""
    namespace = services.bind(request.namespace)  # type: ignore[attr-defined]
    activity_id: str = request.activity_id  # type: ignore[attr-defined]
    run_id: str = request.run_id  # type: ignore[attr-defined]
    length_max = services.limits.id_length_max
    if not activity_id:
        raise InvalidArgument("activity ID is required")
    check_length("activity ID", activity_id, length_max)
    if run_id and not is_uuid(run_id):
        raise InvalidArgument("invalid run id: must be a valid UUID")
    for name in ("identity", "request_id"):
        check_length(name.replace("_id", " ID"), getattr(request, name, ""), length_max)
    return namespace, Address(Kind.ACTIVITY, activity_id)


def _check_start(
    request: StartActivityExecutionRequest, namespace: NamespaceRef, limits: Limits
) -> None:
    """What is wrong with a start, in the order and the words of the real server."""
    attributes = _attributes(request)
    length_max = limits.id_length_max
    if request.activity_id:
        check_length("activityId", request.activity_id, length_max)
    if request.activity_type.name:
        check_length("activityType", request.activity_type.name, length_max)
    if problem := schedule_activity.problem_of(attributes, "", length_max):
        raise InvalidArgument(problem)
    try:
        check_priority(request.priority)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid priorities: {error}") from error
    if request.HasField("start_delay") and (problem := durations.problem_of(request.start_delay)):
        raise InvalidArgument(f"invalid StartDelay: {problem}")
    check_length("request ID", request.request_id, length_max)
    check_length("identity", request.identity, length_max)
    if request.input.ByteSize() > limits.blob_size_bytes_max:
        raise InvalidArgument("input exceeds length limit")
    check_metadata(request.user_metadata)
    if not 0 <= request.id_reuse_policy <= _LAST_REUSE:
        raise InvalidArgument(f"unsupported ID reuse policy: {request.id_reuse_policy}")
    if not 0 <= request.id_conflict_policy <= _LAST_CONFLICT:
        raise InvalidArgument(f"unsupported ID conflict policy: {request.id_conflict_policy}")
    check_search_attributes(request.search_attributes, namespace, limits)
    check_links(request.links, limits)
    if request.completion_callbacks:
        raise InvalidArgument("completion callbacks are not enabled for this namespace")
    options = request.on_conflict_options
    if options.attach_completion_callbacks and not options.attach_request_id:
        raise InvalidArgument(
            "on_conflict_options: attach_completion_callbacks requires attach_request_id to be set"
        )
    if options.attach_request_id and not request.links:
        raise InvalidArgument(
            "on_conflict_options: attach_request_id requires at least one completion callback"
            " or link"
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
