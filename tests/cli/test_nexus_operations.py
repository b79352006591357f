"""Operations without a workflow, from the command line."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nexusrpc.handler import StartOperationContext, service_handler, sync_operation

from perdure.client import Client
from perdure.worker import Worker
from tests.cli.terminal import Terminal
from tests.cli.test_operating import new_name


@service_handler(name="Shop")
class ShopHandler:
    """Answers at once."""

    @sync_operation
    async def price(self, _: StartOperationContext, goods: str) -> dict[str, str]:
        return {"price of": goods}


@contextmanager
def handling(address: str, queue: str) -> Iterator[None]:
    """A worker with the handler, while commands run in this thread."""
    loop = asyncio.new_event_loop()
    is_ready, end = threading.Event(), asyncio.Event()

    async def work() -> None:
        client = await Client.connect(address)
        async with Worker(client, task_queue=queue, nexus_service_handlers=[ShopHandler()]):
            is_ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(work(),))
    thread.start()
    is_ready.wait(20)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(20)
        loop.close()


def an_endpoint(terminal: Terminal) -> tuple[str, str]:
    """A new endpoint, and the task queue that it leads to."""
    name, queue = new_name("e"), new_name("queue")
    target = f"--target-namespace default --target-task-queue {queue}"
    terminal.ok(f"nexus endpoint create {name} {target}")
    return name, queue


def test_an_operation_is_executed(terminal: Terminal, address: str) -> None:
    endpoint, queue = an_endpoint(terminal)
    called = f"--endpoint {endpoint} --service Shop --operation price"
    with handling(address, queue):
        name = new_name("o")
        printed = terminal.ok(
            f"nexus operation execute --operation-id {name} {called}", "-i", '"x"'
        )
        assert printed.out.strip() == '{"price of": "x"}'
        told = terminal.ok(f"nexus operation result --operation-id {name} --json").json
        assert told["result"] == {"price of": "x"}
        again = f"nexus operation start --operation-id {name} {called}"
        assert "already started" in terminal.refused(f"{again} --id-reuse-policy RejectDuplicate")


def test_an_operation_is_looked_after(terminal: Terminal) -> None:
    endpoint, _ = an_endpoint(terminal)
    called = f"--endpoint {endpoint} --service Shop --operation price"
    name = new_name("o")
    started = terminal.ok(
        f"nexus operation start --operation-id {name} {called} --static-summary why"
        " --start-to-close-timeout 1m --json"
    ).json
    assert (started["operationId"], started["done"]) == (name, "started")
    same = f"nexus operation start --operation-id {name} {called} --id-conflict-policy UseExisting"
    assert started["runId"] in terminal.ok(same).out
    terminal.ok(f"nexus operation cancel --operation-id {name} --reason enough")
    told = terminal.ok(f"nexus operation describe --operation-id {name}").out
    for word in ("Shop.price", "running", "scheduled", "why", "requested (enough)"):
        assert word in told
    query = f"-q \"Endpoint = '{endpoint}'\""
    assert name in terminal.ok(f"nexus operation list {query}").out
    (listed,) = terminal.ok(f"nexus operation list {query} --json").json_lines
    assert listed["runId"] == started["runId"]
    assert terminal.ok(f"nexus operation count {query}").out.strip() == "1"
    terminal.ok(f"nexus operation terminate --operation-id {name} --reason over")
    failed = terminal.run(f"nexus operation result --operation-id {name}")
    assert (failed.exit_code, "over" in failed.err) == (1, True)
    info = terminal.ok(f"nexus operation describe --operation-id {name} --json").json
    assert info["status"] == "NEXUS_OPERATION_EXECUTION_STATUS_TERMINATED"
    other = new_name("o")
    terminal.ok(f"nexus operation start --operation-id {other} {called}")
    terminal.ok(f"nexus operation terminate --operation-id {other}")
    failed = terminal.run(f"nexus operation result --operation-id {other}")
    assert failed.err.strip() == "terminated", "nobody has said why"


def test_what_makes_no_sense_is_refused(terminal: Terminal) -> None:
    called = "--operation-id o --endpoint nowhere --service Shop --operation price"
    assert "could not find Nexus endpoint" in terminal.refused(f"nexus operation start {called}")
    assert terminal.run(f"nexus operation start {called} -i 1 -i 2").exit_code == 2
    missing = "nexus operation describe --operation-id missing"
    assert "operation not found" in terminal.refused(missing)
