"""What a schedule asks of the workflows that it starts."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import workflow_pb2
from temporalio.api.failure.v1 import Failure
from temporalio.api.schedule.v1 import ScheduleAction
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)

from perdure.server.machines.activity import retry
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.schedule.messages import (
    CancelScheduled,
    Sender,
    StartScheduled,
    TerminateScheduled,
)
from perdure.server.machines.schedule.state import Blob, Start, Started
from perdure.server.machines.schedule.turn import Turn
from perdure.server.machines.timeouts import default_times
from perdure.server.machines.workflow.messages import request_id_of

START_TIME = "TemporalScheduledStartTime"
SCHEDULED_BY = "TemporalScheduledById"
SUFFIX_LENGTH = 21
"""Characters that the time adds to a workflow id."""
OVERLAP_REASON = "cancelled by schedule overlap policy"
TERMINATE_REASON = "terminated by schedule overlap policy"

_CARRIED = (
    "workflow_type",
    "task_queue",
    "input",
    "workflow_execution_timeout",
    "workflow_run_timeout",
    "workflow_task_timeout",
    "retry_policy",
    "memo",
    "search_attributes",
    "header",
    "user_metadata",
    "priority",
    "versioning_override",
)
"""What a workflow has as its action says."""


def action_of(turn: Turn) -> NewWorkflowExecutionInfo | None:
    """The workflow that the schedule starts; None when it has no such action."""
    action = ScheduleAction.FromString(turn.run.blobs.get(Blob.ACTION, b""))
    return action.start_workflow if action.HasField("start_workflow") else None


def send_start(turn: Turn, action: NewWorkflowExecutionInfo, start: Start) -> None:
    """Ask for the workflow of an action."""
    workflow_id = workflow_id_of(turn, action, start)
    request = StartWorkflowExecutionRequest(
        namespace=turn.schedule.namespace,
        workflow_id=workflow_id,
        identity=identity_of(turn),
        request_id=request_id_of(turn.state.run_id, start.number),
        workflow_id_reuse_policy=workflow_pb2.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
        workflow_id_conflict_policy=workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
    )
    for name in _CARRIED:
        if action.HasField(name):  # type: ignore[arg-type]
            getattr(request, name).CopyFrom(getattr(action, name))
    if request.HasField("retry_policy"):
        retry.with_defaults(request.retry_policy)
    indexed = request.search_attributes.indexed_fields
    indexed[START_TIME].CopyFrom(_attribute("Datetime", time_text(start.nominal_ns)))
    indexed[SCHEDULED_BY].CopyFrom(_attribute("Keyword", turn.schedule.schedule_id))
    blobs = turn.run.blobs
    if Blob.RESULT in blobs:
        request.last_completion_result.CopyFrom(Payloads.FromString(blobs[Blob.RESULT]))
    if Blob.FAILURE in blobs:
        request.continued_failure.CopyFrom(Failure.FromString(blobs[Blob.FAILURE]))
    default_times(request, turn.limits)
    sender = Sender(turn.schedule.schedule_id, turn.state.run_id, start.number)
    turn.send(workflow_id, StartScheduled(sender, request.SerializeToString(deterministic=True)))


def workflow_id_of(turn: Turn, action: NewWorkflowExecutionInfo, start: Start) -> str:
    """The id of an action's workflow: one for each time, unless the schedule keeps it."""
    if turn.state.settings.keeps_workflow_id:
        return action.workflow_id
    return f"{action.workflow_id}-{time_text(start.nominal_ns)}"


def send_cancel(turn: Turn, started: Started) -> None:
    """Ask a workflow to cancel."""
    request = RequestCancelWorkflowExecutionRequest(
        namespace=turn.schedule.namespace,
        workflow_execution=WorkflowExecution(workflow_id=started.workflow_id),
        first_execution_run_id=started.run_id,
        identity=identity_of(turn),
        request_id=request_id_of(turn.state.run_id, started.number),
        reason=OVERLAP_REASON,
    )
    turn.send(started.workflow_id, CancelScheduled(request.SerializeToString(deterministic=True)))


def send_terminate(turn: Turn, started: Started) -> None:
    """End a workflow."""
    request = TerminateWorkflowExecutionRequest(
        namespace=turn.schedule.namespace,
        workflow_execution=WorkflowExecution(workflow_id=started.workflow_id),
        first_execution_run_id=started.run_id,
        identity=identity_of(turn),
        reason=TERMINATE_REASON,
    )
    turn.send(
        started.workflow_id, TerminateScheduled(request.SerializeToString(deterministic=True))
    )


def identity_of(turn: Turn) -> str:
    """Who starts the workflows of a schedule."""
    return f"temporal-scheduler-{turn.schedule.namespace}-{turn.schedule.schedule_id}"


def time_text(time_ns: int) -> str:
    """A time in whole seconds, as workflow ids and search attributes have it."""
    at = datetime.fromtimestamp(time_ns // SECOND_NS, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _attribute(kind: str, value: str) -> Payload:
    return Payload(
        metadata={"encoding": b"json/plain", "type": kind.encode()},
        data=json.dumps(value, ensure_ascii=False).encode(),
    )
