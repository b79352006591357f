"""A worker of the official SDK in a process of its own, whose work ends when it is told so.

It prints a line when it has begun a piece of work, and one when it has finished it. All that it has
in hand is finished once its input says `go`.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

TIMEOUT_SECONDS = 5.0
BEAT_SECONDS = 0.5
ONCE = RetryPolicy(maximum_attempts=1)

_go = threading.Event()


def command(port: int, queue: str) -> list[str]:
    """How to start it."""
    return [sys.executable, "-m", __spec__.name, str(port), queue]


def by_hand(queue: str) -> str:
    """The queue of the activity that the worker leaves to somebody else."""
    return f"{queue} by hand"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@activity.defn
async def silent() -> None:
    """Has `TIMEOUT_SECONDS` from start to close."""
    _say("began silent")
    await asyncio.to_thread(_go.wait)
    _say("finished silent")


@activity.defn
async def beating() -> None:
    """Must beat every `TIMEOUT_SECONDS`."""
    _say("began beating")
    while not _go.is_set():
        activity.heartbeat()
        await asyncio.sleep(BEAT_SECONDS)
    _say("finished beating")


@workflow.defn
class Activities:
    """Three activities at once, each with one attempt."""

    @workflow.run
    async def run(self) -> None:
        """Ends when all of them have."""
        timeout, long = timedelta(seconds=TIMEOUT_SECONDS), timedelta(seconds=300)
        await asyncio.gather(
            workflow.execute_activity(silent, start_to_close_timeout=timeout, retry_policy=ONCE),
            workflow.execute_activity(
                beating, start_to_close_timeout=long, heartbeat_timeout=timeout, retry_policy=ONCE
            ),
            workflow.execute_activity(
                "by hand",
                task_queue=by_hand(workflow.info().task_queue),
                start_to_close_timeout=long,
                heartbeat_timeout=timeout,
                retry_policy=ONCE,
            ),
        )


@workflow.defn
class Thinking:
    """A workflow task that takes its time."""

    @workflow.run
    async def run(self) -> None:
        """Blocks, as workflow code that computes does."""
        _say("began Thinking")
        _go.wait()
        _say("finished Thinking")


async def _work(port: int, queue: str) -> None:
    client = await Client.connect(f"127.0.0.1:{port}")
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[Activities, Thinking],
        activities=[silent, beating],
        workflow_runner=UnsandboxedWorkflowRunner(),
        # Without it, workflow code may block for two seconds only.
        debug_mode=True,
    )
    async with worker:
        _say("working")
        await asyncio.Event().wait()


def _listen() -> None:
    for _ in sys.stdin:
        _go.set()


def main() -> None:
    """Work until killed."""
    threading.Thread(target=_listen, daemon=True).start()
    asyncio.run(_work(int(sys.argv[1]), sys.argv[2]))


if __name__ == "__main__":
    main()
