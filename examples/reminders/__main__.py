"""Run reminders: `python -m examples.reminders [--day-seconds 0.2] [--address HOST:PORT]`."""

from __future__ import annotations

import asyncio
import uuid
from argparse import Namespace

from examples.connecting import arguments, connected, keep_quiet
from examples.reminders.activities import Mailer
from examples.reminders.flaky_mail_service import FlakyMailService
from examples.reminders.workflows import Reminders, Signup
from perdure.worker import Worker

TASK_QUEUE = "reminders"


async def main(options: Namespace, service: FlakyMailService) -> int:
    """Run a worker, and one workflow on it."""
    async with (
        connected(options) as client,
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[Reminders],
            activities=[Mailer(service).send_mail],
        ),
    ):
        return await client.execute_workflow(
            Reminders.run,
            Signup(address="ada@example.com", day_seconds=options.day_seconds),
            id=f"reminders-{uuid.uuid4()}",
            task_queue=TASK_QUEUE,
        )


if __name__ == "__main__":
    keep_quiet()
    parser = arguments(__doc__)
    parser.add_argument(
        "--day-seconds", type=float, default=0.2, help="how long a day is (86400 for real ones)"
    )
    count = asyncio.run(main(parser.parse_args(), FlakyMailService(refusals=2)))
    print(f"{count} mails sent")
