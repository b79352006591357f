"""The ends of a run that its size brings about: too many events, too many bytes of history, too
much state.

As on the real server, a run that has outgrown its history is ended by whatever would add to it
next; that is refused, and leaves no trace. Whether it would is found out by a rehearsal on a copy,
and only near the limits. What the service does on its own account (a due timer, news of a child) is
not refused: it ends the run when it is done.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from perdure.server.machines.ports import Limits
from perdure.server.machines.workflow import chain, inputs, state_size
from perdure.server.machines.workflow.codec import copy_run
from perdure.server.machines.workflow.state import Run, Workflow
from perdure.server.machines.workflow.turn import Turn

STATE_TOO_LARGE = "Workflow mutable state size exceeds limit."
HEADROOM_EVENTS = 16
"""More than any refused input adds by itself, besides what was pending."""

REFUSED: frozenset[type] = frozenset(
    (
        inputs.SignalWorkflow,
        inputs.CancelWorkflow,
        inputs.PauseActivity,
        inputs.UnpauseActivity,
        inputs.ResetActivity,
        inputs.UpdateActivityOptions,
        inputs.CompleteActivity,
        inputs.FailActivity,
        inputs.CancelActivity,
        inputs.HeartbeatActivity,
    )
)
"""Inputs that are refused when they would go beyond a limit. A completed workflow task is refused
too, but looks at the limits itself."""


def reason_to_end(
    workflow: Workflow, limits: Limits, rehearse: Callable[[Workflow], Turn]
) -> str | None:
    """Why the open run is to be ended instead of what `rehearse` does with a copy of it; None when
    it may be done. Raises what the rehearsal does: a refusal comes first."""
    run = workflow.run
    assert run is not None, "only an open run has outgrown a limit"
    if not is_near(run, limits):
        return None
    turn = rehearse(msgspec.structs.replace(workflow, run=copy_run(run), volatile=None))
    if not turn.has_changes:
        return None
    rehearsed = turn.segments[0].run
    if not rehearsed.is_open:
        return None
    if run.recorded.history_size_bytes > limits.history_size_bytes_max:
        return chain.HISTORY_TOO_LARGE
    if rehearsed.recorded.next_event_id - 1 > limits.history_count_max:
        return chain.HISTORY_TOO_LONG
    return None


def is_near(run: Run, limits: Limits) -> bool:
    """Whether the next turn may bring the run beyond a limit of its history."""
    recorded = run.recorded
    pending = len(run.activities) + len(run.timers) + len(run.buffered)
    return (
        recorded.history_size_bytes > limits.history_size_bytes_max
        or recorded.next_event_id + 2 * pending + HEADROOM_EVENTS > limits.history_count_max
    )


def limit_state(turn: Turn) -> str | None:
    """Count what the turn has done to its open run, and end that when it has too much state: the
    reason, if so."""
    run = turn.run
    if not turn.segment.touched:
        return None  # It has not grown.
    state_size.count(run, turn.segment.touched)
    if not run.is_open or state_size.state_bytes(run) <= turn.limits.mutable_state_bytes_max:
        return None
    chain.terminate(turn, STATE_TOO_LARGE)
    return STATE_TOO_LARGE
