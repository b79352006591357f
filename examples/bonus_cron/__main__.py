"""Run the bonus: `python -m examples.bonus_cron [--address HOST:PORT]`.

So that nobody has to wait for New Year, both schedules fill in some of the past.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from examples.bonus_cron import schedules
from examples.bonus_cron.activities import Books
from examples.bonus_cron.database import Database, User
from examples.bonus_cron.workflows import GiveBonus
from examples.connecting import arguments, connected, keep_quiet
from perdure.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleBackfill,
    ScheduleHandle,
)
from perdure.worker import Worker

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
USERS = [
    User("Ada", joined=datetime(2022, 5, 1, tzinfo=UTC), last_seen=NEW_YEAR),
    User(
        "Bob", joined=datetime(2025, 6, 1, tzinfo=UTC), last_seen=NEW_YEAR + timedelta(minutes=90)
    ),
]


async def main(options: Namespace, database: Database) -> dict[str, int]:
    """Create the schedules, let them make up for New Year's night, and tell what everybody got."""
    run = uuid.uuid4()
    async with (
        connected(options) as client,
        Worker(
            client,
            task_queue=schedules.TASK_QUEUE,
            workflows=[GiveBonus],
            activities=[Books(database).load_users, Books(database).add_bonus],
        ),
    ):
        hourly = await schedules.create(client, "hourly", f"hourly-{run}")
        yearly = await schedules.create(client, "yearly", f"yearly-{run}")
        try:
            await fill_in(client, hourly, until=NEW_YEAR + timedelta(hours=3), actions=4)
            await fill_in(client, yearly, until=NEW_YEAR, actions=1)
        finally:
            await hourly.delete()
            await yearly.delete()
    return database.points()


async def fill_in(
    client: Client, schedule: ScheduleHandle, *, until: datetime, actions: int
) -> None:
    """Have a schedule act for its times from New Year on, and wait for all of its workflows."""
    await schedule.backfill(ScheduleBackfill(start_at=NEW_YEAR, end_at=until))
    done: set[str] = set()
    while len(done) < actions:
        # One workflow after the other, since they wait for their turn.
        for result in (await schedule.describe()).info.recent_actions:
            assert isinstance(result.action, ScheduleActionExecutionStartWorkflow)
            workflow_id = result.action.workflow_id
            if workflow_id not in done:
                await client.get_workflow_handle(workflow_id).result()
                done.add(workflow_id)
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    keep_quiet()
    parsed = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as directory:
        books = Database(Path(directory) / "users.db")
        books.add_users(USERS)
        for name, points in asyncio.run(main(parsed, books)).items():
            print(f"{name} has {points} points")
