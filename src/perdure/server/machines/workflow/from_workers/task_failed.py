"""RespondWorkflowTaskFailed: the worker could not carry out its task; another attempt follows."""

from __future__ import annotations

from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import chain, events, problems, workflow_task
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.inputs import Done, FailWorkflowTask, TaskToken
from perdure.server.machines.workflow.state import Run, WorkflowTask
from perdure.server.machines.workflow.turn import Turn

TASK_NOT_FOUND = "Workflow task not found."


def started_task(run: Run, token: TaskToken) -> WorkflowTask:
    """The started task that a token shows. Raises NotFound when it is stale."""
    task = run.workflow_task
    if (
        task is None
        or not task.started_event_id
        or task.scheduled_event_id != token.scheduled_event_id
        or task.attempt != token.attempt
        or run.task_stamp != token.stamp
        or (token.start_id and task.request_id != token.start_id)
        or run.recorded.run_id != token.run_id
        or run.is_task_undelivered
    ):
        raise NotFound(TASK_NOT_FOUND)
    return task


def running(turn: Turn, message: FailWorkflowTask) -> Done:
    """Close the task as failed and schedule the next attempt."""
    request = message.request
    started_task(turn.run, message.token)
    if request.cause == failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE:
        workflow_task.force_close(turn)
        name = problems.name_of(request.cause)
        chain.close(turn, events.workflow_terminated(name, None, workflow_task.HISTORY_SERVICE))
        return Done()
    workflow_task.fail(
        turn,
        cause=request.cause,
        failure=request.failure if request.HasField("failure") else None,
        identity=request.identity,
        binary_checksum=request.binary_checksum,
        worker_version=(
            request.worker_version.SerializeToString()
            if request.HasField("worker_version")
            else None
        ),
    )
    workflow_task.schedule(turn)
    return Done()


def closed(turn: Turn, message: FailWorkflowTask) -> Done:
    """The run ended meanwhile."""
    raise NotFound(WORKFLOW_COMPLETED)
