"""The two schedules: one by an interval, one by the calendar."""

from __future__ import annotations

from datetime import timedelta

from examples.bonus_cron.workflows import GiveBonus
from perdure.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
)

TASK_QUEUE = "bonus"

SPECS = {
    "hourly": ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(hours=1))]),
    "yearly": ScheduleSpec(
        calendars=[
            ScheduleCalendarSpec(
                month=[ScheduleRange(1)], day_of_month=[ScheduleRange(1)], comment="New Year"
            )
        ]
    ),
}


async def create(client: Client, rule: str, schedule_id: str) -> ScheduleHandle:
    """Let a rule be applied again and again. No hour is left out, and none is done twice."""
    return await client.create_schedule(
        schedule_id,
        Schedule(
            action=ScheduleActionStartWorkflow(
                GiveBonus.run, rule, id=schedule_id, task_queue=TASK_QUEUE
            ),
            spec=SPECS[rule],
            policy=SchedulePolicy(
                # When giving takes longer than an hour, the next one waits for its turn.
                overlap=ScheduleOverlapPolicy.BUFFER_ALL,
                # Whatever was due while the server was down is made up for.
                catchup_window=timedelta(days=365),
            ),
        ),
    )
