"""DeleteWorkflowExecution: a run is forgotten with all that was of it; an open one ends first, and
who is to hear of that does."""

from __future__ import annotations

from perdure.server.machines.effects import DeleteRun
from perdure.server.machines.errors import Moved, NotFound
from perdure.server.machines.workflow import chain, changes
from perdure.server.machines.workflow.inputs import DeleteWorkflow, Done
from perdure.server.machines.workflow.state import Run
from perdure.server.machines.workflow.turn import Turn

REASON = "Delete workflow execution"


def running(turn: Turn, message: DeleteWorkflow) -> Done:
    """End the run, and forget it."""
    if message.other is not None:
        return _forget_other(turn, message.other)
    _check_current(turn, message)
    chain.terminate(turn, REASON)
    return _forget_current(turn)


def closed(turn: Turn, message: DeleteWorkflow) -> Done:
    """Forget the run."""
    if message.other is not None:
        return _forget_other(turn, message.other)
    _check_current(turn, message)
    turn.change(changes.TurnTaken())
    return _forget_current(turn)


def absent(turn: Turn, message: DeleteWorkflow) -> Done:
    """Earlier runs stay when the current one is deleted: they can be deleted as well."""
    if message.other is None:
        raise NotFound(f"workflow not found for ID: {turn.workflow.workflow_id}")
    return _forget_other(turn, message.other)


def _check_current(turn: Turn, message: DeleteWorkflow) -> None:
    if turn.run.recorded.run_id != message.run_id:
        raise Moved("another run has become the current one")


def _forget_current(turn: Turn) -> Done:
    run_id = turn.run.recorded.run_id
    turn.effects.append(DeleteRun(run_id))
    turn.workflow.run = None
    return Done(run_id)


def _forget_other(turn: Turn, run: Run) -> Done:
    turn.change_other(run, changes.TurnTaken())
    turn.effects.append(DeleteRun(run.recorded.run_id))
    return Done(run.recorded.run_id)
