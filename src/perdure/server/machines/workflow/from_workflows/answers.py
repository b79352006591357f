"""What a source is told when its message changed nothing at its target: refused, or so already."""

from __future__ import annotations

from temporalio.api.enums.v1.failed_cause_pb2 import (
    CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND,
    SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND,
    SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_SIGNAL_COUNT_LIMIT_EXCEEDED,
    START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_INVALID_VERSIONING_OVERRIDE,
    START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS,
)
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.server.machines.errors import Rejected, ResourceExhausted
from perdure.server.machines.ports import Address, Kind
from perdure.server.machines.schedule.messages import (
    ActionFailed,
    ActionStarted,
    StartScheduled,
    ToSchedule,
    ToWorkflow,
)
from perdure.server.machines.workflow.from_workflows import cancel, signal, start_child
from perdure.server.machines.workflow.inputs import Reply, WorkflowStarted
from perdure.server.machines.workflow.messages import (
    CancelFromWorkflow,
    ChildStartFailed,
    Command,
    Message,
    SignalFromWorkflow,
    StartChild,
)
from perdure.server.machines.workflow.state import Run

_NO_TARGET = SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND
_TOO_MANY = SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_SIGNAL_COUNT_LIMIT_EXCEEDED
_NO_TARGET_TO_CANCEL = (
    CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND
)
_NO_VERSION = START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_INVALID_VERSIONING_OVERRIDE
_TAKEN = START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS


def answer_to(
    message: Message | ToWorkflow, came: Reply | Rejected
) -> tuple[Address, Message | ToSchedule] | None:
    """The answer to a message to which `came` and nothing else, and whom it is for; None when
    nobody waits for one."""
    match message:
        case StartChild():
            parent = message.parent
            if isinstance(came, WorkflowStarted):
                return _workflow(parent.workflow_id), start_child.started(message, came.run_id)
            failed = _NO_VERSION if message.is_version_absent else _TAKEN
            return _workflow(parent.workflow_id), ChildStartFailed(
                parent.run_id, parent.initiated_event_id, failed, message.control
            )
        case SignalFromWorkflow():
            cause = 0
            if isinstance(came, Rejected):
                cause = _TOO_MANY if isinstance(came, ResourceExhausted) else _NO_TARGET
            return _workflow(message.source.workflow_id), signal.outcome(message, cause)
        case CancelFromWorkflow():
            cause = _NO_TARGET_TO_CANCEL if isinstance(came, Rejected) else 0
            return _workflow(message.source.workflow_id), cancel.outcome(message, cause)
        case StartScheduled():
            sender = message.sender
            schedule = Address(Kind.SCHEDULE, sender.schedule_id)
            if not isinstance(came, WorkflowStarted):
                return schedule, ActionFailed(sender.run_id, sender.number)
            request = StartWorkflowExecutionRequest.FromString(message.request)
            return schedule, ActionStarted(
                sender.run_id, sender.number, request.workflow_id, came.run_id, 0
            )
        case _:
            return None


def _workflow(workflow_id: str) -> Address:
    return Address(Kind.WORKFLOW, workflow_id)


def is_wanted(run: Run | None, command: Command) -> bool:
    """Whether the source, whose current run is `run`, still waits for what its command will come
    to. What a run asked for and did not live to see asked never happens, as on the real server."""
    source = command.source
    if run is None or not run.is_open or run.recorded.run_id != source.run_id:
        return False
    event_id = source.initiated_event_id
    match command:
        case StartChild():
            child = run.children.get(event_id)
            return child is not None and not child.first_run_id and not child.is_over
        case SignalFromWorkflow():
            return event_id in run.external_signals
        case CancelFromWorkflow():
            return event_id in run.external_cancels
