"""A run as `WorkflowExecutionInfo`: what a list shows of it, and what describe shows more."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import (
    Memo,
    Priority,
    SearchAttributes,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.workflow.v1 import ResetPointInfo, ResetPoints, WorkflowExecutionInfo

from perdure.server.machines.wire import duration, timestamp
from perdure.server.machines.workflow.state import BlobName, Run
from perdure.server.visibility.versioning_info import (
    add_search_attributes,
    leading_build_ids,
    set_keywords,
    stamp_of,
    versioning_info,
)


def execution_info(run: Run, workflow_id: str) -> bytes:
    """The serialised `WorkflowExecutionInfo` that a list shows: sizes only once the run is
    closed."""
    info = _common(run, workflow_id)
    if not run.is_open:
        _add_sizes(info, run)
    return info.SerializeToString()


def described_execution_info(
    run: Run, workflow_id: str, retention_ns: int
) -> WorkflowExecutionInfo:
    """What describe shows: also the sizes of an open run, and its place in its chain."""
    info = _common(run, workflow_id)
    _add_sizes(info, run)
    info.first_run_id = run.recorded.first_execution_run_id
    info.auto_reset_points.CopyFrom(_reset_points(run, retention_ns))
    if (versioning := versioning_info(run)) is not None:
        info.versioning_info.CopyFrom(versioning)
    if run.recorded.versioning is not None:
        info.worker_deployment_name = run.recorded.versioning.deployment
    if run.recorded.is_stamped:
        info.most_recent_worker_version_stamp.SetInParent()
    if stamp := stamp_of(run):
        info.most_recent_worker_version_stamp.build_id = stamp
    return info


def _reset_points(run: Run, retention_ns: int) -> ResetPoints:
    """Those of a run that goes on in a successor expire when the run itself is deleted."""
    recorded = run.recorded
    expires_ns = recorded.close_time_ns + retention_ns if recorded.successor_run_id else 0
    return ResetPoints(
        points=[
            ResetPointInfo(
                build_id=point.build_id,
                binary_checksum=point.binary_checksum,
                run_id=point.run_id,
                first_workflow_task_completed_id=point.first_completed_event_id,
                create_time=timestamp(point.create_time_ns),
                expire_time=_time(point.expire_time_ns or expires_ns),
                resettable=True,
            )
            for point in run.recorded.reset_points
        ]
    )


def _time(time_ns: int) -> Timestamp | None:
    return timestamp(time_ns) if time_ns else None


def shown_search_attributes(run: Run) -> SearchAttributes:
    """Those of the run, the builds of the workers that have completed tasks of it, what is paused
    (it, or which types of activity), and what keeps it from going on."""
    attributes = SearchAttributes.FromString(run.blobs.get(BlobName.SEARCH_ATTRIBUTES, b""))
    recorded = run.recorded
    if recorded.completed_task_started_event_id or recorded.versioning is not None:
        points = recorded.reset_points
        builds = build_ids(run)
        if builds:
            set_keywords(attributes, "BuildIds", builds)
        add_search_attributes(attributes, run)
        checksums = [point.binary_checksum for point in points if point.binary_checksum]
        if checksums:
            set_keywords(attributes, "BinaryChecksums", checksums)
    paused = [f"property:activityType={name}" for name in run.pending.paused_types]
    pause = run.pending.pause
    if pause is not None:
        paused = [f"Workflow:{pause.workflow_id}", f"Reason:{pause.reason}", *paused]
    if paused:
        set_keywords(attributes, "TemporalPauseInfo", paused)
    if run.pending.reported_problem:
        problem = list(run.pending.reported_problem)
        set_keywords(attributes, "TemporalReportedProblems", problem)
    return attributes


def build_ids(run: Run) -> list[str]:
    """The builds of the workers that have completed tasks of a run, and before them what it is
    now: unversioned, or pinned to a version."""
    recorded = run.recorded
    points = recorded.reset_points
    if recorded.versioning is None:
        named = [f"unversioned:{point.build_id}" for point in points if point.build_id]
        return ["unversioned", *dict.fromkeys(named)]
    # What the runs before it were completed by is not told apart.
    named = [
        f"unversioned:{point.build_id}"
        for point in points
        if point.build_id and not point.is_versioned and point.run_id == recorded.run_id
    ]
    named += [f"unversioned:{build}" for build in recorded.versioning.stamps]
    return [*leading_build_ids(run), *dict.fromkeys(named)]


def _common(run: Run, workflow_id: str) -> WorkflowExecutionInfo:
    recorded = run.recorded
    execution_time_ns = recorded.start_time_ns + recorded.first_task_backoff_ns
    info = WorkflowExecutionInfo(
        execution=WorkflowExecution(workflow_id=workflow_id, run_id=recorded.run_id),
        type=WorkflowType(name=recorded.workflow_type),
        start_time=timestamp(recorded.start_time_ns),
        execution_time=timestamp(execution_time_ns),
        status=run.shown_status,  # type: ignore[arg-type]
        memo=Memo.FromString(run.blobs.get(BlobName.MEMO, b"")),
        search_attributes=shown_search_attributes(run),
        task_queue=recorded.task_queue,
        root_execution=WorkflowExecution(
            workflow_id=recorded.root_workflow_id or workflow_id,
            run_id=recorded.root_run_id or recorded.run_id,
        ),
    )
    if recorded.priority is not None:
        info.priority.CopyFrom(Priority.FromString(recorded.priority))
    if recorded.parent_run_id:
        info.parent_namespace_id = recorded.parent_namespace_id
        info.parent_execution.workflow_id = recorded.parent_workflow_id
        info.parent_execution.run_id = recorded.parent_run_id
    if not run.is_open:
        info.close_time.CopyFrom(timestamp(recorded.close_time_ns))
        length_ns = max(0, recorded.close_time_ns - execution_time_ns)
        info.execution_duration.CopyFrom(duration(length_ns))
    return info


def _add_sizes(info: WorkflowExecutionInfo, run: Run) -> None:
    info.history_length = run.recorded.next_event_id - 1
    info.history_size_bytes = run.recorded.history_size_bytes
    info.state_transition_count = run.pending.transitions
