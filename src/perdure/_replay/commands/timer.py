"""A timer: started, and then fired or cancelled.

The code is told only that it fired: who cancels a timer knows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import (
    CancelTimerCommandAttributes,
    Command,
    StartTimerCommandAttributes,
)
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.history.v1 import HistoryEvent

from perdure._replay.commands.port import Mismatch, Outlet, copy_labels

CREATED: Final = "not yet started"
STARTED: Final = "started"
CANCELLING: Final = "being cancelled"
DONE: Final = "done"

_STARTED = EventType.EVENT_TYPE_TIMER_STARTED
_FIRED = EventType.EVENT_TYPE_TIMER_FIRED
_CANCELED = EventType.EVENT_TYPE_TIMER_CANCELED

_SECOND_NS = 1_000_000_000


def start_timer_command(timer_id: str, delay_ns: int) -> Command:
    """The command that starts a timer."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_START_TIMER,
        start_timer_command_attributes=StartTimerCommandAttributes(
            timer_id=timer_id,
            start_to_fire_timeout=Duration(
                seconds=delay_ns // _SECOND_NS, nanos=delay_ns % _SECOND_NS
            ),
        ),
    )


class TimerMachine:
    """One timer. `fired` is called at most once."""

    __slots__ = ("_fired", "_outlet", "_start", "state", "timer_id", "withdrawn")

    def __init__(self, outlet: Outlet, command: Command, fired: Callable[[None], None]) -> None:
        self.timer_id = command.start_timer_command_attributes.timer_id
        self.state = CREATED
        self.withdrawn = False
        self._outlet = outlet
        self._start = command
        self._fired = fired
        outlet.issue(self, command)

    @property
    def resolved(self) -> bool:
        """No event can follow any more."""
        return self.state is DONE

    def handle(self, event: HistoryEvent) -> None:
        """Applies one of the timer's events."""
        transition = _EVENTS.get((self.state, event.event_type))
        if transition is None:
            raise Mismatch(f"the timer {self.timer_id!r} is {self.state}")
        self.state = transition
        if event.event_type == _FIRED:
            self._on_fired(event)

    def cancel(self) -> None:
        """The code wants no more of the timer."""
        if self.state is CREATED:
            self.withdrawn = True
            self.state = DONE
        elif self.state is STARTED:
            self.state = CANCELLING
            self._outlet.issue(self, self._cancel_command())

    def _cancel_command(self) -> Command:
        command = Command(
            command_type=CommandType.COMMAND_TYPE_CANCEL_TIMER,
            cancel_timer_command_attributes=CancelTimerCommandAttributes(timer_id=self.timer_id),
        )
        copy_labels(self._start, command)
        return command

    def _on_fired(self, event: HistoryEvent) -> None:
        timer_id = event.timer_fired_event_attributes.timer_id
        if timer_id != self.timer_id:
            raise Mismatch(f"the history has the timer id {timer_id!r}, the code {self.timer_id!r}")
        self._outlet.resolve(self._fired, None)
        del self._fired  # It refers to this machine: without it they go when nobody needs them.


_EVENTS: dict[tuple[str, int], str] = {
    (CREATED, _STARTED): STARTED,
    (STARTED, _FIRED): DONE,
    (CANCELLING, _CANCELED): DONE,
}
