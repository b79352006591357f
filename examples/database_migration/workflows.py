"""The run book: what the person on call would do, which no longer needs a person to stay awake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from examples.database_migration.activities import Change, Operator, StepOf
from perdure import workflow
from perdure.common import RetryPolicy
from perdure.exceptions import ActivityError, FailureError

WAITING = "waiting for approval"
A_SHORT_WHILE = timedelta(minutes=5)
PATIENCE = timedelta(days=1)
"""A migration that nobody approves within a day was not wanted."""
A_FEW_TIMES = RetryPolicy(maximum_attempts=3, non_retryable_error_types=["IntegrityError"])
"""A database may be locked for a moment; what does not fit its data will not fit later."""


Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass
class Verdict:
    """What somebody says to a migration."""

    by: str
    is_approved: bool
    reason: str = ""


@workflow.defn
class Migrate:
    """Brings a database to a release, or leaves it as it was."""

    def __init__(self) -> None:
        self._verdict: Verdict | None = None
        self._stage = "preparing"

    @workflow.signal
    def decide(self, verdict: Verdict) -> None:
        """Approve, or do not. The first word counts."""
        self._verdict = self._verdict or verdict

    @workflow.query
    def stage(self) -> str:
        """What it is doing."""
        return self._stage

    @workflow.run
    async def run(self, change: Change) -> str:
        """What became of it."""
        await _do(Operator.back_up, change)
        problems = await _do(Operator.rehearse, change)
        if problems:
            return f"not applied: {'; '.join(problems)}"
        self._stage = WAITING
        try:
            await workflow.wait_condition(lambda: self._verdict is not None, timeout=PATIENCE)
        except TimeoutError:
            return "not applied: nobody approved it in time"
        assert self._verdict is not None
        if not self._verdict.is_approved:
            return f"not applied: {self._verdict.by} said no, {self._verdict.reason}"
        return await self._apply(change, approved_by=self._verdict.by)

    async def _apply(self, change: Change, *, approved_by: str) -> str:
        """A saga: each step that is applied is taken back when a later one, or a check, fails."""
        self._stage = "applying"
        applied: list[StepOf] = []
        try:
            for index in range(await _do(Operator.count_steps, change)):
                step = StepOf(change, index)
                # Noted before it begins: a step whose answer was lost may have been applied.
                applied.append(step)
                await _do(Operator.apply, step)
            self._stage = "checking"
            problems = await _do(Operator.check, change)
        except ActivityError as error:
            cause = error.__cause__
            problems = [cause.message if isinstance(cause, FailureError) else str(error)]
        if not problems:
            self._stage = "done"
            return f"applied, approved by {approved_by}"
        self._stage = "rolling back"
        for step in reversed(applied):
            # Until it works: a database between two versions is no place to stop.
            await workflow.execute_activity_method(
                Operator.revert, step, start_to_close_timeout=A_SHORT_WHILE
            )
        self._stage = "rolled back"
        return f"rolled back: {'; '.join(problems)}"


async def _do(step: Callable[[Operator, Argument], Result], argument: Argument) -> Result:
    result: Result = await workflow.execute_activity_method(
        step, argument, start_to_close_timeout=A_SHORT_WHILE, retry_policy=A_FEW_TIMES
    )
    return result
