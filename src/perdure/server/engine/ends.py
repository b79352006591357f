"""What is counted of workflows that have ended, by the names that the real server has."""

from __future__ import annotations

from typing import Final

from perdure.server.engine.api import NamespaceRef
from perdure.server.engine.counters import Counters, quotable
from perdure.server.engine.sealing import PendingRun
from perdure.server.machines.workflow.state import Run, Status

NAMES: Final = {
    Status.COMPLETED: "workflow_success",
    Status.FAILED: "workflow_failed",
    Status.CANCELED: "workflow_cancel",
    Status.TERMINATED: "workflow_terminate",
    Status.CONTINUED_AS_NEW: "workflow_continued_as_new",
    Status.TIMED_OUT: "workflow_timeout",
}


def count_end(counters: Counters, namespace: NamespaceRef, pending: PendingRun) -> None:
    """Count a run of a workflow, if what is durable now is its end."""
    run = pending.run
    if not isinstance(run, Run) or run.is_open:
        return
    recorded = run.recorded
    end = recorded.close_event_id
    if not any(one.first_event_id <= end <= one.last_event_id for one in pending.batches):
        return
    labels = (
        f'namespace="{quotable(namespace.name)}",namespace_state="active",'
        f'operation="CompletionStats",service_name="history",'
        f'taskqueue="{quotable(recorded.task_queue)}",'
        f'workflowType="{quotable(recorded.workflow_type)}"'
    )
    counters.add(NAMES[Status(recorded.status)], labels)
