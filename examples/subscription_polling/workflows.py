"""One workflow for each subscription, for as many years as it lasts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from examples.subscription_polling.activities import NOT_PAID_YET, Accounts, Invoice, Reminder
from perdure import workflow
from perdure.common import RetryPolicy
from perdure.exceptions import ActivityError, ApplicationError, is_cancelled_exception

A_SHORT_WHILE = timedelta(minutes=1)
PERIODS_MAX = 24
"""After so many, the workflow continues as new: its history stays short, however long it lives."""


@dataclass
class Terms:
    """What was agreed. Those who cannot wait for a month give the days another length."""

    subscriber: str
    period_days: int = 30
    poll_days: float = 0.25
    reminders: int = 3
    days_between_reminders: int = 7
    day_seconds: float = 24 * 60 * 60


@dataclass
class Standing:
    """How far it has come, which is what a next run begins with."""

    period: int = 0
    paid_until: datetime | None = None
    is_cancelled: bool = False
    reminders: int = 0


@workflow.defn
class Subscription:
    """Renews a subscription while it is paid for."""

    @workflow.init
    def __init__(self, terms: Terms, standing: Standing) -> None:
        self._terms = terms
        self._day = timedelta(seconds=terms.day_seconds)
        self._standing = standing

    @workflow.signal
    def cancel(self) -> None:
        """Let it end with what is paid for."""
        self._standing.is_cancelled = True

    @workflow.query
    def standing(self) -> Standing:
        """How it stands."""
        return self._standing

    @workflow.run
    async def run(self, terms: Terms, standing: Standing) -> str:
        """Why it ended."""
        while True:
            if self._standing.period == standing.period + PERIODS_MAX:
                workflow.continue_as_new(args=[terms, self._standing])
            if not await self._period_has_ended():
                return f"cancelled in period {self._standing.period}"
            invoice = Invoice(terms.subscriber, self._standing.period + 1)
            await self._do(Accounts.issue_invoice, invoice)
            if not await self._is_paid(invoice):
                await self._do(Accounts.void_invoice, invoice)
                why = "cancelled" if self._standing.is_cancelled else "not paid"
                return f"{why} in period {invoice.period}"
            await self._do(Accounts.renew, invoice)
            # Counted from the end of the last period: nobody pays twice for days of waiting.
            begun = self._standing.paid_until or workflow.now()
            self._standing = replace(
                self._standing,
                period=invoice.period,
                paid_until=begun + terms.period_days * self._day,
                reminders=0,
            )

    async def _period_has_ended(self) -> bool:
        """Wait until the time that is paid for is over; False as soon as somebody cancels."""
        left = (self._standing.paid_until or workflow.now()) - workflow.now()
        try:
            await workflow.wait_condition(lambda: self._standing.is_cancelled, timeout=left)
        except TimeoutError:
            return True
        return False

    async def _is_paid(self, invoice: Invoice) -> bool:
        """Poll and remind, until it is paid, or too late, or no longer wanted."""
        for number in range(1, self._terms.reminders + 2):
            if await self._is_paid_soon(invoice):
                return True
            if self._standing.is_cancelled or number > self._terms.reminders:
                return False
            self._standing.reminders = number
            await self._do(Accounts.send_reminder, Reminder(invoice, number))
        return False

    async def _is_paid_soon(self, invoice: Invoice) -> bool:
        """Poll until the next reminder is due.

        An activity that fails is tried again, here at a steady pace. Its attempts are no events, so
        the history is not longer for a thousand of them, and no worker is busy in between.
        """
        while not self._standing.is_cancelled:
            polling = workflow.start_activity_method(
                Accounts.poll_payment,
                invoice,
                start_to_close_timeout=A_SHORT_WHILE,
                schedule_to_close_timeout=self._terms.days_between_reminders * self._day,
                retry_policy=RetryPolicy(
                    initial_interval=self._terms.poll_days * self._day, backoff_coefficient=1
                ),
            )
            await workflow.wait_condition(lambda: self._standing.is_cancelled or polling.done())  # noqa: B023 -- waited for before there is another
            if not polling.done():
                polling.cancel()
            try:
                await polling
            except ActivityError as error:
                # When nobody could tell, ask on: who has paid must not be reminded.
                if is_cancelled_exception(error) or _has_answered(error):
                    return False
            else:
                return True
        return False

    async def _do(self, step: Callable[[Accounts, Any], Awaitable[None]], argument: object) -> None:
        await workflow.execute_activity_method(step, argument, start_to_close_timeout=A_SHORT_WHILE)


def _has_answered(error: BaseException | None) -> bool:
    """Whether the service said that there is no money, rather than nothing."""
    while error is not None:
        if isinstance(error, ApplicationError) and error.type == NOT_PAID_YET:
            return True
        error = error.__cause__
    return False
