"""Load the users, decide who gets what, and add it: once for each time of a schedule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from examples.bonus_cron.activities import Bonus, Books
from examples.bonus_cron.database import User
from perdure import workflow
from perdure.common import SearchAttributeKey

SCHEDULED_FOR = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
"""Which time a workflow is for: the schedule says so, also when it catches up or fills in."""
A_SHORT_WHILE = timedelta(minutes=1)
HOURLY_POINTS, YEARLY_POINTS = 1, 100


def hourly_bonus(user: User, when: datetime) -> int:
    """A point for those who were here in the hour before."""
    return HOURLY_POINTS if timedelta() <= when - user.last_seen < timedelta(hours=1) else 0


def yearly_bonus(user: User, when: datetime) -> int:
    """A hundred points for each full calendar year."""
    return YEARLY_POINTS * max(0, when.year - user.joined.year - 1)


RULES: dict[str, Callable[[User, datetime], int]] = {
    "hourly": hourly_bonus,
    "yearly": yearly_bonus,
}


@workflow.defn
class GiveBonus:
    """Gives everybody what a rule says."""

    @workflow.run
    async def run(self, rule: str) -> int:
        """How many got something."""
        when = workflow.info().typed_search_attributes[SCHEDULED_FOR]
        users = await workflow.execute_activity_method(
            Books.load_users, start_to_close_timeout=A_SHORT_WHILE
        )
        given = 0
        for user in users:
            points = RULES[rule](user, when)
            if points:
                await workflow.execute_activity_method(
                    Books.add_bonus,
                    Bonus(user.name, f"{rule} {when.isoformat()}", points),
                    start_to_close_timeout=A_SHORT_WHILE,
                )
                given += 1
        return given
