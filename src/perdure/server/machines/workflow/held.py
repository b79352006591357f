"""What of a run somebody may be busy with: workers with its tasks, the engine with its calls. Read
when those have died; so it may say too much, and never too little."""

from __future__ import annotations

from perdure.server.machines.ports import Held
from perdure.server.machines.workflow.nexus.state import PendingOperation, may_be_called
from perdure.server.machines.workflow.state import AttemptState, CallbackState, Run

LOOKED_AT_MAX = 64
"""A run with more pending activities, or callbacks, is not looked through at each turn."""


def held(run: Run) -> Held:
    """What of a run may be held: such a run has a deadline."""
    has_calls = _has_calls(run)
    if not _has_tasks(run):
        return Held.CALLS if has_calls else Held.NOTHING
    return Held.TASKS | Held.CALLS if has_calls else Held.TASKS


def _has_tasks(run: Run) -> bool:
    if not run.is_open:
        return False
    if run.is_task_started or len(run.activities) > LOOKED_AT_MAX:
        return True
    started = AttemptState.STARTED
    return any(pending.attempt.state == started for pending in run.activities.values())


def _has_calls(run: Run) -> bool:
    if run.nexus_operations and run.is_open and any(map(_is_called, run.nexus_operations.values())):
        return True
    if len(run.callbacks) > LOOKED_AT_MAX:
        return True
    scheduled = CallbackState.SCHEDULED
    return any(callback.state == scheduled for callback in run.callbacks.values())


def _is_called(pending: PendingOperation) -> bool:
    return may_be_called(pending.calls)
