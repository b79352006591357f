"""What a worker is told: how many tasks at once, how long to wait, and what to run."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias, TypedDict

from perdure._replay.api import PatchActivationInput
from perdure.client import Client
from perdure.common import VersioningBehavior
from perdure.worker.deployment import WorkerDeploymentConfig
from perdure.worker.interceptor import Interceptor
from perdure.worker.plugin import Plugin
from perdure.worker.runners import WorkflowRunner
from perdure.worker.shared_state import SharedStateManager

TASKS_MAX: Final = 100
"""So many workflow tasks, and so many activities, at once, unless the worker is told otherwise."""
POLLS: Final = 5


@dataclass(frozen=True)
class PollerBehaviorSimpleMaximum:
    """A fixed number of polls, as long as there are places for what they bring."""

    maximum: int = POLLS


@dataclass(frozen=True)
class PollerBehaviorAutoscaling:
    """`initial` polls, and more once tasks come in fast, up to `maximum`.

    `minimum` is accepted and not used: polls that were begun are kept up.
    """

    minimum: int = 1
    maximum: int = 100
    initial: int = POLLS


PollerBehavior: TypeAlias = PollerBehaviorSimpleMaximum | PollerBehaviorAutoscaling


class WorkerConfig(TypedDict, total=False):
    """What `Worker(**config)` takes."""

    client: Client
    task_queue: str
    activities: Sequence[Callable[..., Any]]
    workflows: Sequence[type]
    activity_executor: Executor | None
    workflow_task_executor: ThreadPoolExecutor | None
    workflow_runner: WorkflowRunner
    interceptors: Sequence[Interceptor]
    plugins: Sequence[Plugin]
    build_id: str | None
    deployment_config: WorkerDeploymentConfig | None
    identity: str | None
    max_cached_workflows: int
    max_concurrent_workflow_tasks: int | None
    max_concurrent_activities: int | None
    max_concurrent_local_activities: int | None
    max_concurrent_workflow_task_polls: int | None
    nonsticky_to_sticky_poll_ratio: float
    max_concurrent_activity_task_polls: int | None
    no_remote_activities: bool
    sticky_queue_schedule_to_start_timeout: timedelta
    max_heartbeat_throttle_interval: timedelta
    default_heartbeat_throttle_interval: timedelta
    max_activities_per_second: float | None
    max_task_queue_activities_per_second: float | None
    max_eager_activity_reservations_per_workflow_task: int
    graceful_shutdown_timeout: timedelta
    workflow_failure_exception_types: Sequence[type[BaseException]]
    shared_state_manager: SharedStateManager | None
    debug_mode: bool
    disable_eager_activity_execution: bool
    on_fatal_error: Callable[[BaseException], Awaitable[None]] | None
    patch_activation_callback: Callable[[PatchActivationInput], bool] | None
    workflow_task_poller_behavior: PollerBehavior
    activity_task_poller_behavior: PollerBehavior
    unsandboxed_workflow_runner: WorkflowRunner
    nexus_service_handlers: Sequence[Any]
    nexus_task_executor: Executor | None
    max_concurrent_nexus_tasks: int | None
    nexus_task_poller_behavior: PollerBehavior
    disable_safe_workflow_eviction: bool
    disable_payload_error_limit: bool


def warn(config: WorkerConfig) -> None:
    """Warns of parts that fit together badly."""
    threads = getattr(config["activity_executor"], "_max_workers", None)
    wanted = config["max_concurrent_activities"] or TASKS_MAX
    if config["activities"] and threads is not None and threads < wanted:
        warnings.warn(
            f"Worker max_concurrent_activities is {wanted} but activity_executor's max_workers is "
            f"only {threads}",
            stacklevel=3,
        )


def check(config: WorkerConfig) -> None:
    """Raises ValueError when the parts do not fit together."""
    keeps_runs = config["max_cached_workflows"] > 0
    deployment = config["deployment_config"]
    wrong = {
        "deployment_config cannot be used with build_id or use_worker_versioning": (
            deployment is not None and bool(config["build_id"])
        ),
        "default_versioning_behavior must be UNSPECIFIED when use_worker_versioning is False": (
            deployment is not None
            and not deployment.use_worker_versioning
            and deployment.default_versioning_behavior != VersioningBehavior.UNSPECIFIED
        ),
        "At least one activity, Nexus service, or workflow must be specified": not (
            config["activities"] or config["nexus_service_handlers"] or config["workflows"]
        ),
        "max_concurrent_workflow_tasks must be at least 2 if max_cached_workflows is nonzero": (
            keeps_runs and (config["max_concurrent_workflow_tasks"] or TASKS_MAX) < 2
        ),
        "max_concurrent_workflow_task_polls must be at least 2 if max_cached_workflows is "
        "nonzero": keeps_runs and config["max_concurrent_workflow_task_polls"] == 1,
        "max_eager_activity_reservations_per_workflow_task must be positive; use "
        "disable_eager_activity_execution=True to disable eager activity execution": (
            config["max_eager_activity_reservations_per_workflow_task"] < 1
        ),
        "max_cached_workflows must not be negative": config["max_cached_workflows"] < 0,
        "max_concurrent_activities must be positive": (
            (config["max_concurrent_activities"] or TASKS_MAX) < 1
        ),
    }
    for problem, present in wrong.items():
        if present:
            raise ValueError(problem)


def workflow_polls(config: WorkerConfig) -> tuple[int, int]:
    """How many polls for workflow tasks there are at first, and at most."""
    count, count_max = _counts(
        config["max_concurrent_workflow_task_polls"],
        config["workflow_task_poller_behavior"],
        config["max_concurrent_workflow_tasks"] or TASKS_MAX,
    )
    at_least = 2 if config["max_cached_workflows"] else 1  # one for each queue
    return max(count, at_least), max(count_max, at_least)


def activity_polls(config: WorkerConfig) -> tuple[int, int]:
    """How many polls for activities there are at first, and at most."""
    return _counts(
        config["max_concurrent_activity_task_polls"],
        config["activity_task_poller_behavior"],
        config["max_concurrent_activities"] or TASKS_MAX,
    )


def nexus_polls(config: WorkerConfig) -> tuple[int, int]:
    """How many polls for Nexus tasks there are at first, and at most."""
    return _counts(
        None,
        config["nexus_task_poller_behavior"],
        config["max_concurrent_nexus_tasks"] or TASKS_MAX,
    )


def _counts(fixed: int | None, behavior: PollerBehavior, places: int) -> tuple[int, int]:
    if fixed:
        return fixed, fixed
    if isinstance(behavior, PollerBehaviorSimpleMaximum):
        return behavior.maximum, behavior.maximum
    # Half of the places are left for what comes without a poll.
    return behavior.initial, max(behavior.initial, min(behavior.maximum, places // 2))
