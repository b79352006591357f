"""The timeouts of a workflow that is started, where the request leaves them open."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.server.machines.ports import Limits
from perdure.server.machines.wire import duration, duration_ns


def default_times(request: StartWorkflowExecutionRequest, limits: Limits) -> None:
    """The run timeout is at most the execution timeout; the task timeout has a default and at most
    the run timeout."""
    execution_ns = duration_ns(request.workflow_execution_timeout)
    asked_run_ns = run_ns = duration_ns(request.workflow_run_timeout)
    if execution_ns:
        run_ns = min(run_ns or execution_ns, execution_ns)
    if run_ns != asked_run_ns:
        request.workflow_run_timeout.CopyFrom(duration(run_ns))
    asked_task_ns = duration_ns(request.workflow_task_timeout)
    task_ns = min(
        asked_task_ns or limits.workflow_task_timeout_ns, limits.workflow_task_timeout_ns_max
    )
    if run_ns:
        task_ns = min(task_ns, run_ns)
    if task_ns != asked_task_ns:
        request.workflow_task_timeout.CopyFrom(duration(task_ns))
