"""The local activities of a run: which the worker has to be told of, and which the history knows.

Live, an outcome that the worker brings is an activation of its own. On replay, the markers ahead in
the history are taken in their order, each as soon as the code has asked for its activity; those
that were told in one activation are told in one again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from temporalio.api.history.v1 import HistoryEvent

from perdure._replay.commands.local_activity import (
    ASKED,
    RUNNING,
    LocalActivityMachine,
    LocalMarker,
    LocalOutcome,
    local_activity_of_marker,
)


class LocalQueue:
    """What is under way."""

    __slots__ = ("_activations", "_ahead", "_asked_last", "_open", "_seen", "_to_stop")

    def __init__(self) -> None:
        self._open: dict[int, LocalActivityMachine] = {}
        self._ahead: deque[LocalMarker] = deque()
        self._asked_last = 0
        self._seen = 0
        self._to_stop: list[int] = []
        self._activations = 0

    # The code

    def add(self, machine: LocalActivityMachine) -> None:
        """The code has asked for one."""
        self._open[machine.number] = machine
        self._asked_last = machine.number

    def cancel(self, machine: LocalActivityMachine) -> None:
        """The code wants no more of one."""
        if machine.cancel(self._activations):
            self._to_stop.append(machine.number)
        if not machine.is_open:
            self._open.pop(machine.number, None)

    # The worker

    @property
    def is_waiting(self) -> bool:
        """Whether something is still to come."""
        return bool(self._open)

    def take_requests(self) -> list[LocalActivityMachine]:
        """What the worker is to begin."""
        asked = [machine for machine in self._open.values() if machine.state is ASKED]
        for machine in asked:
            machine.state = RUNNING
        return asked

    def take_stops(self) -> list[int]:
        """What the worker is to stop."""
        stops, self._to_stop = self._to_stop, []
        return stops

    def resolve(self, number: int, outcome: LocalOutcome) -> bool:
        """The worker brings an outcome. False: nobody waits for it any more."""
        machine = self._open.pop(number, None)
        if machine is None:
            return False
        machine.resolve(outcome, self._activations)
        return True

    # The history

    def begin_task(self) -> None:
        """A workflow task begins."""
        self._activations = 0

    def count_activation(self) -> None:
        """The code was told something."""
        self._activations += 1

    def look_ahead(self, event: HistoryEvent) -> None:
        """Learns from a marker of the next sequence."""
        if event.event_id <= self._seen:
            return
        marker = local_activity_of_marker(event)
        if marker is not None:
            self._seen = event.event_id
            self._ahead.append(marker)

    def apply_ahead(self, move_time: Callable[[int], None], *, first: bool = False) -> None:
        """Resolves what the code was told next; `first`: only along with a task's first jobs."""
        index: int | None = 0 if first else None
        taken = False
        while self._ahead:
            marker = self._ahead[0]
            if first and marker.activation_index != 0:
                return
            if taken and (marker.activation_index is None or marker.activation_index != index):
                return
            if marker.number not in self._open:
                if marker.number > self._asked_last:
                    return  # the code has not come that far
                self._ahead.popleft()  # the code cancelled it, and knows
                continue
            self._ahead.popleft()
            machine = self._open.pop(marker.number)
            if marker.outcome.complete_ns is not None:
                move_time(marker.outcome.complete_ns)
            machine.resolve(marker.outcome, marker.activation_index)
            index, taken = marker.activation_index, True

    def clear(self) -> None:
        """Lets go of everything."""
        self._open.clear()
        self._ahead.clear()
