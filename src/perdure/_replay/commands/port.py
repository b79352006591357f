"""What the machine of a run and the machines of its commands know of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from temporalio.api.command.v1 import Command
from temporalio.api.history.v1 import HistoryEvent


class Mismatch(Exception):
    """The workflow's code does not do what its history says; the reason, for the report."""


def copy_labels(origin: Command, command: Command) -> None:
    """A command about what another command began carries the same labels."""
    if origin.HasField("user_metadata"):
        command.user_metadata.CopyFrom(origin.user_metadata)
    if origin.event_group_markers:
        command.event_group_markers.extend(origin.event_group_markers)


class CommandMachine(Protocol):
    """The life of one command, from the code's request to its resolution."""

    withdrawn: bool
    """The code took the command back before it was ever sent."""

    @property
    def resolved(self) -> bool:
        """No event can follow any more."""

    def handle(self, event: HistoryEvent) -> None:
        """Applies an event of this command. Raises Mismatch when it cannot be one."""


class Outlet(Protocol):
    """Where a command machine sends to."""

    def issue(self, machine: CommandMachine, command: Command) -> None:
        """Puts a command after those already issued in this task."""

    def resolve(self, apply: Callable[[Any], None], outcome: Any) -> None:
        """Has the code told, in the next activation."""

    def resolve_last(self, apply: Callable[[Any], None], outcome: Any) -> None:
        """Has the code told after all other resolutions of the next activation."""

    def checks_ids(self) -> bool:
        """Whether ids and types in this history are known to match those of the commands."""
