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
from perdure.worker.tuning import SLOTS_DEFAULT, SLOTS_MAX_BY_RESOURCES, WorkerTuner, slots_max

POLLS: Final = 5
STORAGE_CALLS: Final = 3
"""So many calls of storage drivers at once for one workflow task."""


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
    tuner: WorkerTuner | None
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
    plugin_shutdown_timeout: timedelta | None
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
    use_worker_versioning: bool
    disable_safe_workflow_eviction: bool
    disable_payload_error_limit: bool
    max_workflow_task_external_storage_concurrency: int


def tuner_of(config: WorkerConfig) -> WorkerTuner:
    """What decides how many tasks there are at once."""
    return config["tuner"] or WorkerTuner.create_fixed(
        workflow_slots=config["max_concurrent_workflow_tasks"],
        activity_slots=config["max_concurrent_activities"],
        local_activity_slots=config["max_concurrent_local_activities"],
        nexus_slots=config["max_concurrent_nexus_tasks"],
    )


def activities_max(config: WorkerConfig) -> int:
    """How many activities there can be at once, as far as that is known."""
    return slots_max(tuner_of(config)._activity) or SLOTS_MAX_BY_RESOURCES


def warn(config: WorkerConfig) -> None:
    """Warns whoever makes the worker, three calls from here, of parts that fit together badly."""
    tuner = tuner_of(config)
    pools = (
        ("activities", "max_concurrent_activities", "activity_executor", tuner._activity),
        (
            "nexus_service_handlers",
            "max_concurrent_nexus_tasks",
            "nexus_task_executor",
            tuner._nexus,
        ),
    )
    for what, limit, executor, supplier in pools:
        threads = getattr(config[executor], "_max_workers", None)  # type: ignore[literal-required]
        wanted = slots_max(supplier) or 0
        if config[what] and isinstance(threads, int) and threads < wanted:  # type: ignore[literal-required]
            warnings.warn(
                f"Worker {limit} is {wanted} but {executor}'s max_workers is only {threads}",
                stacklevel=4,
            )


def check(config: WorkerConfig) -> None:
    """Raises ValueError when the parts do not fit together."""
    keeps_runs = config["max_cached_workflows"] > 0
    deployment = config["deployment_config"]
    limits = (
        config["max_concurrent_workflow_tasks"],
        config["max_concurrent_activities"],
        config["max_concurrent_local_activities"],
        config["max_concurrent_nexus_tasks"],
    )
    tuner = tuner_of(config)
    wrong = {
        "Cannot specify max_concurrent_workflow_tasks, max_concurrent_activities, "
        "max_concurrent_local_activities, or max_concurrent_nexus_tasks when also specifying "
        "tuner": config["tuner"] is not None and any(limits),
        "deployment_config cannot be used with build_id or use_worker_versioning": (
            deployment is not None and (bool(config["build_id"]) or config["use_worker_versioning"])
        ),
        "build_id must be specified when use_worker_versioning is True": (
            config["use_worker_versioning"] and not config["build_id"]
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
            keeps_runs and (slots_max(tuner._workflow) or SLOTS_DEFAULT) < 2
        ),
        "max_concurrent_workflow_task_polls must be at least 2 if max_cached_workflows is "
        "nonzero": keeps_runs and config["max_concurrent_workflow_task_polls"] == 1,
        "max_eager_activity_reservations_per_workflow_task must be positive; use "
        "disable_eager_activity_execution=True to disable eager activity execution": (
            config["max_eager_activity_reservations_per_workflow_task"] < 1
        ),
        "max_cached_workflows must not be negative": config["max_cached_workflows"] < 0,
        "max_workflow_task_external_storage_concurrency must be positive": (
            config["max_workflow_task_external_storage_concurrency"] < 1
        ),
        "max_concurrent_activities must be positive": (
            (slots_max(tuner._activity) or SLOTS_DEFAULT) < 1
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
        slots_max(tuner_of(config)._workflow) or SLOTS_DEFAULT,
    )
    at_least = 2 if config["max_cached_workflows"] else 1  # one for each queue
    return max(count, at_least), max(count_max, at_least)


def activity_polls(config: WorkerConfig) -> tuple[int, int]:
    """How many polls for activities there are at first, and at most."""
    return _counts(
        config["max_concurrent_activity_task_polls"],
        config["activity_task_poller_behavior"],
        slots_max(tuner_of(config)._activity) or SLOTS_DEFAULT,
    )


def nexus_polls(config: WorkerConfig) -> tuple[int, int]:
    """How many polls for Nexus tasks there are at first, and at most."""
    return _counts(
        None,
        config["nexus_task_poller_behavior"],
        slots_max(tuner_of(config)._nexus) or SLOTS_DEFAULT,
    )


def _counts(fixed: int | None, behavior: PollerBehavior, places: int) -> tuple[int, int]:
    if fixed:
        return fixed, fixed
    if isinstance(behavior, PollerBehaviorSimpleMaximum):
        return behavior.maximum, behavior.maximum
    # Half of the places are left for what comes without a poll.
    return behavior.initial, max(behavior.initial, min(behavior.maximum, places // 2))
