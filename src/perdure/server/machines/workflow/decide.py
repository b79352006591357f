"""The decision: one table, (where the workflow stands, what it is asked) -> what happens.

Every pair of a phase and an input has its row; a test enumerates them. A pair that cannot be (a
wake-up of a workflow that never was) is a bug of ours, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from perdure.server.machines.errors import NotFound
from perdure.server.machines.ports import Ids, Limits
from perdure.server.machines.schedule import messages as from_schedules
from perdure.server.machines.workflow import chain, hard_limits, inputs, messages, workflow_task
from perdure.server.machines.workflow.effects import Effect
from perdure.server.machines.workflow.from_clients import (
    activity_control,
    cancel,
    delete,
    pause,
    query,
    reset,
    reset_sticky,
    signal,
    signal_with_start,
    start,
    terminate,
    update,
    update_options,
    update_with_start,
)
from perdure.server.machines.workflow.from_handlers import nexus_operations
from perdure.server.machines.workflow.from_time import callbacks, wake_up
from perdure.server.machines.workflow.from_workers import (
    activity_canceled,
    activity_completed,
    activity_failed,
    activity_heartbeat,
    activity_lost,
    activity_started,
    activity_undelivered,
    task_completed,
    task_dispatch,
    task_failed,
)
from perdure.server.machines.workflow.from_workflows import cancel as cancel_from_workflow
from perdure.server.machines.workflow.from_workflows import (
    child,
    outcomes,
    parent_closed,
    scheduled,
    start_child,
)
from perdure.server.machines.workflow.from_workflows import signal as signal_from_workflow
from perdure.server.machines.workflow.invariants import check_turn
from perdure.server.machines.workflow.resetting import has_taken_over
from perdure.server.machines.workflow.state import Phase, Run, Workflow
from perdure.server.machines.workflow.turn import Segment, Turn

Decider = Callable[[Turn, Any], inputs.Reply]

OPEN = (Phase.DELAYED, Phase.IDLE, Phase.SCHEDULED, Phase.STARTED)


FOR_ANY_RUN = (
    inputs.StartWorkflow,
    inputs.SignalWithStart,
    inputs.UpdateWithStart,
    inputs.ResetWorkflow,
    inputs.DeleteWorkflow,
    inputs.CompleteNexusOperation,
)
"""Inputs that name no run of their own."""
OF_CHILDREN = (messages.ChildStarted, messages.ChildStartFailed, messages.ChildClosed)


class Decision(msgspec.Struct):
    """The result of a turn: what changed, what must be done after the commit, and the answer that
    waits for it."""

    segments: list[Segment]
    effects: list[Effect]
    reply: inputs.Reply

    @property
    def has_changes(self) -> bool:
        """Whether anything must be committed."""
        for segment in self.segments:  # noqa: SIM110 (`any` costs more than all the rest of it)
            if segment.batches or segment.steps:
                return True
        return False


def decide(
    workflow: Workflow, message: inputs.Input, now_ns: int, ids: Ids, limits: Limits
) -> Decision:
    """Take one decision. Raises Rejected, before anything has changed, when the input cannot be
    honoured."""
    phase = workflow.phase
    run = workflow.run
    run_id = run_named_by(message)
    if (
        run is not None
        and run_id
        and run_id != run.recorded.run_id
        and not (
            isinstance(message, OF_CHILDREN)
            and has_taken_over(run, run_id, message.initiated_event_id)
        )
    ):
        phase = Phase.ABSENT
    is_refused = type(message) in hard_limits.REFUSED and phase in OPEN
    if is_refused:

        def rehearse(copy: Workflow) -> Turn:
            turn = Turn(copy, now_ns, ids, limits)
            TABLE[phase, type(message)](turn, message)
            return turn

        if reason := hard_limits.reason_to_end(workflow, limits, rehearse):
            turn = Turn(workflow, now_ns, ids, limits)
            chain.terminate(turn, reason)
            return _decision(turn, inputs.Refused(reason))
    turn = Turn(workflow, now_ns, ids, limits)
    too_large = run if run is not None and _is_history_too_large(run, limits) else None
    reply = TABLE[phase, type(message)](turn, message)
    if turn.workflow.run is not None and turn.has_changes:
        workflow_task.limit_buffer(turn)
        chain.limit_history(turn, was_too_large=turn.workflow.run is too_large)
        if (reason := hard_limits.limit_state(turn)) and is_refused:
            reply = inputs.Refused(reason)
    return _decision(turn, reply)


def _is_history_too_large(run: Run, limits: Limits) -> bool:
    return run.is_open and run.recorded.history_size_bytes > limits.history_size_bytes_max


def _decision(turn: Turn, reply: inputs.Reply) -> Decision:
    turn.finish()
    check_turn(turn)
    return Decision(turn.segments, turn.effects, reply)


def run_named_by(message: inputs.Input) -> str:
    """The run that an input is for; "" when it is for whichever is current."""
    if isinstance(message, FOR_ANY_RUN):
        return ""
    token = getattr(message, "token", None)
    run_id: str = token.run_id if token is not None else message.run_id  # type: ignore[union-attr]
    return run_id


def not_found_text(workflow_id: str, run_id: str) -> str:
    """What those are told who name a workflow, or a run of it, that does not exist."""
    if run_id:
        return f'workflow execution not found for workflow ID "{workflow_id}" and run ID "{run_id}"'
    return f"workflow not found for ID: {workflow_id}"


def _no_such_workflow(turn: Turn, message: inputs.Input) -> inputs.Reply:
    raise NotFound(not_found_text(turn.workflow.workflow_id, run_named_by(message)))


def _stale(turn: Turn, message: inputs.Input) -> inputs.Reply:
    raise NotFound(task_dispatch.STALE_OFFER)


def _rows(
    message: type, absent: Decider, opened: Decider, closed: Decider
) -> dict[tuple[Phase, type], Decider]:
    rows = {(phase, message): opened for phase in OPEN}
    rows[Phase.ABSENT, message] = absent
    rows[Phase.CLOSED, message] = closed
    return rows


TABLE: dict[tuple[Phase, type], Decider] = {
    **_rows(inputs.StartWorkflow, start.absent, start.running, start.closed),
    **_rows(inputs.SignalWorkflow, _no_such_workflow, signal.running, signal.closed),
    **_rows(
        inputs.SignalWithStart,
        signal_with_start.absent,
        signal_with_start.running,
        signal_with_start.closed,
    ),
    **_rows(inputs.CancelWorkflow, _no_such_workflow, cancel.running, cancel.closed),
    **_rows(inputs.TerminateWorkflow, _no_such_workflow, terminate.running, terminate.closed),
    **_rows(inputs.QueryWorkflow, _no_such_workflow, query.running, query.closed),
    **_rows(inputs.ForgetQuery, _no_such_workflow, query.forget, query.forget),
    **_rows(inputs.UpdateWorkflow, _no_such_workflow, update.running, update.closed),
    **_rows(
        inputs.UpdateWithStart,
        update_with_start.absent,
        update_with_start.running,
        update_with_start.closed,
    ),
    **_rows(inputs.PollUpdate, _no_such_workflow, update.poll, update.poll),
    **_rows(inputs.ResetSticky, _no_such_workflow, reset_sticky.running, reset_sticky.closed),
    **_rows(
        inputs.PauseActivity,
        _no_such_workflow,
        activity_control.pause,
        activity_control.closed,
    ),
    **_rows(
        inputs.UnpauseActivity,
        _no_such_workflow,
        activity_control.unpause,
        activity_control.closed,
    ),
    **_rows(
        inputs.ResetActivity,
        _no_such_workflow,
        activity_control.reset,
        activity_control.closed,
    ),
    **_rows(
        inputs.UpdateActivityOptions,
        _no_such_workflow,
        activity_control.update_options,
        activity_control.closed,
    ),
    **_rows(inputs.DeleteWorkflow, delete.absent, delete.running, delete.closed),
    **_rows(
        inputs.UpdateWorkflowOptions,
        _no_such_workflow,
        update_options.running,
        update_options.closed,
    ),
    **_rows(inputs.PauseWorkflow, _no_such_workflow, pause.pause, pause.closed),
    **_rows(inputs.UnpauseWorkflow, _no_such_workflow, pause.unpause, pause.closed),
    **_rows(inputs.ResetWorkflow, _no_such_workflow, reset.decide, reset.decide),
    **_rows(inputs.StartWorkflowTask, _stale, task_dispatch.start, _stale),
    **_rows(inputs.WorkflowTaskUndelivered, _stale, _stale, _stale),
    (Phase.STARTED, inputs.WorkflowTaskUndelivered): task_dispatch.undelivered,
    **_rows(inputs.StickyWorkerUnavailable, _stale, _stale, _stale),
    (Phase.SCHEDULED, inputs.StickyWorkerUnavailable): task_dispatch.sticky_unavailable,
    **_rows(
        inputs.CompleteWorkflowTask,
        _no_such_workflow,
        task_completed.running,
        task_completed.closed,
    ),
    **_rows(inputs.FailWorkflowTask, _no_such_workflow, task_failed.running, task_failed.closed),
    **_rows(inputs.StartActivityTask, _stale, activity_started.decide, _stale),
    **_rows(inputs.ActivityTaskUndelivered, _stale, activity_undelivered.decide, _stale),
    **_rows(inputs.LoseActivityTask, _stale, activity_lost.decide, _stale),
    **_rows(
        inputs.CompleteActivity,
        _no_such_workflow,
        activity_completed.decide,
        activity_completed.closed,
    ),
    **_rows(
        inputs.FailActivity, _no_such_workflow, activity_failed.decide, activity_completed.closed
    ),
    **_rows(
        inputs.CancelActivity,
        _no_such_workflow,
        activity_canceled.decide,
        activity_completed.closed,
    ),
    **_rows(
        inputs.HeartbeatActivity,
        _no_such_workflow,
        activity_heartbeat.decide,
        activity_completed.closed,
    ),
    **_rows(messages.StartChild, start_child.absent, start_child.running, start_child.closed),
    **_rows(
        messages.SignalFromWorkflow,
        _no_such_workflow,
        signal_from_workflow.running,
        signal_from_workflow.closed,
    ),
    **_rows(
        messages.CancelFromWorkflow,
        _no_such_workflow,
        cancel_from_workflow.running,
        cancel_from_workflow.closed,
    ),
    **_rows(
        messages.TerminateFromParent,
        _no_such_workflow,
        parent_closed.terminate,
        parent_closed.too_late,
    ),
    **_rows(
        messages.CancelFromParent, _no_such_workflow, parent_closed.cancel, parent_closed.too_late
    ),
    **_rows(
        from_schedules.StartScheduled,
        scheduled.start_absent,
        scheduled.start_running,
        scheduled.start_closed,
    ),
    **_rows(
        from_schedules.CancelScheduled,
        _no_such_workflow,
        scheduled.cancel_running,
        scheduled.cancel_closed,
    ),
    **_rows(
        from_schedules.TerminateScheduled,
        _no_such_workflow,
        scheduled.terminate_running,
        scheduled.terminate_closed,
    ),
    **_rows(messages.ChildStarted, _no_such_workflow, child.started, child.too_late),
    **_rows(messages.ChildStartFailed, _no_such_workflow, child.start_failed, child.too_late),
    **_rows(messages.ChildClosed, _no_such_workflow, child.closed, child.too_late),
    **_rows(messages.SignalOutcome, _no_such_workflow, outcomes.of_signal, outcomes.too_late),
    **_rows(messages.CancelOutcome, _no_such_workflow, outcomes.of_cancel, outcomes.too_late),
    **_rows(inputs.WakeUp, callbacks.wake_up_of_other, wake_up.decide, callbacks.wake_up),
    **_rows(
        inputs.CallbackAttempted,
        callbacks.attempted_of_other,
        callbacks.attempted,
        callbacks.attempted,
    ),
    **_rows(
        inputs.NexusStartAnswered,
        _no_such_workflow,
        nexus_operations.start_answered,
        nexus_operations.too_late,
    ),
    **_rows(
        inputs.NexusCancelAnswered,
        _no_such_workflow,
        nexus_operations.cancel_answered,
        nexus_operations.too_late,
    ),
    **_rows(
        inputs.CompleteNexusOperation,
        _no_such_workflow,
        nexus_operations.completed,
        nexus_operations.too_late,
    ),
}
