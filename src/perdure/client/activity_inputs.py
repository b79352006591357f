"""What the calls about activities without a workflow ask for, as interceptors see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Required, TypedDict

from temporalio.api.common.v1 import Payload

from perdure.common import (
    ActivityIDConflictPolicy,
    ActivityIDReusePolicy,
    Priority,
    RetryPolicy,
    TypedSearchAttributes,
)
from perdure.service import Metadata

if TYPE_CHECKING:
    from perdure.client.activity_options import ActivityOptionsUpdate


class StartActivityOptions(TypedDict, total=False):
    """What `Client.execute_activity` takes besides the activity and its arguments."""

    id: Required[str]
    task_queue: Required[str]
    result_type: type | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    id_reuse_policy: ActivityIDReusePolicy
    id_conflict_policy: ActivityIDConflictPolicy
    retry_policy: RetryPolicy | None
    search_attributes: TypedSearchAttributes | None
    summary: str | None
    priority: Priority
    start_delay: timedelta | None
    rpc_metadata: Metadata | None
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class StartActivityInput:
    """An activity to be started."""

    activity_type: str
    args: Sequence[Any]
    id: str
    task_queue: str
    result_type: Any
    schedule_to_close_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    id_reuse_policy: ActivityIDReusePolicy
    id_conflict_policy: ActivityIDConflictPolicy
    retry_policy: RetryPolicy | None
    priority: Priority
    search_attributes: TypedSearchAttributes | None
    summary: str | None
    start_delay: timedelta | None
    headers: Mapping[str, Payload]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


def start_of(
    activity_type: str, args: Sequence[Any], known_type: Any, options: StartActivityOptions
) -> StartActivityInput:
    """The input of a start; `known_type` is the type of its result, as far as the code tells."""
    default = ActivityIDReusePolicy.ALLOW_DUPLICATE
    return StartActivityInput(
        activity_type=activity_type,
        args=args,
        id=options["id"],
        task_queue=options["task_queue"],
        result_type=options.get("result_type") or known_type,
        schedule_to_close_timeout=options.get("schedule_to_close_timeout"),
        start_to_close_timeout=options.get("start_to_close_timeout"),
        schedule_to_start_timeout=options.get("schedule_to_start_timeout"),
        heartbeat_timeout=options.get("heartbeat_timeout"),
        id_reuse_policy=options.get("id_reuse_policy", default),
        id_conflict_policy=options.get("id_conflict_policy", ActivityIDConflictPolicy.FAIL),
        retry_policy=options.get("retry_policy"),
        priority=options.get("priority", Priority.default),
        search_attributes=options.get("search_attributes"),
        summary=options.get("summary"),
        start_delay=options.get("start_delay"),
        headers={},
        rpc_metadata=options.get("rpc_metadata") or {},
        rpc_timeout=options.get("rpc_timeout"),
    )


@dataclass(slots=True)
class CancelActivityInput:
    """An activity that should stop."""

    activity_id: str
    activity_run_id: str | None
    reason: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class TerminateActivityInput:
    """An activity to be ended at once."""

    activity_id: str
    activity_run_id: str | None
    reason: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class PauseActivityInput:
    """An activity that is not to be started, or not again."""

    activity_id: str
    activity_run_id: str | None
    reason: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class UnpauseActivityInput:
    """A paused activity that is to go on."""

    activity_id: str
    activity_run_id: str | None
    reason: str | None
    jitter: timedelta | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class UpdateActivityOptionsInput:
    """Other options for an activity, or those that it was started with."""

    activity_id: str
    activity_run_id: str | None
    updates: Sequence[ActivityOptionsUpdate[Any]]
    restore_original: bool
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class DescribeActivityInput:
    """An activity to be described."""

    activity_id: str
    activity_run_id: str | None
    include_input: bool
    include_outcome: bool
    include_heartbeat_details: bool
    include_last_failure: bool
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class ListActivitiesInput:
    """A query for activities."""

    query: str | None
    page_size: int
    next_page_token: bytes | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    limit: int | None


@dataclass(slots=True)
class CountActivitiesInput:
    """A query whose activities are counted."""

    query: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
