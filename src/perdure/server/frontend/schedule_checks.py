"""What of a schedule is refused, and the settings that are made of the rest."""

from __future__ import annotations

from temporalio.api.common.v1 import Memo, SearchAttributes
from temporalio.api.enums.v1 import workflow_pb2
from temporalio.api.schedule.v1 import Schedule, SchedulePolicies
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.validation import (
    check_duration,
    check_priority,
    check_search_attributes,
    check_user_queue,
    is_too_long,
)
from perdure.server.machines.activity import retry
from perdure.server.machines.durations import capped_ns
from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.server.machines.ports import SECOND_NS, Limits
from perdure.server.machines.schedule.fields import BadSpec
from perdure.server.machines.schedule.spec import normalise
from perdure.server.machines.schedule.starting import SUFFIX_LENGTH
from perdure.server.machines.schedule.state import Blob, Overlap, Settings
from perdure.server.machines.wire import duration, duration_ns

ID_PREFIX = "temporal-sys-scheduler:"
"""What the real server puts before the id of a schedule, and counts as a part of it."""
CATCHUP_WINDOW_NS = 365 * 24 * 3600 * SECOND_NS
CATCHUP_WINDOW_NS_MIN = 10 * SECOND_NS
NOTES_BYTES_MAX = 1_000_000
_ALLOW_DUPLICATE = workflow_pb2.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
_TIMEOUTS = (
    ("workflow_execution_timeout", "WorkflowExecutionTimeoutSeconds"),
    ("workflow_run_timeout", "WorkflowRunTimeoutSeconds"),
    ("workflow_task_timeout", "WorkflowTaskTimeoutSeconds"),
)


def check_names(schedule_id: str, request_id: str, limits: Limits) -> None:
    """A new schedule must have an id, and its request too. Raises InvalidArgument."""
    if not request_id:
        raise InvalidArgument("RequestId is not set on request.")
    if not schedule_id:
        raise InvalidArgument("Can't load workflow execution.  WorkflowId not set.")
    _check_workflow_id(ID_PREFIX + schedule_id, limits)
    check_request_id(request_id, limits)


def check_request_id(request_id: str, limits: Limits) -> None:
    """A request id may be empty, and not too long. Raises InvalidArgument."""
    if is_too_long(request_id, limits.id_length_max):
        raise InvalidArgument("RequestId length exceeds limit.")


def check_can_exist(schedule_id: str, limits: Limits, not_found: str) -> None:
    """Nothing has an id that is too long. Raises NotFound."""
    if is_too_long(schedule_id, limits.id_length_max):
        raise NotFound(not_found)


def settings_of(
    schedule: Schedule, namespace: NamespaceRef, limits: Limits
) -> tuple[Settings, dict[Blob, bytes]]:
    """What a client sets, with a normal specification and defaults. Raises InvalidArgument."""
    action = schedule.action
    if action.HasField("start_workflow"):
        _check_action(action.start_workflow, namespace, limits)
    try:
        spec = normalise(schedule.spec)
    except BadSpec as error:
        raise InvalidArgument(f"Invalid schedule spec: {error}") from error
    for what, size in (("spec", schedule.spec.ByteSize()), ("action", action.ByteSize())):
        if size > limits.blob_size_bytes_max:
            raise InvalidArgument(f"Blob data size exceeds limit. (schedule {what})")
    if len(schedule.state.notes) > NOTES_BYTES_MAX:
        raise InvalidArgument("Blob data size exceeds limit. (schedule notes)")
    policies = _policies(schedule.policies)
    state = schedule.state
    if state.remaining_actions < 0:
        raise InvalidArgument("RemainingActions is negative.")
    settings = Settings(
        spec=spec.SerializeToString(deterministic=True),
        policies=policies.SerializeToString(deterministic=True),
        overlap=overlap_of(policies.overlap_policy),
        catchup_window_ns=capped_ns(policies.catchup_window),
        pauses_on_failure=policies.pause_on_failure,
        keeps_workflow_id=policies.keep_original_workflow_id,
        workflow_type=action.start_workflow.workflow_type.name,
        notes=state.notes,
        is_paused=state.paused,
        is_limited=state.limited_actions,
        remaining=state.remaining_actions,
    )
    return settings, {Blob.ACTION: action.SerializeToString(deterministic=True)}


