"""A program that is killed: `python -m tests.embedded.child WHERE`, with WHERE a file for an engine
of its own, or the HOST:PORT of a server.

It starts workflows whose tasks it then holds, and says `holds` when it does. With a third argument
it only works.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import perdure
from perdure.client import Client
from perdure.converter import DataConverter
from perdure.worker import Worker
from tests.embedded import programs
from tests.sdk.looking import until


async def hold_tasks(client: Client, puzzled: programs.Puzzled) -> None:
    """Return when all tasks are held."""
    for name, attempts_max in (("retried", 0), ("once", 1)):
        handle = await client.start_workflow(
            programs.Holding.run, attempts_max, id=name, task_queue=programs.QUEUE
        )

        async def has_heartbeat() -> bool:
            pending = (await handle.describe()).raw_description.pending_activities  # noqa: B023
            return any(activity.heartbeat_details.payloads for activity in pending)

        await until(has_heartbeat)
    await client.start_workflow(programs.Sleeping.run, id="sleeping", task_queue=programs.QUEUE)
    print("holds", flush=True)
    await client.start_workflow(
        programs.Thinking.run, "puzzle", id="thinking", task_queue=programs.QUEUE
    )
    await puzzled.is_thinking.wait()
    print("thinking", flush=True)


async def work(client: Client, puzzled: programs.Puzzled, *, starts: bool) -> None:
    """Until it is killed."""
    async with Worker(
        client,
        task_queue=programs.QUEUE,
        workflows=programs.WORKFLOWS,
        activities=programs.ACTIVITIES,
        activity_executor=ThreadPoolExecutor(100),
        identity="the first",
    ):
        if starts:
            await hold_tasks(client, puzzled)
        else:
            print("works", flush=True)
        await asyncio.get_running_loop().create_future()


async def main(where: str, *, starts: bool) -> None:
    """Work on a file, or for a server."""
    puzzled = programs.Puzzled()
    converter = DataConverter(payload_codec=puzzled)
    if ":" in where:
        client = await Client.connect(where, data_converter=converter)
        await work(client, puzzled, starts=starts)
    else:
        async with perdure.embedded(where, data_converter=converter) as client:
            await work(client, puzzled, starts=starts)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], starts=len(sys.argv) < 3))
