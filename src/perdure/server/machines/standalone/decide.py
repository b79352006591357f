"""What a standalone activity makes of each input, as one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.server.machines.ports import Ids, Limits
from perdure.server.machines.standalone import clients, inputs, workers
from perdure.server.machines.standalone.state import Phase, StandaloneActivity
from perdure.server.machines.standalone.turn import Decision, Turn
from perdure.server.machines.workflow.inputs import (
    ActivityTaskUndelivered,
    CancelActivity,
    CompleteActivity,
    FailActivity,
    HeartbeatActivity,
    LoseActivityTask,
    StartActivityTask,
    WakeUp,
)

_ANSWERS = (CompleteActivity, FailActivity, CancelActivity, HeartbeatActivity)
_CONTROLS = (
    inputs.DescribeActivity,
    inputs.RequestCancel,
    inputs.Terminate,
    inputs.Pause,
    inputs.Unpause,
    inputs.Reset,
    inputs.SetOptions,
)

TABLE: dict[tuple[Phase, type], Callable[[Turn, Any], Any]] = {
    (Phase.ABSENT, inputs.StartActivity): clients.start,
    (Phase.OPEN, inputs.StartActivity): clients.start_open,
    (Phase.CLOSED, inputs.StartActivity): clients.start_closed,
    (Phase.OPEN, inputs.DescribeActivity): clients.describe,
    (Phase.CLOSED, inputs.DescribeActivity): clients.describe,
    (Phase.OPEN, inputs.RequestCancel): clients.cancel,
    (Phase.CLOSED, inputs.RequestCancel): clients.cancel_closed,
    (Phase.OPEN, inputs.Terminate): clients.terminate,
    (Phase.CLOSED, inputs.Terminate): clients.terminate_closed,
    (Phase.ABSENT, inputs.Delete): clients.delete,
    (Phase.OPEN, inputs.Delete): clients.delete,
    (Phase.CLOSED, inputs.Delete): clients.delete,
    (Phase.OPEN, inputs.Pause): clients.pause,
    (Phase.CLOSED, inputs.Pause): clients.pause_closed,
    (Phase.OPEN, inputs.Unpause): clients.unpause,
    (Phase.CLOSED, inputs.Unpause): clients.unpause_closed,
    (Phase.OPEN, inputs.Reset): clients.reset,
    (Phase.CLOSED, inputs.Reset): clients.change_closed,
    (Phase.OPEN, inputs.SetOptions): clients.set_options,
    (Phase.CLOSED, inputs.SetOptions): clients.change_closed,
    (Phase.OPEN, StartActivityTask): workers.start_task,
    (Phase.OPEN, ActivityTaskUndelivered): workers.put_back,
    (Phase.OPEN, LoseActivityTask): workers.lose,
    (Phase.OPEN, CompleteActivity): workers.complete,
    (Phase.OPEN, FailActivity): workers.fail,
    (Phase.OPEN, CancelActivity): workers.acknowledge_cancel,
    (Phase.OPEN, HeartbeatActivity): workers.heartbeat,
    (Phase.OPEN, WakeUp): workers.wake_up,
    **{
        (phase, kind): workers.nothing
        for phase in (Phase.ABSENT, Phase.CLOSED)
        for kind in (ActivityTaskUndelivered, LoseActivityTask, WakeUp)
    },
    **{
        (phase, kind): workers.not_found
        for phase in (Phase.ABSENT, Phase.CLOSED)
        for kind in (StartActivityTask, *_ANSWERS)
    },
    **{(Phase.ABSENT, kind): workers.not_found for kind in _CONTROLS},
}


def decide(
    activity: StandaloneActivity, message: inputs.Input, now_ns: int, ids: Ids, limits: Limits
) -> Decision:
    """Take one decision. Raises Rejected, before anything has changed."""
    turn = Turn(activity, now_ns, ids, limits)
    phase, run_id = activity.phase, run_named_by(message)
    if run_id and activity.run is not None and run_id != activity.run.run_id:
        phase = Phase.ABSENT
    reply = TABLE[phase, type(message)](turn, message)
    return Decision(turn.segments, turn.effects, reply)


def run_named_by(message: inputs.Input) -> str:
    """The run that an input is for; "" when it is for whichever is current."""
    if isinstance(message, inputs.StartActivity | inputs.Delete):
        return ""
    token = getattr(message, "token", None)
    run_id: str = token.run_id if token is not None else message.run_id  # type: ignore[union-attr]
    return run_id
