"""The places of a worker for each kind of task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from temporalio.api.workflowservice.v1 import (
    PollNexusTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
)

from perdure.worker.activity_attempt import ActivityAttempt
from perdure.worker.config import WorkerConfig, tuner_of
from perdure.worker.metrics import WorkerMetrics
from perdure.worker.slots import TaskSlots
from perdure.worker.supplied_slots import slots_of
from perdure.worker.tuning import (
    ActivitySlotInfo,
    CustomSlotSupplier,
    LocalActivitySlotInfo,
    NexusSlotInfo,
    SlotReserveContext,
    WorkflowSlotInfo,
)


class Places(NamedTuple):
    """By kind."""

    workflow: TaskSlots
    activity: TaskSlots
    local_activity: TaskSlots
    nexus: TaskSlots


def places_of(config: WorkerConfig, build_id: str, is_sticky: Callable[[], bool]) -> Places:
    """The places that a worker's tuner gives out. Raises TypeError for what is no supplier."""
    tuner = tuner_of(config)
    deployment = config["deployment_config"]
    who = SlotReserveContext(
        slot_type="workflow",
        task_queue=config["task_queue"],
        worker_identity=config["identity"] or config["client"].identity,
        worker_build_id=build_id,
        worker_deployment_version=None if deployment is None else deployment.version,
        is_sticky=False,
    )
    return Places(
        slots_of(tuner._workflow, who, _of_workflow, is_sticky=is_sticky),
        slots_of(tuner._activity, replace(who, slot_type="activity"), _of_activity),
        slots_of(tuner._local_activity, replace(who, slot_type="local-activity"), _of_local),
        slots_of(tuner._nexus, replace(who, slot_type="nexus"), _of_nexus),
    )


def asks_a_supplier_for_local_activities(config: WorkerConfig) -> bool:
    """Whether there can be local activities whose places a supplier of the user's gives out."""
    if not config["workflows"] or not config["activities"]:
        return False
    return isinstance(tuner_of(config)._local_activity, CustomSlotSupplier)


def told_places(places: Places, metrics: WorkerMetrics) -> Places:
    """The same places, whose use is told."""
    return Places(
        metrics.slots("WorkflowWorker", places.workflow),
        metrics.slots("ActivityWorker", places.activity),
        metrics.slots("LocalActivityWorker", places.local_activity),
        metrics.slots("NexusWorker", places.nexus),
    )


def _of_workflow(task: PollWorkflowTaskQueueResponse) -> WorkflowSlotInfo:
    events = task.history.events
    follows = bool(events) and events[0].event_id > 1
    return WorkflowSlotInfo(workflow_type=task.workflow_type.name, is_sticky=follows)


def _of_activity(attempt: ActivityAttempt) -> ActivitySlotInfo:
    return ActivitySlotInfo(activity_type=attempt.task.activity_type.name)


def _of_local(attempt: ActivityAttempt) -> LocalActivitySlotInfo:
    return LocalActivitySlotInfo(activity_type=attempt.task.activity_type.name)


def _of_nexus(task: PollNexusTaskQueueResponse) -> NexusSlotInfo:
    asked = task.request
    start = asked.start_operation if asked.HasField("start_operation") else asked.cancel_operation
    return NexusSlotInfo(service=start.service, operation=start.operation)
