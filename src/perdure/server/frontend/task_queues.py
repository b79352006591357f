"""DescribeTaskQueue, ListTaskQueuePartitions, UpdateTaskQueueConfig."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import WorkerVersionCapabilities, WorkerVersionStamp
from temporalio.api.enums.v1 import task_queue_pb2
from temporalio.api.taskqueue.v1 import (
    PollerInfo,
    TaskIdBlock,
    TaskQueuePartitionMetadata,
    TaskQueueStats,
    TaskQueueStatus,
    TaskQueueVersioningInfo,
)
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    ListTaskQueuePartitionsRequest,
    ListTaskQueuePartitionsResponse,
    UpdateTaskQueueConfigRequest,
    UpdateTaskQueueConfigResponse,
)

from perdure.server.engine.api import NamespaceRef, QueueStatistics, QueueView
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import (
    RESERVED_QUEUE_PREFIX,
    check_partition,
    check_queue,
    is_too_long,
)
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.queue import config
from perdure.server.machines.queue.routing import QueueRouting
from perdure.server.machines.queue.statistics import Poller
from perdure.server.machines.wire import set_duration, set_timestamp, timestamp
from perdure.transport import Caller

WORKFLOW = task_queue_pb2.TASK_QUEUE_TYPE_WORKFLOW
ACTIVITY = task_queue_pb2.TASK_QUEUE_TYPE_ACTIVITY
STICKY = task_queue_pb2.TASK_QUEUE_KIND_STICKY
ENHANCED = task_queue_pb2.DESCRIBE_TASK_QUEUE_MODE_ENHANCED
REACHABLE = task_queue_pb2.BUILD_ID_TASK_REACHABILITY_REACHABLE
UNREACHABLE = task_queue_pb2.BUILD_ID_TASK_REACHABILITY_UNREACHABLE
UNVERSIONED = "__unversioned__"
UNLIMITED_PER_SECOND = 100_000.0
"""The rate of a worker that wants no limit, as it is described."""
QUEUE_PER_SECOND = 4_000.0
"""What Temporal's stock server lets any queue do, a thousand in each of four partitions, and
describes as its rate. Here nothing is held back by it."""
TASK_ID_BLOCK = TaskIdBlock(start_id=1, end_id=100_000)
"""The real server's first block of task ids; ours has no such ids."""
NO_TIME = Timestamp(seconds=-62_135_596_800)
"""The zero time of the real server."""
PRIORITY_DEFAULT = 3


async def describe_task_queue(
    services: Services, request: DescribeTaskQueueRequest, caller: Caller
) -> bytes:
    """Who polls a task queue, what waits on it, and what is set of it."""
    namespace = services.bind(request.namespace)
    _check_described(services, request)
    if request.api_mode == ENHANCED:
        response = await _enhanced(services, namespace, request)
    else:
        response = await _described(services, namespace, request)
    return response.SerializeToString()


def _check_described(services: Services, request: DescribeTaskQueueRequest) -> None:
    queue = request.task_queue
    is_enhanced = request.api_mode == ENHANCED
    if queue.name.startswith(RESERVED_QUEUE_PREFIX) and not is_enhanced:
        raise InvalidArgument(f"invalid task queue partition name {queue.name}")
    check_queue(request.HasField("task_queue"), queue, services.limits)
    if queue.kind == STICKY and is_enhanced:
        raise InvalidArgument(
            "Enhanced DescribeTaskQueue is not valid for a sticky queue,"
            " use api_mode=UNSPECIFIED or a normal queue."
        )
    if queue.kind == STICKY and request.report_stats:
        raise InvalidArgument("DescribeTaskQueue stats are only supported for the root partition")
    try:
        check_partition(queue, "Workflow")
    except InvalidArgument:
        if is_enhanced:
            raise InvalidArgument(
                "Task Queue Partition invalid, use a different Task Queue or Task Queue Type"
            ) from None
        raise


async def _described(
    services: Services, namespace: NamespaceRef, request: DescribeTaskQueueRequest
) -> DescribeTaskQueueResponse:
    queue_type = request.task_queue_type or WORKFLOW
    view = await services.engine.describe_queue(namespace, request.task_queue.name, queue_type)
    response = DescribeTaskQueueResponse(pollers=map(_poller, view.pollers))
    limit = response.effective_rate_limit
    limit.requests_per_second, limit.rate_limit_source = _effective_rate(view)  # type: ignore[assignment]
    if request.task_queue.kind != STICKY:
        response.versioning_info.CopyFrom(_versioning(view.routing))
    if request.include_task_queue_status:
        response.task_queue_status.CopyFrom(
            TaskQueueStatus(rate_per_second=limit.requests_per_second, task_id_block=TASK_ID_BLOCK)
        )
    if request.report_stats:
        response.stats.CopyFrom(stats_of(view.statistics.values()))
        for priority in {PRIORITY_DEFAULT, *view.statistics}:
            found = view.statistics.get(priority)
            response.stats_by_priority_key[priority].CopyFrom(stats_of([found] if found else []))
    if request.report_config and view.config is not None:
        response.config.CopyFrom(view.config)
    return response


