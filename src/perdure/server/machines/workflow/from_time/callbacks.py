"""What becomes of callbacks: of a closed run, current or earlier, or of an update."""

from __future__ import annotations

from perdure.server.machines.workflow import callbacks
from perdure.server.machines.workflow.inputs import CallbackAttempted, Done, NotCurrent, WakeUp
from perdure.server.machines.workflow.turn import Turn


def wake_up(turn: Turn, message: WakeUp) -> Done:
    """Nothing else of a closed run can be due."""
    turn.is_transition = False
    return callbacks.invoke_due(turn, turn.run, are_lost=message.calls_are_lost)


def wake_up_of_other(turn: Turn, message: WakeUp) -> Done | NotCurrent:
    """The run was followed by another one, or deleted, while its wake-up was on its way. What it
    still has to tell is decided on when the shell has found it."""
    if message.other is None:
        return NotCurrent()
    turn.is_transition = False
    return callbacks.invoke_due(turn, message.other, is_other=True, are_lost=message.calls_are_lost)


def attempted(turn: Turn, message: CallbackAttempted) -> Done:
    """An attempt is over."""
    return callbacks.attempted(turn, turn.run, message, is_other=False)


def attempted_of_other(turn: Turn, message: CallbackAttempted) -> Done | NotCurrent:
    """The same, of an earlier run."""
    if message.other is None:
        return NotCurrent()
    return callbacks.attempted(turn, message.other, message, is_other=True)
