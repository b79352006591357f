"""Tells of workflow tasks that take long: half of the time that they may take, as a rule."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueResponse

LONG_TASK_SECONDS: Final = 5.0
"""The official SDK tells of tasks that take longer."""

_log = logging.getLogger("perdure.worker")


def log_long_task(task: PollWorkflowTaskQueueResponse, seconds: float, history_bytes: int) -> None:
    """Warns, with the official SDK's rule number and names of what is known."""
    _log.warning(
        "[TMPRL1104] %s:%d:%d Workflow task duration exceeded %g seconds: it took %.1f",
        task.workflow_execution.run_id,
        task.started_event_id,
        task.attempt,
        LONG_TASK_SECONDS,
        seconds,
        extra={
            "workflow_type": task.workflow_type.name,
            "workflow_id": task.workflow_execution.workflow_id,
            "event_id": task.started_event_id,
            "attempt": task.attempt,
            "workflow_task_duration": timedelta(seconds=seconds),
            "workflow_history_size": history_bytes,
        },
    )
