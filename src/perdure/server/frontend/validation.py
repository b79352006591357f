"""Checks that several RPCs share. Each raises InvalidArgument with the words of the real server."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import Link, Priority, SearchAttributes, WorkflowExecution
from temporalio.api.enums.v1 import deployment_pb2, event_type_pb2, task_queue_pb2
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollNexusTaskQueueRequest,
    PollWorkflowTaskQueueRequest,
    RespondWorkflowTaskCompletedRequest,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.errors import Unimplemented
from perdure.server.machines import durations, search_attributes
from perdure.server.machines.deployment import names
from perdure.server.machines.errors import FailedPrecondition, InvalidArgument
from perdure.server.machines.ports import Limits

RESERVED_QUEUE_PREFIX = "/_sys/"
PER_NAMESPACE_QUEUE = "temporal-sys-per-ns-tq"
FAIRNESS_KEY_LENGTH_MAX = 64
LONG_POLL_SECONDS_MIN = 2.0
"""A long poll with less time than this is refused."""
LONG_POLL_TAIL_SECONDS = 1.0
"""A long poll is answered so long before its deadline, so that the answer still arrives."""

_LINK_FIELDS: dict[str, tuple[str, ...]] = {
    "workflow_event": ("namespace", "workflow_id", "run_id"),
    "batch_job": ("job_id",),
    "nexus_operation": ("namespace", "operation_id", "run_id"),
    "activity": ("namespace", "activity_id", "run_id"),
}
"""Which fields of each kind of link must not be empty. Kinds that Temporal 1.32 does not know yet
are refused, as it refuses them."""

_FIELD_WORDS: dict[str, str] = {
    "namespace": "namespace field",
    "workflow_id": "workflow ID field",
    "run_id": "run ID field",
    "job_id": "job ID",
    "operation_id": "operation ID field",
    "activity_id": "activity ID field",
}


def check_execution(request_has_it: bool, execution: WorkflowExecution) -> None:
    """A workflow must be named, and its run, if any, by a UUID."""
    if not request_has_it:
        raise InvalidArgument("Execution is not set on request.")
    if not execution.workflow_id:
        raise InvalidArgument("WorkflowId is not set on request.")
    if execution.run_id and not is_uuid(execution.run_id):
        raise InvalidArgument("Invalid RunId.")


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in its usual form."""
    try:
        return len(text) == 36 and bool(uuid.UUID(text))
    except ValueError:
        return False


def is_too_long(text: str, length_max: int) -> bool:
    """Whether a text is longer than some bytes in UTF-8."""
    return len(text) > length_max or (not text.isascii() and len(text.encode()) > length_max)


def check_identity(identity: str, limits: Limits) -> None:
    """An identity must not be too long."""
    if is_too_long(identity, limits.id_length_max):
        raise InvalidArgument("Identity length exceeds limit.")


def check_duration(value: Duration, refusal: str) -> None:
    """A duration must be well-formed and not negative; it is cut to a hundred years, in place."""
    problem = durations.problem_of(value)
    if problem is not None:
        raise InvalidArgument(f"{refusal} cause: {problem}")
    durations.cap(value)


def check_queue(request_has_it: bool, queue: TaskQueue, limits: Limits) -> None:
    """A task queue must have a usable name; one without a kind becomes a normal one, in place."""
    if not request_has_it:
        raise InvalidArgument("taskQueue is not set")
    if queue.kind == task_queue_pb2.TASK_QUEUE_KIND_UNSPECIFIED:
        queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL
    if not queue.name:
        raise InvalidArgument("missing task queue name")
    if is_too_long(queue.name, limits.id_length_max):
        raise InvalidArgument("taskQueue length exceeds limit")
    if queue.name.startswith(RESERVED_QUEUE_PREFIX):
        raise InvalidArgument(
            f"task queue name cannot start with reserved prefix {RESERVED_QUEUE_PREFIX}"
        )


def check_partition(queue: TaskQueue, task_type: str) -> None:
    """A queue that is polled or described must be of a kind that has tasks of the type."""
    if queue.kind == task_queue_pb2.TASK_QUEUE_KIND_WORKER_COMMANDS and task_type != "Nexus":
        raise InvalidArgument(
            f"worker-commands partitions must have nexus task type, got: {task_type}."
            f" base name: {queue.name}"
        )
    if queue.normal_name and queue.kind != task_queue_pb2.TASK_QUEUE_KIND_STICKY:
        raise InvalidArgument(
            f"only sticky queues can have normal name. tq: {queue.name},"
            f" normal name: {queue.normal_name}"
        )


