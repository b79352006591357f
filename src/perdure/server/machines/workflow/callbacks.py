"""Completion callbacks: who wants to hear how a run has ended, and how far they have been told.

A callback stands by until its run closes at the end of its chain (a run that continues as new or is
retried hands its callbacks on; one with a cron schedule tells of each run by itself). Then it is
scheduled, and the run's wake-up does the rest: when an attempt is due the shell is asked to make
it, and the wake-up is armed for the time when that must be lost. So an attempt that died with its
process is made again, and a callback may be called more than once, as on the real server.
"""

from __future__ import annotations

import msgspec
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure

from perdure.server.machines.backoff import backoff_ns
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.workflow import changes
from perdure.server.machines.workflow.effects import InvokeCallback
from perdure.server.machines.workflow.inputs import CallbackAttempted, Done
from perdure.server.machines.workflow.state import Callback, CallbackState, Run
from perdure.server.machines.workflow.turn import Turn

GRACE_NS = 2 * SECOND_NS
"""An attempt that has not ended so long after its timeout never will."""
PENDING = (CallbackState.SCHEDULED, CallbackState.BACKING_OFF)


def trigger(turn: Turn, update_id: str = "") -> None:
    """The run has ended, and the chain with it, as far as callbacks are concerned; or an update of
    it has."""
    if update_id and not turn.limits.are_update_callbacks_enabled:
        return
    for callback in list(turn.run.callbacks.values()):
        if callback.state == CallbackState.STANDBY and callback.update_id == update_id:
            scheduled = msgspec.structs.replace(
                callback, state=CallbackState.SCHEDULED, due_ns=turn.now_ns
            )
            turn.change(changes.CallbackChanged(scheduled))


def trigger_attached(turn: Turn) -> None:
    """Events that waited are recorded: some callbacks may have come for updates that ended
    meanwhile."""
    for callback in list(turn.run.callbacks.values()):
        update = turn.run.updates.get(callback.update_id)
        if (
            update is not None
            and callback.state == CallbackState.STANDBY
            and 0 < update.completed_event_id < registered_by(callback)
        ):
            trigger(turn, callback.update_id)


def registered_by(callback: Callback) -> int:
    """The event that it came with."""
    return int(callback.key.partition("-")[0])


def invoke_due(turn: Turn, run: Run, *, is_other: bool = False, are_lost: bool = False) -> Done:
    """Have the attempts made that are due; with `are_lost` also those that were under way. That is
    no transition by itself."""
    for callback in list(run.callbacks.values()):
        is_lost = are_lost and callback.state == CallbackState.SCHEDULED
        if callback.state not in PENDING or (callback.due_ns > turn.now_ns and not is_lost):
            continue
        lost_ns = turn.now_ns + turn.limits.callback_timeout_ns + GRACE_NS
        begun = msgspec.structs.replace(callback, state=CallbackState.SCHEDULED, due_ns=lost_ns)
        _change(turn, run, begun, is_other=is_other)
        turn.effects.append(InvokeCallback(run.recorded.run_id, callback.key, callback.attempt + 1))
    return Done(run.recorded.run_id)


def attempted(turn: Turn, run: Run, message: CallbackAttempted, *, is_other: bool) -> Done:
    """Note how an attempt has ended: that is all, or there will be another, or nobody will be
    told."""
    callback = run.callbacks.get(message.key)
    if (
        callback is None
        or callback.state != CallbackState.SCHEDULED
        or callback.attempt + 1 != message.attempt
    ):
        return Done(run.recorded.run_id)  # It was made twice, and the other one has been heard of.
    state, due_ns, failure = CallbackState.SUCCEEDED, 0, b""
    if message.problem:
        state = CallbackState.BACKING_OFF if message.is_retryable else CallbackState.FAILED
        seed = f"{run.recorded.run_id}:{message.key}:{message.attempt}"
        due_ns = turn.now_ns + backoff_ns(message.attempt, seed) if message.is_retryable else 0
        failure = Failure(
            message=message.problem,
            application_failure_info=ApplicationFailureInfo(non_retryable=not message.is_retryable),
        ).SerializeToString(deterministic=True)
    ended = msgspec.structs.replace(
        callback,
        state=state,
        attempt=message.attempt,
        due_ns=due_ns,
        completed_ns=turn.now_ns,
        failure=failure,
    )
    _change(turn, run, ended, is_other=is_other)
    return Done(run.recorded.run_id)


def _change(turn: Turn, run: Run, callback: Callback, *, is_other: bool) -> None:
    change = changes.CallbackChanged(callback)
    if is_other:
        turn.change_other(run, change)
    else:
        turn.change(change)
