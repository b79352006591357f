"""What is said of the outstanding workflow task: the events that record it, and its offer.

Pure functions of the run, for those who write them down: a turn, and the life of the task.
"""

from __future__ import annotations

from temporalio.api.common.v1 import Priority
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.workflow import events
from perdure.server.machines.workflow.effects import OfferTask, TaskKind
from perdure.server.machines.workflow.state import Run, WorkflowTask
from perdure.server.machines.workflow.versioning import directive_of, version_text

WORKFLOW_TASK_ROW = 0
"""The event id of a workflow task's dispatch row: a run has one at most."""
PRIORITY_DEFAULT = 3


def offer_of(run: Run, now_ns: int) -> OfferTask:
    """The offer of the outstanding task, on the queue where it belongs now."""
    is_sticky = is_on_sticky_queue(run)
    return OfferTask(
        run_id=run.recorded.run_id,
        kind=TaskKind.WORKFLOW,
        queue=run.pending.sticky_queue if is_sticky else run.recorded.task_queue,
        scheduled_event_id=WORKFLOW_TASK_ROW,
        stamp=run.task_stamp,
        ready_at_ns=now_ns,
        priority=priority_of(run.recorded.priority),
        sticky_for=run.recorded.task_queue if is_sticky else "",
        is_stored=run.speculative is None,
        directive=directive_of(run),
        version=version_text(run) if is_sticky else "",
    )


def is_on_sticky_queue(run: Run) -> bool:
    """Whether the outstanding task belongs on the sticky queue: never a transient or an undelivered
    one."""
    if run.speculative is not None:
        return run.speculative.is_sticky and not run.speculative.is_undelivered
    pending = run.pending
    return (
        bool(pending.sticky_queue)
        and not pending.sticky_worker_unavailable
        and not pending.is_task_undelivered
        and pending.transient_task is None
    )


def priority_of(priority: bytes | None) -> int:
    """The priority key of a serialised Priority; 3 when it has none."""
    return Priority.FromString(priority).priority_key or PRIORITY_DEFAULT if priority else 3


def scheduled_event(run: Run, start_to_close_ns: int, attempt: int) -> HistoryEvent:
    """WorkflowTaskScheduled, of a task that is scheduled now, or was as it stands."""
    queue, sticky_queue = run.recorded.task_queue, run.pending.sticky_queue
    if run.speculative is not None and not run.speculative.is_sticky:
        sticky_queue = ""
    return events.workflow_task_scheduled(
        queue=sticky_queue or queue,
        normal_queue=queue if sticky_queue else "",
        start_to_close_ns=start_to_close_ns,
        attempt=attempt,
    )


def started_event(task: WorkflowTask, worker_version: bytes | None) -> HistoryEvent:
    """WorkflowTaskStarted, of a task that knows all of it but the stamp of its worker."""
    return events.workflow_task_started(
        scheduled_event_id=task.scheduled_event_id,
        request_id=task.request_id,
        identity=task.identity,
        history_size_bytes=task.history_size_bytes,
        suggest_reasons=task.suggest_reasons,
        worker_version=worker_version,
        has_target_changed=task.has_target_changed,
    )
