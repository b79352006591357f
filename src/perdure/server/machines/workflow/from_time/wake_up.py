"""A wake-up: everything of a run that is due happens, in one turn."""

from __future__ import annotations

from temporalio.api.enums.v1 import workflow_pb2
from temporalio.api.failure.v1 import Failure, TimeoutFailureInfo

from perdure.server.machines.workflow import (
    callbacks,
    chain,
    changes,
    deadlines,
    events,
    speculative,
    workflow_task,
)
from perdure.server.machines.workflow.from_time import activities, nexus_operations
from perdure.server.machines.workflow.inputs import Done, WakeUp
from perdure.server.machines.workflow.turn import Turn


def decide(turn: Turn, message: WakeUp) -> Done:
    """Time out the run, or else its workflow task, its activities and its timers; then arm what is
    left."""
    run, now_ns = turn.run, turn.now_ns
    if _is_due(deadlines.run_deadline(run), now_ns):
        _time_out_run(turn)
        return Done()
    is_task_due = _is_due(deadlines.task_deadline(run), now_ns) or speculative.is_due(run, now_ns)
    if is_task_due:
        _task_due(turn)
    has_timed_out = activities.due(turn, now_ns)
    has_fired = _fire_timers(turn)
    has_called = bool(run.nexus_operations) and nexus_operations.due(
        turn, calls_are_lost=message.calls_are_lost
    )
    if run.callbacks:
        callbacks.invoke_due(turn, run, are_lost=message.calls_are_lost)
    # The real server offers an attempt whose backoff is over, and looks again later at a deadline
    # that has moved, without a transition of the run.
    turn.is_transition = is_task_due or has_timed_out or has_fired or has_called
    turn.arm(deadlines.wake_at(run))
    return Done()


def _is_due(deadline_ns: int, now_ns: int) -> bool:
    return bool(deadline_ns) and deadline_ns <= now_ns


def _task_due(turn: Turn) -> None:
    run = turn.run
    speculative_task = run.speculative
    if speculative_task is not None and (
        speculative_task.is_undelivered or not run.pending.is_first_task_scheduled
    ):
        # Its offer is a row now, and cannot be lost; or it has come before the delayed first task.
        turn.make_normal()
    elif not run.pending.is_first_task_scheduled:
        workflow_task.schedule(turn)
    elif run.is_task_started:
        workflow_task.time_out_started(turn)
        workflow_task.schedule(turn)
    else:
        workflow_task.time_out_scheduled(turn)
        workflow_task.schedule(turn)


def _fire_timers(turn: Turn) -> bool:
    """Tells whether any was due."""
    run, now_ns = turn.run, turn.now_ns
    due = [
        timer for timer in run.timers.values() if _is_due(deadlines.timer_deadline(timer), now_ns)
    ]
    due.sort(key=lambda timer: (timer.due_ns, timer.started_event_id))
    for timer in due:
        if not turn.record_or_buffer(events.timer_fired(timer.timer_id, timer.started_event_id)):
            turn.change(changes.TimerFireBuffered(timer.timer_id))
    if due:
        workflow_task.schedule_if_needed(turn)
    return bool(due)


def _time_out_run(turn: Turn) -> None:
    """The run's time is over: so is the chain's, or else its retry policy or cron schedule may go
    on."""
    run = turn.run
    workflow_task.force_close(turn)
    if _is_due(run.recorded.execution_expiration_ns, turn.now_ns) and not _is_run_first(turn):
        chain.close(turn, events.workflow_timed_out(workflow_pb2.RETRY_STATE_TIMEOUT))
        return
    failure = Failure(
        message="workflow timeout",
        source="Server",
        timeout_failure_info=TimeoutFailureInfo(
            timeout_type=workflow_pb2.TIMEOUT_TYPE_START_TO_CLOSE
        ),
    )
    retry_state, backoff_ns, initiator = chain.retry_or_cron(turn, failure)
    run_id = "" if backoff_ns is None else turn.ids.uuid()
    chain.close(turn, events.workflow_timed_out(retry_state, run_id))
    if backoff_ns is not None:
        chain.go_on(turn, run, run_id, backoff_ns, initiator, result=None, failure=failure)


def _is_run_first(turn: Turn) -> bool:
    """Whether the run's own timeout comes before the chain's."""
    recorded = turn.run.recorded
    if not recorded.run_timeout_ns:
        return False
    own_ns = recorded.start_time_ns + recorded.first_task_backoff_ns + recorded.run_timeout_ns
    return own_ns < recorded.execution_expiration_ns
