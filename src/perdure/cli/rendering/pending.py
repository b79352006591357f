"""Activities that are under way: what their histories do not tell yet."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import PendingActivityState, PendingWorkflowTaskState
from temporalio.api.workflow.v1 import PendingActivityInfo, PendingWorkflowTaskInfo

from perdure.cli.rendering.failures import enum_words, failure_lines
from perdure.cli.rendering.payloads import brief_all
from perdure.cli.rendering.times import took

_TASK_SCHEDULED = PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
_SCHEDULED = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED


def state_of(activity: PendingActivityInfo) -> str:
    """`STARTED`, `SCHEDULED`, `CANCEL_REQUESTED` or `PAUSED`."""
    return PendingActivityState.Name(activity.state).removeprefix("PENDING_ACTIVITY_STATE_")


def how_it_stands(activity: PendingActivityInfo, now: datetime) -> list[str]:
    """Attempt, what it waits for, how the one before failed. `now` is naive, in UTC."""
    attempts_max = activity.maximum_attempts
    attempt = f"attempt {activity.attempt}" + (f" of {attempts_max}" if attempts_max else "")
    lines = [f"{attempt}, {_waits_for(activity, now)}"]
    if activity.HasField("last_failure"):
        first, *causes = failure_lines(activity.last_failure)
        lines.append(f"last failure: {first}")
        lines.extend(causes)
    if activity.heartbeat_details.payloads:
        lines.append(f"last heartbeat: {brief_all(activity.heartbeat_details.payloads)}")
    return lines


def how_the_task_stands(task: PendingWorkflowTaskInfo, now: datetime) -> str:
    """Attempt of a workflow task, and what it waits for. `now` is naive, in UTC."""
    if task.state == _TASK_SCHEDULED:
        waits = f"waits for a worker for {_since(task.scheduled_time, now)}"
    else:
        waits = f"running for {_since(task.started_time, now)}"
    return f"attempt {max(task.attempt, 1)}, {waits}"


def pending_json(activity: PendingActivityInfo) -> dict[str, Any]:
    """The same for programs; the failure is Temporal's, in protobuf's JSON."""
    failed = activity.HasField("last_failure")
    return {
        "activityId": activity.activity_id,
        "type": activity.activity_type.name,
        "state": state_of(activity),
        "attempt": activity.attempt,
        "maximumAttempts": activity.maximum_attempts,
        "lastStartedTime": _json_time(activity, "last_started_time"),
        "nextAttemptTime": _json_time(activity, "next_attempt_schedule_time"),
        "lastFailure": json_format.MessageToDict(activity.last_failure) if failed else None,
    }


def _waits_for(activity: PendingActivityInfo, now: datetime) -> str:
    if activity.state != _SCHEDULED:
        words = enum_words(state_of(activity), "")
        since = _since(activity.last_started_time, now)
        worker = f" on {activity.last_worker_identity}" if activity.last_worker_identity else ""
        return ("running" if words == "started" else words) + f" for {since}{worker}"
    if activity.HasField("next_attempt_schedule_time"):
        seconds = -_seconds_since(activity.next_attempt_schedule_time, now)
        if seconds > 0:
            return f"next attempt in {took(seconds)}"
    return f"waits for a worker for {_since(activity.scheduled_time, now)}"


def _since(time: Timestamp, now: datetime) -> str:
    return took(_seconds_since(time, now))


def _seconds_since(time: Timestamp, now: datetime) -> float:
    return (now - time.ToDatetime()).total_seconds()


def _json_time(activity: PendingActivityInfo, name: str) -> str | None:
    # mypy knows the field names as literals only
    present: bool = activity.HasField(name)  # type: ignore[arg-type]
    return getattr(activity, name).ToJsonString() if present else None
