"""What a schedule asks: as a client's start, cancel request or termination, but that the schedule
is recorded and hears of it."""

from __future__ import annotations

from collections.abc import Callable

from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)

from perdure.server.machines.schedule.messages import (
    CancelScheduled,
    StartScheduled,
    TerminateScheduled,
)
from perdure.server.machines.workflow import scheduled
from perdure.server.machines.workflow.from_clients import cancel, start, terminate
from perdure.server.machines.workflow.inputs import (
    CancelWorkflow,
    Done,
    StartWorkflow,
    TerminateWorkflow,
    WorkflowStarted,
)
from perdure.server.machines.workflow.turn import Turn


def start_absent(turn: Turn, message: StartScheduled) -> WorkflowStarted:
    """Nothing has this workflow id yet."""
    return _start(turn, message, start.absent)


def start_closed(turn: Turn, message: StartScheduled) -> WorkflowStarted:
    """The last run of this workflow id is closed."""
    return _start(turn, message, start.closed)


def start_running(turn: Turn, message: StartScheduled) -> WorkflowStarted:
    """The workflow id is in use: refused."""
    return _start(turn, message, start.running)


def cancel_running(turn: Turn, message: CancelScheduled) -> Done:
    """Another run of the schedule wants its place."""
    request = RequestCancelWorkflowExecutionRequest.FromString(message.request)
    return cancel.running(turn, CancelWorkflow("", request))


def cancel_closed(turn: Turn, message: CancelScheduled) -> Done:
    """It is over already."""
    return Done()


def terminate_running(turn: Turn, message: TerminateScheduled) -> Done:
    """Another run of the schedule takes its place."""
    request = TerminateWorkflowExecutionRequest.FromString(message.request)
    return terminate.running(turn, TerminateWorkflow("", request))


def terminate_closed(turn: Turn, message: TerminateScheduled) -> Done:
    """It is over already."""
    return Done()


def _start(
    turn: Turn,
    message: StartScheduled,
    decider: Callable[[Turn, StartWorkflow], WorkflowStarted],
) -> WorkflowStarted:
    request = StartWorkflowExecutionRequest.FromString(message.request)
    reply = decider(turn, StartWorkflow(request))
    if turn.has_changes:
        scheduled.note_start(turn, message.sender)
    return reply
