"""StartChild: as a client's start, but that the parent is recorded and hears of it."""

from __future__ import annotations

from collections.abc import Callable

from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.server.machines.errors import FailedPrecondition
from perdure.server.machines.workflow import changes
from perdure.server.machines.workflow.from_clients import start
from perdure.server.machines.workflow.inputs import StartWorkflow, WorkflowStarted
from perdure.server.machines.workflow.messages import ChildStarted, StartChild
from perdure.server.machines.workflow.turn import Turn


def absent(turn: Turn, message: StartChild) -> WorkflowStarted:
    """Nothing has this workflow id yet."""
    return _start(turn, message, start.absent)


def closed(turn: Turn, message: StartChild) -> WorkflowStarted:
    """The last run of this workflow id is closed: the reuse policy decides."""
    return _start(turn, message, start.closed)


def running(turn: Turn, message: StartChild) -> WorkflowStarted:
    """The workflow id is in use: refused, unless the policy is to terminate who uses it."""
    return _start(turn, message, start.running)


def started(message: StartChild, run_id: str) -> ChildStarted:
    """What the parent is told."""
    request = StartWorkflowExecutionRequest.FromString(message.request)
    return ChildStarted(
        run_id=message.parent.run_id,
        initiated_event_id=message.parent.initiated_event_id,
        child_run_id=run_id,
        header=request.header.SerializeToString(deterministic=True)
        if request.HasField("header")
        else None,
    )


def _start(
    turn: Turn,
    message: StartChild,
    decider: Callable[[Turn, StartWorkflow], WorkflowStarted],
) -> WorkflowStarted:
    if message.is_version_absent:
        raise FailedPrecondition("no worker of the version polls the child's task queue")
    request = StartWorkflowExecutionRequest.FromString(message.request)
    reply = decider(turn, StartWorkflow(request, message.parent))
    if turn.has_changes:
        # The real server schedules the first task in a turn of its own: it counts in descriptions.
        turn.change(changes.TurnTaken())
        turn.send(message.parent.workflow_id, started(message, reply.run_id))
    return reply
