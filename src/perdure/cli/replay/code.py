"""The code that histories are replayed on, as something that can be sent to another process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Literal

from perdure._replay.call_site import CallSite, line_that_raised
from perdure._replay.nondeterminism import describe_command, describe_event
from perdure._replay.runner import UnknownWorkflowError
from perdure.cli.registrations import NothingToRegister, registrations_of, value_of
from perdure.client import WorkflowHistory
from perdure.worker import Replayer
from perdure.workflow import NondeterminismError

Kind = Literal["nondeterminism", "failed", "unknown", "unreadable"]


class UnusableCode(Exception):
    """The modules cannot be replayed with."""


@dataclass(frozen=True)
class Place:
    """A line of code."""

    file: str
    line: int
    function: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a history could not be replayed."""

    kind: Kind
    message: str
    event: str = ""
    event_id: int = 0
    command: str = ""
    place: Place | None = None
    changes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "kind": self.kind,
            "message": self.message,
            "eventId": self.event_id or None,
            "event": self.event or None,
            "command": self.command or None,
            "place": None if self.place is None else asdict(self.place),
            "changes": list(self.changes),
        }


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one history."""

    source: str
    workflow_id: str
    run_id: str = ""
    workflow_type: str = ""
    events: int = 0
    seconds: float = 0.0
    problem: Problem | None = None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "source": self.source,
            "workflowId": self.workflow_id,
            "runId": self.run_id or None,
            "type": self.workflow_type or None,
            "events": self.events,
            "seconds": self.seconds,
            "problem": None if self.problem is None else self.problem.as_json(),
        }


@dataclass(frozen=True)
class Code:
    """Which modules, and how to replay with them."""

    references: tuple[str, ...]
    config: str | None

    def replayer(self) -> Replayer:
        """Made once per process. Raises UnusableCode."""
        return _replayer(self)

    def try_history(self, source: str, history: WorkflowHistory) -> Result:
        """Replays one history."""
        started = history.events[0].workflow_execution_started_event_attributes
        replayer = self.replayer()
        before = time.perf_counter()
        result = asyncio.run(replayer.replay_workflow(history, raise_on_replay_failure=False))
        seconds = time.perf_counter() - before
        failure = result.replay_failure
        return Result(
            source=source,
            workflow_id=history.workflow_id,
            run_id=history.run_id,
            workflow_type=started.workflow_type.name,
            events=len(history.events),
            seconds=round(seconds, 6),
            problem=None if failure is None else _problem(failure),
        )


@cache
def _replayer(code: Code) -> Replayer:
    try:
        found = registrations_of(code.references)
        config = {} if code.config is None else value_of(code.config)
    except NothingToRegister as error:
        raise UnusableCode(str(error)) from None
    if not isinstance(config, Mapping):
        raise UnusableCode(f"{code.config} is no mapping of the Replayer's arguments")
    try:
        return Replayer(**{"workflows": found.workflows, **config})
    except (TypeError, ValueError) as error:
        raise UnusableCode(f"cannot replay with {', '.join(code.references)}: {error}") from None


def _problem(failure: Exception) -> Problem:
    if not isinstance(failure, NondeterminismError) or failure.report is None:
        is_unknown = isinstance(failure.__cause__, UnknownWorkflowError)
        kind: Kind = "unknown" if is_unknown else "failed"
        cause = failure.__cause__
        site = None if is_unknown or cause is None else line_that_raised(cause)
        return Problem(kind=kind, message=str(failure), place=_place(site))
    report = failure.report
    return Problem(
        kind="nondeterminism",
        message=report.reason,
        event=describe_event(report.event),
        event_id=report.event.event_id,
        command="" if report.command is None else describe_command(report.command),
        place=_place(report.call_site),
        changes=tuple(report.changes),
    )


def _place(site: CallSite | None) -> Place | None:
    if site is None:
        return None
    return Place(site.code.co_filename, site.line, site.code.co_qualname, site.source)
