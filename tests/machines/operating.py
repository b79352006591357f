"""What a play's operator asks of activities, as requests."""

from __future__ import annotations

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    ResetActivityRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
)

from tests.machines import requests

TIMEOUTS = ("schedule_to_close", "schedule_to_start", "start_to_close", "heartbeat")


def pause(words: list[str], options: dict[str, str]) -> PauseActivityRequest:
    """PauseActivity; the request id is `request`, else who pauses."""
    identity = options.get("by", "operator")
    return PauseActivityRequest(
        identity=identity, request_id=options.get("request", identity), **_target(words)
    )


def unpause(words: list[str], options: dict[str, str]) -> UnpauseActivityRequest:
    """UnpauseActivity."""
    return UnpauseActivityRequest(
        reset_attempts="attempts" in words,
        reset_heartbeat="heartbeat" in words,
        jitter=requests.length(options["jitter"]) if "jitter" in options else None,
        **_target(words, "unpause_all"),
    )


def reset(words: list[str], options: dict[str, str]) -> ResetActivityRequest:
    """ResetActivity."""
    return ResetActivityRequest(
        reset_heartbeat="heartbeat" in words,
        keep_paused="keep_paused" in words,
        restore_original_options="options" in words,
        jitter=requests.length(options["jitter"]) if "jitter" in options else None,
        **_target(words, "match_all"),
    )


def update(words: list[str], options: dict[str, str]) -> UpdateActivityOptionsRequest:
    """UpdateActivityOptions, of what is given."""
    if "original" in words:
        return UpdateActivityOptionsRequest(restore_original=True, **_target(words, "match_all"))
    given, paths = ActivityOptions(), []
    for name in TIMEOUTS:
        if name in options:
            getattr(given, f"{name}_timeout").CopyFrom(requests.length(options[name]))
            paths.append(f"{name}_timeout")
    if "queue" in options:
        given.task_queue.CopyFrom(TaskQueue(name=options["queue"]))
        paths.append("task_queue.name")
    if "attempts" in options:
        given.retry_policy.maximum_attempts = int(options["attempts"])
        paths.append("retry_policy.maximum_attempts")
    if "interval" in options:
        given.retry_policy.initial_interval.CopyFrom(requests.length(options["interval"]))
        paths.append("retry_policy.initial_interval")
    if "policy" in options:
        given.retry_policy.CopyFrom(RetryPolicy())
        paths.append("retry_policy")
    if "priority" in options:
        given.priority.priority_key = int(options["priority"])
        paths.append("priority.priority_key")
    return UpdateActivityOptionsRequest(
        activity_options=given, update_mask=FieldMask(paths=paths), **_target(words, "match_all")
    )


def _target(words: list[str], all_of_them: str = "") -> dict[str, Any]:
    """Which activities the first word names."""
    name = words[0]
    if name == "all":
        return {all_of_them: True}
    if name.startswith("type:"):
        return {"type": name.removeprefix("type:")}
    return {"id": name}
