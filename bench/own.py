"""Our own SDK, in one process with its engine or against a server.

    python -m bench.own ROLE WHERE [--unary]

Roles: `worker` and `client` take the HOST:PORT of a server, over a session or (`--unary`) call by
call; `embedded` takes a database file and is engine, worker and client at once. `first-embedded`
and `first-server` end as soon as a first workflow has its result, and say so.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import perdure
from perdure import activity, workflow
from perdure.worker import Worker

TASK_QUEUE: Final = "bench"
ACTIVITY_TIMEOUT: Final = timedelta(minutes=5)
CONCURRENT_TASKS_MAX: Final = 1_000
CONNECT_RETRY_SECONDS: Final = 0.005


@activity.defn
async def greet(name: str) -> str:
    """Answer with a greeting; waits for nothing."""
    return f"Hello, {name}!"


@workflow.defn
class Hello:
    """One activity."""

    @workflow.run
    async def run(self, name: str) -> str:
        """The greeting."""
        return await workflow.execute_activity(greet, name, start_to_close_timeout=ACTIVITY_TIMEOUT)


def make_worker(client: Any) -> Worker:
    """A worker with its default settings, but for how much it does at once."""
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Hello],
        activities=[greet],
        max_concurrent_workflow_tasks=CONCURRENT_TASKS_MAX,
        max_concurrent_activities=CONCURRENT_TASKS_MAX,
    )


@asynccontextmanager
async def connected(address: str, *, unary: bool) -> AsyncIterator[Any]:
    """A client of a server."""
    from perdure.client import Client
    from perdure.transport.grpc_client import GrpcTransport

    if unary:
        client = Client._over(GrpcTransport(address))
    else:
        client = await Client.connect(address)
    try:
        yield client
    finally:
        await client.service_client.close()


async def run_client(client: Any) -> None:
    """Run phases until the parent closes standard input."""
    from bench.child import Parent
    from bench.phase import run_phases
    from perdure.exceptions import PerdureError

    await run_phases(
        Parent(),
        lambda workload: lambda workflow_id: execute(client, workflow_id),
        (PerdureError,),
    )


async def execute(client: Any, workflow_id: str) -> None:
    """One workflow, to its end."""
    await client.execute_workflow(Hello.run, "world", id=workflow_id, task_queue=TASK_QUEUE)


async def worker(where: str, *, unary: bool) -> None:
    """Work until the parent closes standard input."""
    from bench.child import Parent

    parent = Parent()
    async with connected(where, unary=unary) as client, make_worker(client):
        parent.send({"ready": True})
        await parent.receive()


async def client(where: str, *, unary: bool) -> None:
    """Start workflows, and wait for them."""
    async with connected(where, unary=unary) as connection:
        await run_client(connection)


async def embedded(where: str, *, unary: bool) -> None:
    """All in one process."""
    async with perdure.embedded(where) as home, make_worker(home):
        await run_client(home)


async def first_embedded(where: str, *, unary: bool) -> None:
    """The first result of a process that has everything."""
    async with perdure.embedded(where) as home, make_worker(home):
        await execute(home, "first")
        print("result", flush=True)


async def first_server(where: str, *, unary: bool) -> None:
    """The first result of a process whose server starts at the same time."""
    while True:
        try:
            async with connected(where, unary=unary) as connection, make_worker(connection):
                await execute(connection, "first")
                print("result", flush=True)
                return
        except RuntimeError:  # The server does not listen yet.
            await asyncio.sleep(CONNECT_RETRY_SECONDS)


ROLES: Final[dict[str, Callable[..., Coroutine[Any, Any, None]]]] = {
    "worker": worker,
    "client": client,
    "embedded": embedded,
    "first-embedded": first_embedded,
    "first-server": first_server,
}


def run(work: Coroutine[Any, Any, None]) -> None:
    """On the loop that a program that wants to be fast has."""
    if sys.platform == "win32":
        asyncio.run(work)
    else:
        import uvloop

        uvloop.run(work)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.own", description=__doc__)
    parser.add_argument("role", choices=sorted(ROLES))
    parser.add_argument("where")
    parser.add_argument("--unary", action="store_true")
    arguments = parser.parse_args()
    run(ROLES[arguments.role](arguments.where, unary=arguments.unary))


if __name__ == "__main__":
    main()