def add_texts(
    blobs: dict[Blob, bytes],
    memo: Memo | None,
    attributes: SearchAttributes | None,
    namespace: NamespaceRef,
    limits: Limits,
) -> None:
    """Add a memo and search attributes, if there are any, to what is set. Raises
    InvalidArgument."""
    if attributes is not None:
        check_search_attributes(attributes, namespace, limits)
        blobs[Blob.SEARCH_ATTRIBUTES] = attributes.SerializeToString(deterministic=True)
    if memo is not None:
        if memo.ByteSize() > limits.memo_size_bytes_max:
            raise InvalidArgument("Memo size exceeds limit.")
        blobs[Blob.MEMO] = memo.SerializeToString(deterministic=True)


def overlap_of(policy: int) -> Overlap:
    """An overlap policy. Raises InvalidArgument when there is none of that number."""
    try:
        return Overlap(policy)
    except ValueError as error:
        raise InvalidArgument(f"Invalid OverlapPolicy: {policy}") from error


def _policies(given: SchedulePolicies) -> SchedulePolicies:
    policies = SchedulePolicies()
    policies.CopyFrom(given)
    policies.overlap_policy = overlap_of(given.overlap_policy) or Overlap.SKIP  # type: ignore[assignment]
    if not given.HasField("catchup_window"):
        policies.catchup_window.CopyFrom(duration(CATCHUP_WINDOW_NS))
    else:
        check_duration(given.catchup_window, "Invalid CatchupWindow.")
        if duration_ns(given.catchup_window) < CATCHUP_WINDOW_NS_MIN:
            policies.catchup_window.CopyFrom(duration(CATCHUP_WINDOW_NS_MIN))
    return policies


def _check_action(
    action: NewWorkflowExecutionInfo, namespace: NamespaceRef, limits: Limits
) -> None:
    """In the order of the real server."""
    _check_workflow_id(action.workflow_id + "-" + "t" * (SUFFIX_LENGTH - 1), limits)
    if not action.workflow_type.name:
        raise InvalidArgument("WorkflowType is not set on request.")
    if is_too_long(action.workflow_type.name, limits.id_length_max):
        raise InvalidArgument("WorkflowType length exceeds limit.")
    check_user_queue(action.HasField("task_queue"), action.task_queue, limits)
    for field, words in _TIMEOUTS:
        if action.HasField(field):  # type: ignore[arg-type]
            check_duration(getattr(action, field), f"An invalid {words} is set on request.")
    if action.cron_schedule:
        raise InvalidArgument("Scheduled workflow must not contain CronSchedule")
    if action.workflow_id_reuse_policy not in (0, _ALLOW_DUPLICATE):
        raise InvalidArgument("Scheduled workflow must not contain WorkflowIDReusePolicy")
    if action.HasField("retry_policy"):
        policy = type(action.retry_policy)()
        policy.CopyFrom(action.retry_policy)
        retry.with_defaults(policy)
        if problem := retry.validate(policy):
            raise InvalidArgument(problem)
    check_search_attributes(action.search_attributes, namespace, limits)
    check_priority(action.priority)
    if action.memo.ByteSize() > limits.memo_size_bytes_max:
        raise InvalidArgument("Memo size exceeds limit.")


def _check_workflow_id(workflow_id: str, limits: Limits) -> None:
    if is_too_long(workflow_id, limits.id_length_max):
        size = len(workflow_id.encode())
        raise InvalidArgument(
            f"WorkflowId exceeds maximum allowed length ({size}/{limits.id_length_max})"
        )
