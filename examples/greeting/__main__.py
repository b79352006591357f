"""Run a greeting: `python -m examples.greeting [--name Ada] [--address HOST:PORT]`."""

from __future__ import annotations

import asyncio
import uuid
from argparse import Namespace

from examples.connecting import arguments, connected
from examples.greeting.activities import compose_greeting
from examples.greeting.workflows import GreetingWorkflow
from perdure.worker import Worker

TASK_QUEUE = "greetings"


async def main(options: Namespace) -> str:
    """Run a worker, and one workflow on it."""
    async with (
        connected(options) as client,
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[GreetingWorkflow],
            activities=[compose_greeting],
        ),
    ):
        return await client.execute_workflow(
            GreetingWorkflow.run,
            options.name,
            id=f"greeting-{uuid.uuid4()}",
            task_queue=TASK_QUEUE,
        )


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--name", default="world", help="whom to greet")
    print(asyncio.run(main(parser.parse_args())))
