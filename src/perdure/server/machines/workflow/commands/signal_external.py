"""SignalExternalWorkflowExecution: recorded, and sent to the other workflow."""

from __future__ import annotations

from temporalio.api.command.v1 import Command, SignalExternalWorkflowExecutionCommandAttributes
from temporalio.api.enums.v1 import failed_cause_pb2
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.workflow import events, external_events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
    require_attributes,
)
from perdure.server.machines.workflow.commands.external import (
    check_count,
    check_same_namespace,
    is_run_id,
)
from perdure.server.machines.workflow.messages import SignalFromWorkflow, Source, request_id_of
from perdure.server.machines.workflow.turn import Turn

_BAD = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES
_NAME = "SignalExternalWorkflowExecutionCommand"


def check(context: CheckContext, command: Command) -> None:
    """It must name a workflow of this namespace and a signal."""
    require_attributes(command, "SignalExternalWorkflowExecution", _BAD)
    attributes = command.signal_external_workflow_execution_command_attributes
    if not attributes.HasField("execution"):
        raise CommandRefused(_BAD, f"Execution is not set on {_NAME}.")
    check_same_namespace(context, attributes.namespace, _BAD)
    problem = _problem_of(attributes, context.limits.id_length_max)
    if problem is not None:
        raise CommandRefused(_BAD, problem)
    check_count(
        context.pending_signals,
        context.limits.pending_signals_max,
        "pending signals to external workflows",
        failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_PENDING_SIGNALS_LIMIT_EXCEEDED,
    )
    if attributes.input.ByteSize() > context.limits.blob_size_bytes_max:
        raise CommandRefused(
            _BAD,
            "SignalExternalWorkflowExecutionCommandAttributes.Input exceeds size limit.",
            terminate=True,
        )
    context.pending_signals += 1


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record it and send it."""
    attributes = command.signal_external_workflow_execution_command_attributes
    event = external_events.signal_initiated(
        context.completed_event_id, turn.workflow.namespace_id, attributes
    )
    event_id = turn.record(events.with_command_metadata(event, command))
    send(turn, event_id, event, turn.run.recorded.run_id)


def send(turn: Turn, event_id: int, event: HistoryEvent, initiator_run_id: str) -> None:
    """Signal the workflow that an event of the current run names; `initiator_run_id` is the run
    that did so first."""
    initiated = event.signal_external_workflow_execution_initiated_event_attributes
    target = initiated.workflow_execution
    turn.send(
        target.workflow_id,
        SignalFromWorkflow(
            run_id=target.run_id,
            source=Source(turn.workflow.workflow_id, turn.run.recorded.run_id, event_id),
            request_id=request_id_of(initiator_run_id, event_id),
            signal=initiated.SerializeToString(deterministic=True),
        ),
    )


def _problem_of(
    attributes: SignalExternalWorkflowExecutionCommandAttributes, length_max: int
) -> str | None:
    workflow_id, run_id = attributes.execution.workflow_id, attributes.execution.run_id
    where = f"RunId={run_id} SignalName={attributes.signal_name}"
    namespace = attributes.namespace
    if not workflow_id:
        return f"WorkflowId is not set on {_NAME}. Namespace={namespace} {where}"
    length = len(workflow_id.encode())
    if length > length_max:
        return (
            f"WorkflowId on {_NAME} exceeds length limit. WorkflowId={workflow_id}"
            f" Length={length} Limit={length_max} Namespace={namespace} {where}"
        )
    if run_id and not is_run_id(run_id):
        return (
            f"Invalid RunId set on {_NAME}. WorkflowId={workflow_id} Namespace={namespace} {where}"
        )
    if not attributes.signal_name:
        return (
            f"SignalName is not set on {_NAME}. WorkflowId={workflow_id}"
            f" Namespace={namespace} RunId={run_id}"
        )
    return None
