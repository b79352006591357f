"""What keeps a workflow from going on: its workflow tasks fail, one after the other.

When so many have failed that somebody should look, the run shows it as the search attribute
`TemporalReportedProblems`, until a task is completed. As on the real server, it says how the
newest attempt failed that history tells of, which is the first of a row.
"""

from __future__ import annotations

from temporalio.api.enums.v1 import WorkflowTaskFailedCause

from perdure.server.machines.workflow import changes
from perdure.server.machines.workflow.turn import Turn

TIMED_OUT = ("category=WorkflowTaskTimedOut", "cause=WorkflowTaskTimedOutCauseStartToClose")


def failed(cause: WorkflowTaskFailedCause.ValueType) -> tuple[str, ...]:
    """The problem of a task that failed."""
    return ("category=WorkflowTaskFailed", f"cause=WorkflowTaskFailedCause{name_of(cause)}")


def name_of(cause: WorkflowTaskFailedCause.ValueType) -> str:
    """A cause in the real server's spelling; one that is not known by its number."""
    if cause not in WorkflowTaskFailedCause.values():
        return str(cause)
    name = WorkflowTaskFailedCause.Name(cause).removeprefix("WORKFLOW_TASK_FAILED_CAUSE_")
    return "".join(word.capitalize() for word in name.split("_"))


def note(turn: Turn, problem: tuple[str, ...] | None, *, counts: bool) -> None:
    """A task was not completed; `problem` when history tells of it."""
    pending = turn.run.pending
    newest = pending.task_problem if problem is None else problem
    failures = pending.task_failures + counts
    is_reported = failures >= turn.limits.reported_problem_failures
    reported = newest if is_reported else pending.reported_problem
    turn.change(changes.ProblemNoted(failures, newest, reported))


def forget(turn: Turn) -> None:
    """A task was completed."""
    if turn.run.pending.task_failures:
        turn.change(changes.ProblemNoted(0, (), ()))
