"""Run three migrations: `python -m examples.database_migration [--address HOST:PORT]`.

The second does not fit the data, and the third no longer does: neither leaves a trace.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from examples.connecting import arguments, connected, keep_quiet
from examples.database_migration.activities import Change, Operator
from examples.database_migration.database import buy, open_shop
from examples.database_migration.releases import RELEASES
from examples.database_migration.workflows import WAITING, Migrate, Verdict
from perdure.client import Client, WorkflowExecutionStatus, WorkflowHandle
from perdure.worker import Worker

TASK_QUEUE = "migrations"
THREADS = 4
MEANWHILE = {"one-purchase-a-day": ("ada@example.com", "monday")}
"""What is bought while somebody thinks about a release: life goes on."""


def migration_worker(client: Client, operator: Operator, threads: ThreadPoolExecutor) -> Worker:
    """What carries out the run book, on the machine that reaches the database."""
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Migrate],
        activities=[
            operator.back_up,
            operator.rehearse,
            operator.apply,
            operator.revert,
            operator.check,
            operator.count_steps,
        ],
        activity_executor=threads,
        max_concurrent_activities=THREADS,
    )


async def propose(client: Client, change: Change) -> WorkflowHandle[Migrate, str]:
    """Ask for a migration, as a pipeline would, and wait until somebody has to decide."""
    handle = await client.start_workflow(
        Migrate.run, change, id=f"migrate-{uuid.uuid4()}", task_queue=TASK_QUEUE
    )
    while (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
        if await handle.query(Migrate.stage) == WAITING:
            break
        await asyncio.sleep(0.02)
    return handle


async def main(options: Namespace, directory: Path) -> None:
    """Run a worker, and one migration after the other on it."""
    shop = directory / "shop.db"
    open_shop(shop)
    with ThreadPoolExecutor(THREADS) as threads:
        async with (
            connected(options) as client,
            migration_worker(client, Operator(tell=lambda text: print(f"  {text}")), threads),
        ):
            for name in RELEASES:
                print(f"{name}:")
                change = Change(name, str(shop), str(directory / f"before-{name}.db"))
                handle = await propose(client, change)
                if name in MEANWHILE:
                    buy(shop, *MEANWHILE[name])
                if (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
                    await handle.signal(Migrate.decide, Verdict("Grace", is_approved=True))
                print(f"  {await handle.result()}")


if __name__ == "__main__":
    keep_quiet()
    parsed = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(parsed, Path(temporary)))
