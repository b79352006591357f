"""TerminateFromParent and CancelFromParent: the parent has closed, and this is its policy. It holds
for the whole chain of the child, and for nothing else that may have its workflow id by now."""

from __future__ import annotations

from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import (
    chain,
    changes,
    events,
    external_events,
    family,
    workflow_task,
)
from perdure.server.machines.workflow.from_clients.cancel import RUN_NOT_FOUND
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.from_workflows.signal import PARENT_MISMATCH
from perdure.server.machines.workflow.inputs import Done
from perdure.server.machines.workflow.messages import CancelFromParent, TerminateFromParent
from perdure.server.machines.workflow.turn import Turn

TERMINATION_REASON = "by parent close policy"


def terminate(turn: Turn, message: TerminateFromParent) -> Done:
    """End the child."""
    _check_family(turn, message)
    workflow_task.force_close(turn)
    chain.close(turn, events.workflow_terminated(TERMINATION_REASON, None, message.identity))
    return Done()


def cancel(turn: Turn, message: CancelFromParent) -> Done:
    """Ask the child to cancel, once."""
    _check_family(turn, message)
    if turn.run.pending.is_cancel_requested:
        return Done()
    turn.record_or_buffer(
        external_events.cancel_requested_by_workflow(
            message.parent, "", message.identity, is_by_command=False
        )
    )
    turn.change(changes.CancelNoted(""))
    workflow_task.schedule_without_delay(turn)
    return Done()


def too_late(turn: Turn, message: TerminateFromParent | CancelFromParent) -> Done:
    """It is over already."""
    raise NotFound(WORKFLOW_COMPLETED)


def _check_family(turn: Turn, message: TerminateFromParent | CancelFromParent) -> None:
    run = turn.run
    first = message.first_run_id
    if first and first != run.recorded.first_execution_run_id:
        raise NotFound(RUN_NOT_FOUND)
    if not family.is_child_of(run, message.parent):
        raise NotFound(PARENT_MISMATCH)