def check_user_queue(request_has_it: bool, queue: TaskQueue, limits: Limits) -> None:
    """A task queue that a user names must not be one of the server's own."""
    check_queue(request_has_it, queue, limits)
    if queue.name == PER_NAMESPACE_QUEUE:
        raise InvalidArgument(f"cannot use internal per-namespace task queue:{queue.name}")


def check_worker_version(
    request: PollWorkflowTaskQueueRequest
    | PollActivityTaskQueueRequest
    | PollNexusTaskQueueRequest
    | RespondWorkflowTaskCompletedRequest,
    queue: TaskQueue,
    limits: Limits,
) -> None:
    """Build ids and versions must be usable. Raises Unimplemented for workers that want to be
    versioned in the old way."""
    stamp = (
        request.worker_version_stamp
        if isinstance(request, RespondWorkflowTaskCompletedRequest)
        else request.worker_version_capabilities
    )
    options = request.deployment_options
    is_versioned = options.worker_versioning_mode == deployment_pb2.WORKER_VERSIONING_MODE_VERSIONED
    is_unnamed_sticky = (
        queue.kind == task_queue_pb2.TASK_QUEUE_KIND_STICKY and not queue.normal_name
    )
    if is_unnamed_sticky and (stamp.use_versioning or request.HasField("deployment_options")):
        raise InvalidArgument(
            "NormalName must be set on sticky queue when UseVersioning is true"
            " or DeploymentOptions are set."
        )
    if stamp.use_versioning and not stamp.build_id:
        raise InvalidArgument("WorkerVersionStamp must be present if UseVersioning is true.")
    if is_too_long(stamp.build_id, limits.build_id_bytes_max):
        raise InvalidArgument(
            "Build ID exceeds configured limit.workerBuildIdSize, use a shorter build ID."
        )
    if stamp.use_versioning and not is_versioned:
        raise Unimplemented("Workers are versioned by deployment options in this server.")
    if not is_versioned:
        return
    if not (options.deployment_name and options.build_id):
        raise InvalidArgument("Deployment name and build id must be set together.")
    names.check_deployment(options.deployment_name, limits.id_length_max)
    names.check_build_id(options.build_id, limits.id_length_max)


def check_priority(priority: Priority) -> None:
    """A priority must be within its bounds."""
    if priority.priority_key < 0:
        raise InvalidArgument("priority key can't be negative")
    if is_too_long(priority.fairness_key, FAIRNESS_KEY_LENGTH_MAX):
        raise InvalidArgument("fairness key length exceeds limit")
    if priority.fairness_weight < 0:
        raise InvalidArgument("must be greater than zero")


def check_links(links: Sequence[Link], limits: Limits) -> None:
    """Links must be few, small and complete."""
    if len(links) > limits.links_max:
        raise InvalidArgument(
            f"cannot attach more than {limits.links_max} links per request, got {len(links)}"
        )
    for link in links:
        size, size_max = link.ByteSize(), limits.link_bytes_max
        if size > size_max:
            raise InvalidArgument(f"link exceeds allowed size of {size_max}, got {size}")
        _check_link(link)


def _check_link(link: Link) -> None:
    variant = link.WhichOneof("variant")
    if variant not in _LINK_FIELDS:
        raise InvalidArgument("unsupported link variant")
    kind = variant.replace("_", " ")
    target = getattr(link, variant)
    for field in _LINK_FIELDS[variant]:
        if not getattr(target, field):
            raise InvalidArgument(f"{kind} link must not have an empty {_FIELD_WORDS[field]}")
    if variant == "workflow_event":
        reference = link.workflow_event.event_ref
        if reference.event_id and reference.event_type == event_type_pb2.EVENT_TYPE_UNSPECIFIED:
            raise InvalidArgument(
                "workflow event link ref cannot have an unspecified event type"
                " and a non-zero event ID"
            )


def check_search_attributes(
    attributes: SearchAttributes, namespace: NamespaceRef, limits: Limits
) -> None:
    """Those of a start must be settable and small; each then says its type, in place.

    Raises InvalidArgument.
    """
    if not attributes.indexed_fields:
        return
    custom = namespace.search_attributes
    problem = search_attributes.problem_of(
        attributes, namespace.name, custom, limits
    ) or search_attributes.size_problem_of(attributes, limits)
    if problem is not None:
        raise InvalidArgument(problem)
    search_attributes.add_types(attributes, custom)


def long_poll_seconds(remaining: float | None, seconds_max: float) -> float:
    """How long a poll may wait. Raises FailedPrecondition when its caller has not enough time."""
    if remaining is None:
        raise InvalidArgument("Context timeout is not set.")
    if remaining < LONG_POLL_SECONDS_MIN:
        raise FailedPrecondition("Context timeout is too short.")
    return min(seconds_max, remaining - LONG_POLL_TAIL_SECONDS)