async def _enhanced(
    services: Services, namespace: NamespaceRef, request: DescribeTaskQueueRequest
) -> DescribeTaskQueueResponse:
    """All types of a queue at once, for each version that is asked for.

    The selection is as old as build ids without a deployment: it calls none of them active, and has
    tasks only reach workers of no version.
    """
    selection = request.versions
    selected = [""]
    if request.HasField("versions"):
        selected = list(dict.fromkeys([*selection.build_ids, *[""] * selection.unversioned]))
    response = DescribeTaskQueueResponse()
    for build_id in selected:
        version = response.versions_info[build_id]
        if request.report_task_reachability:
            version.task_reachability = UNREACHABLE if build_id else REACHABLE
        for queue_type in dict.fromkeys(request.task_queue_types) or (WORKFLOW, ACTIVITY):
            view = await _view_of_part(services, namespace, request, queue_type, build_id)
            info = version.types_info[queue_type]
            info.SetInParent()
            if request.report_pollers and view is not None:
                info.pollers.extend(map(_poller, view.pollers))
            if request.report_stats:
                info.stats.CopyFrom(stats_of(view.statistics.values() if view is not None else ()))
    return response


async def _view_of_part(
    services: Services,
    namespace: NamespaceRef,
    request: DescribeTaskQueueRequest,
    queue_type: int,
    build_id: str,
) -> QueueView | None:
    """The part of a queue for a version, as `deployment:build`, or for workers of none; None when
    no such workers have polled it."""
    name = request.task_queue.name
    if not build_id:
        return await services.engine.describe_queue(namespace, name, queue_type, "")
    version = VersionName(*build_id.partition(":")[::2])
    if version not in services.engine.deployments.versions_of(namespace, name):
        return None
    return await services.engine.describe_queue(namespace, name, queue_type, version.text)


async def list_task_queue_partitions(
    services: Services, request: ListTaskQueuePartitionsRequest, caller: Caller
) -> bytes:
    """Where the parts of a task queue are: here, in one."""
    services.bind(request.namespace)
    check_queue(request.HasField("task_queue"), request.task_queue, services.limits)
    check_partition(request.task_queue, "Workflow")
    part = TaskQueuePartitionMetadata(
        key=request.task_queue.name, owner_host_name=socket.gethostname()
    )
    return ListTaskQueuePartitionsResponse(
        activity_task_queue_partitions=[part], workflow_task_queue_partitions=[part]
    ).SerializeToString()


async def update_task_queue_config(
    services: Services, request: UpdateTaskQueueConfigRequest, caller: Caller
) -> bytes:
    """Limit a task queue, or change the weights of its fairness keys."""
    namespace = services.bind(request.namespace)
    config.check_type(request)
    name = request.task_queue
    if name.startswith(RESERVED_QUEUE_PREFIX):
        raise InvalidArgument(f"invalid task queue partition name {name}")
    if is_too_long(name, services.limits.id_length_max):
        raise InvalidArgument("taskQueue length exceeds limit")
    changed = await services.engine.configure_queue(namespace, request)
    return UpdateTaskQueueConfigResponse(config=changed).SerializeToString()


def _effective_rate(view: QueueView) -> tuple[float, int]:
    if view.configured_rate is not None:
        return view.configured_rate, task_queue_pb2.RATE_LIMIT_SOURCE_API
    if view.worker_rate is not None:
        return view.worker_rate, task_queue_pb2.RATE_LIMIT_SOURCE_WORKER
    return QUEUE_PER_SECOND, task_queue_pb2.RATE_LIMIT_SOURCE_SYSTEM


def _versioning(routing: QueueRouting) -> TaskQueueVersioningInfo:
    info = TaskQueueVersioningInfo(
        current_version=UNVERSIONED,
        ramping_version_percentage=routing.percentage,
        update_time=NO_TIME,
    )
    if (changed_ns := max(routing.current_changed_ns, routing.ramping_changed_ns)) > 0:
        set_timestamp(info.update_time, changed_ns)
    if (current := routing.current) is not None:
        info.current_version = current.old_text
        info.current_deployment_version.deployment_name = current.deployment
        info.current_deployment_version.build_id = current.build_id
    if (ramping := routing.ramping) is not None:
        info.ramping_version = ramping.old_text
        info.ramping_deployment_version.deployment_name = ramping.deployment
        info.ramping_deployment_version.build_id = ramping.build_id
    elif routing.percentage:
        info.ramping_version = UNVERSIONED
    return info


def _poller(poller: Poller) -> PollerInfo:
    rate = poller.rate_per_second
    info = PollerInfo(
        identity=poller.identity,
        last_access_time=timestamp(poller.last_access_ns),
        rate_per_second=UNLIMITED_PER_SECOND if rate is None else rate,
    )
    if poller.worker_version:
        stamp = WorkerVersionStamp.FromString(poller.worker_version)
        info.worker_version_capabilities.CopyFrom(
            WorkerVersionCapabilities(build_id=stamp.build_id)
        )
    if poller.deployment:
        info.deployment_options.MergeFromString(poller.deployment)
    return info


def stats_of(parts: Iterable[QueueStatistics]) -> TaskQueueStats:
    """What goes on, of all priorities together."""
    stats = TaskQueueStats()
    age_ns = 0
    for part in parts:
        stats.approximate_backlog_count += part.backlog
        stats.tasks_add_rate += part.add_rate
        stats.tasks_dispatch_rate += part.dispatch_rate
        age_ns = max(age_ns, part.backlog_age_ns)
    set_duration(stats.approximate_backlog_age, age_ns)
    return stats
