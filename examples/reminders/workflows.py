"""The workflow of the reminders: a loop that sleeps for weeks, and outlives every restart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from examples.reminders.activities import Mail, Mailer
from perdure import workflow
from perdure.common import RetryPolicy

REMINDERS = [(1, "a day"), (7, "a week"), (30, "a month")]
"""After how many days, and how the mail says it."""


@dataclass
class Signup:
    """Who signed up. Those who cannot wait for a month give the days another length."""

    address: str
    day_seconds: float = 24 * 60 * 60


@workflow.defn
class Reminders:
    """Reminds a new user of us."""

    @workflow.run
    async def run(self, signup: Signup) -> int:
        """How many mails were sent."""
        day = timedelta(seconds=signup.day_seconds)
        signed_up = workflow.now()
        for days, since in REMINDERS:
            due = signed_up + days * day
            if due > workflow.now():  # unless the mail before took that long
                # A timer of the engine, not of this process: nothing has to stay up for a month.
                await workflow.sleep(due - workflow.now())
            await workflow.execute_activity_method(
                Mailer.send_mail,
                Mail(address=signup.address, subject=f"You joined {since} ago"),
                start_to_close_timeout=timedelta(minutes=1),
                # Tried again after an hour, then two, then four, for as long as it takes.
                retry_policy=RetryPolicy(initial_interval=day / 24, maximum_interval=day),
            )
        return len(REMINDERS)
