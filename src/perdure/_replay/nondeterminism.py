"""The report on a workflow whose code does not do what its history says.

Whoever reads it has to find the line to change. So it names the event that the history has, with
its attributes, the command that the code issued instead, and the line that issued it; or, when the
code issued none, the line at which it waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.history.v1 import HistoryEvent

from perdure._replay.call_site import CallSite, lines_of_user
from perdure._replay.changes import changes_of
from perdure._replay.context import WorkflowContext
from perdure._replay.machine import Unmatched

CODE = "TMPRL1100"
"""The rule's number in Temporal's documentation, for those who search for it."""

ATTRIBUTES_LENGTH_MAX = 400

ADVICE = (
    "The code was changed after this run began, or it does something that comes out differently "
    "each time (clocks, random numbers, the order of a set, I/O). Put the change behind "
    "workflow.patched(), or undo it; the task is tried again until then."
)


@dataclass(frozen=True, kw_only=True)
class NondeterminismReport:
    """What a mismatch is about; its text is what people are told."""

    workflow_type: str
    workflow_id: str
    run_id: str
    reason: str
    event: HistoryEvent
    command: Command | None
    """What the code issued instead."""
    call_site: CallSite | None
    """The line that issued the command; without one, the line at which the code waits."""
    changes: Sequence[str]
    """What seems to have changed."""

    def __str__(self) -> str:
        subject = f"[{CODE}] Nondeterminism error: the code of workflow {self.workflow_type!r}"
        lines = [
            f"{subject} does not do what its history says: {self.reason}.",
            f"  workflow: id {self.workflow_id!r}, run {self.run_id}",
            f"  history:  {describe_event(self.event)}",
        ]
        if self.command is not None:
            lines.append(f"  code:     {describe_command(self.command)}")
            if self.call_site is not None:
                lines.append(f"  at:       {self.call_site}")
        else:
            lines.append("  code:     no command")
            if self.call_site is not None:
                lines.append(f"  it waits: {self.call_site}")
        lines += [f"  changed:  {change}" for change in self.changes]
        lines.append(ADVICE)
        return "\n".join(lines)


def report(
    unmatched: Unmatched, context: WorkflowContext, primary: asyncio.Task[Any] | None
) -> NondeterminismReport:
    """What to tell the user."""
    issued = unmatched.issued
    command = None if issued is None else issued.command
    return NondeterminismReport(
        workflow_type=context.workflow_type,
        workflow_id=context.workflow_id,
        run_id=context.run_id,
        reason=unmatched.reason,
        event=unmatched.event,
        command=command,
        call_site=_where_it_waits(primary) if issued is None else issued.call_site,
        changes=changes_of(
            unmatched.event, command, unmatched.commands_after, unmatched.events_after
        ),
    )


def describe_event(event: HistoryEvent) -> str:
    """Number, kind and attributes of an event, in a line."""
    name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
    which = event.WhichOneof("attributes")
    attributes = _short(getattr(event, which)) if which else ""
    return f"event {event.event_id} {_camel(name)} {attributes}".rstrip()


def describe_command(command: Command) -> str:
    """Kind and attributes of a command, in a line."""
    name = CommandType.Name(command.command_type).removeprefix("COMMAND_TYPE_")
    which = command.WhichOneof("attributes")
    attributes = _short(getattr(command, which)) if which else ""
    return f"command {_camel(name)} {attributes}".rstrip()


def _short(message: Message) -> str:
    """The attributes in one line, cut where payloads would make it unreadable."""
    text = MessageToString(message, as_one_line=True, print_unknown_fields=False)
    if len(text) > ATTRIBUTES_LENGTH_MAX:
        text = text[:ATTRIBUTES_LENGTH_MAX] + "..."
    return "{" + text + "}"


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _where_it_waits(primary: asyncio.Task[Any] | None) -> CallSite | None:
    if primary is None or primary.done():
        return None
    lines = lines_of_user(primary.get_coro())
    return lines[-1] if lines else None
