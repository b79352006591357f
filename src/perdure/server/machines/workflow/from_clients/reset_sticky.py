"""ResetStickyTaskQueue: the next workflow task goes to the normal queue."""

from __future__ import annotations

from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import changes, workflow_task
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.inputs import Done, ResetSticky
from perdure.server.machines.workflow.outstanding_task import is_on_sticky_queue
from perdure.server.machines.workflow.turn import Turn


def running(turn: Turn, message: ResetSticky) -> Done:
    """Forget the sticky queue; a task that is on offer there moves to the normal one."""
    run = turn.run
    task = run.workflow_task
    if task is not None and not task.started_event_id and is_on_sticky_queue(run):
        if run.speculative is not None:
            turn.make_normal()
        turn.change(changes.StickyUnavailable())
        workflow_task.offer(turn)
    if run.pending.sticky_queue:
        turn.change(changes.StickySet("", 0))
    return Done()


def closed(turn: Turn, message: ResetSticky) -> Done:
    """A closed run has no next task."""
    raise NotFound(WORKFLOW_COMPLETED)
