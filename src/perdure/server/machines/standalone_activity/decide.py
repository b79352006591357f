"""What a standalone activity makes of each input, as one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.server.machines.ports import Ids, Limits
from perdure.server.machines.standalone import clients as shared
from perdure.server.machines.standalone.inputs import Delete, Describe, RequestCancel, Terminate
from perdure.server.machines.standalone.state import Phase, Standalone
from perdure.server.machines.standalone.turn import Decision, take
from perdure.server.machines.standalone_activity import clients, inputs, workers
from perdure.server.machines.standalone_activity.state import ActivityRun
from perdure.server.machines.standalone_activity.turn import ACTIVITIES, Turn
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
    Describe,
    RequestCancel,
    Terminate,
    inputs.Pause,
    inputs.Unpause,
    inputs.Reset,
    inputs.SetOptions,
)

TABLE: dict[tuple[Phase, type], Callable[[Turn, Any], Any]] = {
    (Phase.ABSENT, inputs.StartActivity): clients.start,
    (Phase.OPEN, inputs.StartActivity): shared.start_open,
    (Phase.CLOSED, inputs.StartActivity): clients.start_closed,
    (Phase.OPEN, Describe): shared.describe,
    (Phase.CLOSED, Describe): shared.describe,
    (Phase.OPEN, RequestCancel): clients.cancel,
    (Phase.CLOSED, RequestCancel): clients.cancel_closed,
    (Phase.OPEN, Terminate): shared.terminate,
    (Phase.CLOSED, Terminate): clients.terminate_closed,
    (Phase.ABSENT, Delete): shared.delete,
    (Phase.OPEN, Delete): shared.delete,
    (Phase.CLOSED, Delete): shared.delete,
    (Phase.OPEN, inputs.Pause): clients.pause,
    (Phase.CLOSED, inputs.Pause): clients.pause_closed,
    (Phase.OPEN, inputs.Unpause): clients.unpause,
    (Phase.CLOSED, inputs.Unpause): clients.unpause_closed,
    (Phase.OPEN, inputs.Reset): clients.reset,
    (Phase.CLOSED, inputs.Reset): clients.reset_closed,
    (Phase.OPEN, inputs.SetOptions): clients.set_options,
    (Phase.CLOSED, inputs.SetOptions): clients.set_options_closed,
    (Phase.OPEN, StartActivityTask): workers.start_task,
    (Phase.OPEN, ActivityTaskUndelivered): workers.put_back,
    (Phase.OPEN, LoseActivityTask): workers.lose,
    (Phase.OPEN, CompleteActivity): workers.complete,
    (Phase.OPEN, FailActivity): workers.fail,
    (Phase.OPEN, CancelActivity): workers.acknowledge_cancel,
    (Phase.OPEN, HeartbeatActivity): workers.heartbeat,
    (Phase.OPEN, WakeUp): workers.wake_up,
    **{
        (phase, kind): shared.nothing
        for phase in (Phase.ABSENT, Phase.CLOSED)
        for kind in (ActivityTaskUndelivered, LoseActivityTask, WakeUp)
    },
    **{
        (phase, kind): shared.not_found
        for phase in (Phase.ABSENT, Phase.CLOSED)
        for kind in (StartActivityTask, *_ANSWERS)
    },
    (Phase.CLOSED, CompleteActivity): workers.complete_closed,
    **{(Phase.ABSENT, kind): shared.not_found for kind in _CONTROLS},
}


def decide(
    activity: Standalone[ActivityRun], message: inputs.Input, now_ns: int, ids: Ids, limits: Limits
) -> Decision:
    """Take one decision. Raises Rejected, before anything has changed."""
    turn = Turn(ACTIVITIES, activity, now_ns, ids, limits)
    return take(turn, TABLE, message, run_named_by(message))


def run_named_by(message: inputs.Input) -> str:
    """The run that an input is for; "" when it is for whichever is current."""
    if isinstance(message, inputs.StartActivity | Delete):
        return ""
    token = getattr(message, "token", None)
    run_id: str = token.run_id if token is not None else message.run_id  # type: ignore[union-attr]
    return run_id
