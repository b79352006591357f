"""SignalWithStartWorkflowExecution: an open run is signalled; else one is started that has the
signal before its first task, in one turn."""

from __future__ import annotations

from perdure.server.machines.workflow import workflow_task
from perdure.server.machines.workflow.from_clients import signal, start
from perdure.server.machines.workflow.inputs import SignalWithStart, SignalWorkflow, WorkflowStarted
from perdure.server.machines.workflow.turn import Turn


def absent(turn: Turn, message: SignalWithStart) -> WorkflowStarted:
    """Nothing has this workflow id yet."""
    return start.begin(turn, message.start, signal=message.signal)


def running(turn: Turn, message: SignalWithStart) -> WorkflowStarted:
    """Signal the open run, once per request id, unless it has to give way to a new one."""
    if start.is_to_replace(message.start.request):
        return start.replace(turn, message.start, message.signal)
    is_heard = message.signal.request_id in turn.run.requests
    signal.running(turn, SignalWorkflow("", message.signal))
    if not is_heard and not turn.run.pending.is_first_task_scheduled:
        # Unlike a plain signal, it does not wait for the end of a delay.
        workflow_task.schedule(turn)
    return start.answer(turn.run, is_new=False)


def closed(turn: Turn, message: SignalWithStart) -> WorkflowStarted:
    """Start another run, if the reuse policy allows; also for a request that was heard before."""
    start.check_reuse(turn, message.start.request)
    return start.begin(turn, message.start, signal=message.signal)
