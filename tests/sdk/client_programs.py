"""Workflows that the official worker runs while our client deals with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError


@dataclass
class Parcel:
    """A value with a structure."""

    weight: float
    labels: list[str]


@activity.defn
async def fail_with_details(parcel: Parcel) -> None:
    """Fails with a value of the user's and with a cause."""
    try:
        raise ValueError("the root")
    except ValueError as root:
        raise ApplicationError("too heavy", parcel, type="Heavy", non_retryable=True) from root


@activity.defn
async def complete_later(count: int) -> Any:
    """Completed by somebody else."""
    activity.raise_complete_async()


@workflow.defn
class Echo:
    """Gives its argument back."""

    @workflow.run
    async def run(self, parcel: Parcel) -> Parcel:
        """The parcel."""
        return parcel


@workflow.defn
class Failing:
    """Fails of an activity."""

    @workflow.run
    async def run(self, parcel: Parcel) -> None:
        """Never returns."""
        await workflow.execute_activity(
            fail_with_details, parcel, start_to_close_timeout=timedelta(seconds=60)
        )


@workflow.defn
class Waiting:
    """Collects what it is told until it is told to finish."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._finish = False

    @workflow.run
    async def run(self) -> list[str]:
        """What it was told."""
        await workflow.wait_condition(lambda: self._finish)
        return self._said

    @workflow.signal
    def say(self, first: str, second: str) -> None:
        """Remember two words."""
        self._said += [first, second]

    @workflow.signal
    def finish(self) -> None:
        """Finish."""
        self._finish = True

    @workflow.query
    def said(self) -> list[str]:
        """What it was told up to now."""
        return self._said

    @workflow.query
    def broken(self) -> str:
        """Fails."""
        raise ApplicationError("no answer")

    @workflow.update
    async def replace(self, words: list[str]) -> list[str]:
        """Forget what it was told for other words; the old ones."""
        old, self._said = self._said, words
        return old

    @replace.validator
    def check_words(self, words: list[str]) -> None:
        """No words are refused."""
        if not words:
            raise ApplicationError("no words")


@workflow.defn
class CountDown:
    """Continues as new until it is at zero."""

    @workflow.run
    async def run(self, number: int) -> str:
        """A word."""
        if number > 0:
            workflow.continue_as_new(number - 1)
        return "done"


@workflow.defn
class Outsourced:
    """Waits for an activity that is completed from outside."""

    @workflow.run
    async def run(self, count: int) -> Any:
        """The activity's result."""
        return await workflow.execute_activity(
            complete_later,
            count,
            activity_id="outside",
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


WORKFLOWS: list[type] = [Echo, Failing, Waiting, CountDown, Outsourced]
ACTIVITIES: list[Any] = [fail_with_details, complete_later]
