"""The engine in a program: on a file or in memory, several at once, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import perdure
from perdure.client import Client
from perdure.server.app import GARBAGE_THRESHOLDS, SWITCH_INTERVAL_SECONDS
from perdure.server.store.ports import StoreInUse
from perdure.service import RPCError, RPCStatusCode
from tests.crash.server_process import ServerProcess
from tests.embedded import programs
from tests.embedded.running import child_command, greet, greet_with_worker, worker

GREETING = "Hello, world!"
THREADED = pytest.mark.parametrize("thread", [False, True], ids=["this loop", "own thread"])
QUICK_SECONDS = 2.0
SOON_SECONDS = 20.0


@pytest.fixture(autouse=True)
def _leaves_nothing() -> object:
    """Whatever a test does, its engines leave no thread."""
    before = set(threading.enumerate())
    yield
    new = set(threading.enumerate()) - before
    left = {thread for thread in new if thread.name.startswith("perdure")}
    for thread in left:
        thread.join(SOON_SECONDS)  # It was told to end, and the machine may be busy.
    assert not any(thread.is_alive() for thread in left)


@THREADED
@pytest.mark.parametrize("place", ["memory", "file"])
async def test_a_workflow_runs_on_a_file_and_in_memory(
    tmp_path: Path, place: str, thread: bool
) -> None:
    database = ":memory:" if place == "memory" else tmp_path / "app.db"
    async with perdure.embedded(database, thread=thread) as client:
        assert await greet_with_worker(client, "greeting") == GREETING
    assert (tmp_path / "app.db").exists() == (place == "file")


@THREADED
async def test_what_ended_is_there_when_the_file_is_opened_again(
    tmp_path: Path, thread: bool
) -> None:
    for number in range(3):
        async with perdure.embedded(tmp_path / "app.db", thread=thread) as client:
            for earlier in range(number):
                handle = client.get_workflow_handle(f"greeting {earlier}", result_type=str)
                assert await handle.result() == GREETING
            assert await greet_with_worker(client, f"greeting {number}") == GREETING


async def test_two_engines_of_one_program_know_nothing_of_each_other(tmp_path: Path) -> None:
    async with (
        perdure.embedded(tmp_path / "one.db") as one,
        perdure.embedded(tmp_path / "two.db", thread=True) as two,
        perdure.embedded() as three,
    ):
        clients = (one, two, three)
        said = await asyncio.gather(
            *(
                greet_with_worker(client, f"greeting {place}")
                for place, client in enumerate(clients)
            )
        )
        assert said == [GREETING] * 3
        for place, client in enumerate(clients):
            listed = [run.id async for run in client.list_workflows()]
            assert listed == [f"greeting {place}"]


@THREADED
async def test_it_runs_in_a_second_thread_with_a_loop_of_its_own(
    tmp_path: Path, thread: bool
) -> None:
    async def program() -> str:
        async with perdure.embedded(tmp_path / "second.db", thread=thread) as client:
            return await greet_with_worker(client, "greeting")

    async with perdure.embedded(tmp_path / "first.db") as client:
        here = asyncio.create_task(greet_with_worker(client, "greeting"))
        assert await asyncio.to_thread(asyncio.run, program()) == GREETING
        assert await here == GREETING


@THREADED
async def test_no_task_is_left_behind(thread: bool) -> None:
    async with perdure.embedded(thread=thread) as client:
        assert await greet_with_worker(client, "greeting") == GREETING
    assert asyncio.all_tasks() == {asyncio.current_task()}


@THREADED
async def test_a_client_says_that_its_block_has_ended(thread: bool) -> None:
    async with perdure.embedded(thread=thread) as client:
        handle = await client.start_workflow(
            programs.Greeting.run, "x", id="greeting", task_queue=programs.QUEUE
        )
        waiting = asyncio.create_task(handle.result())
        await handle.describe()  # the other is at the engine too, by now
    async with asyncio.timeout(QUICK_SECONDS):
        for late in (waiting, greet(client, "late")):
            with pytest.raises(RPCError, match=r"the `async with perdure\.embedded") as ended:
                await late
            assert ended.value.status is RPCStatusCode.FAILED_PRECONDITION


@THREADED
async def test_an_exception_in_the_block_closes_everything_and_is_the_programs(
    tmp_path: Path, thread: bool
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with perdure.embedded(tmp_path / "app.db", thread=thread) as client, worker(client):
            raise ZeroDivisionError
    async with perdure.embedded(tmp_path / "app.db") as client:
        assert await greet_with_worker(client, "greeting") == GREETING


@THREADED
async def test_a_program_that_is_cancelled_lets_go_of_its_file(
    tmp_path: Path, thread: bool
) -> None:
    runs = asyncio.Event()

    async def program() -> None:
        async with perdure.embedded(tmp_path / "app.db", thread=thread) as client, worker(client):
            assert await greet(client, "greeting") == GREETING
            runs.set()
            await asyncio.get_running_loop().create_future()

    running = asyncio.create_task(program())
    await runs.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with perdure.embedded(tmp_path / "app.db") as client:
        assert await client.get_workflow_handle("greeting", result_type=str).result() == GREETING


@THREADED
async def test_a_program_that_is_cancelled_while_it_closes_lets_go_of_its_file(
    tmp_path: Path, thread: bool
) -> None:
    opened = asyncio.Event()

    async def program() -> None:
        async with perdure.embedded(tmp_path / "app.db", thread=thread):
            opened.set()
            await asyncio.get_running_loop().create_future()

    running = asyncio.create_task(program())
    await opened.wait()
    while not running.done():
        running.cancel()
        await asyncio.sleep(0)
    assert running.cancelled()
    async with perdure.embedded(tmp_path / "app.db") as client:
        assert await greet_with_worker(client, "greeting") == GREETING


@THREADED
@pytest.mark.parametrize("turns", [0, 1, 2, 5])
async def test_a_program_that_is_cancelled_while_it_opens_lets_go_of_its_file(
    tmp_path: Path, thread: bool, turns: int
) -> None:
    async def program() -> None:
        async with perdure.embedded(tmp_path / "app.db", thread=thread):
            await asyncio.get_running_loop().create_future()

    opening = asyncio.create_task(program())
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with perdure.embedded(tmp_path / "app.db") as client:
        assert await greet_with_worker(client, "greeting") == GREETING


async def test_a_program_that_is_cancelled_twice_while_it_opens_lets_go_of_its_file(
    tmp_path: Path,
) -> None:
    async def program() -> None:
        async with perdure.embedded(tmp_path / "app.db", thread=True):
            await asyncio.get_running_loop().create_future()

    opening = asyncio.create_task(program())
    await asyncio.sleep(0)
    engines = [thread for thread in threading.enumerate() if thread.name == "perdure-engine"]
    opening.cancel()
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    for engine in engines:
        await asyncio.to_thread(engine.join)
    assert engines
    async with perdure.embedded(tmp_path / "app.db") as client:
        assert await greet_with_worker(client, "greeting") == GREETING


@THREADED
async def test_a_file_that_another_process_has_open_is_refused(
    tmp_path: Path, thread: bool
) -> None:
    database = tmp_path / "app.db"
    with ServerProcess(child_command(str(database), "works")) as other:
        assert await asyncio.to_thread(other.read_line) == "works\n"
        with pytest.raises(StoreInUse):
            async with perdure.embedded(database, thread=thread):
                pass
    async with perdure.embedded(database, thread=thread) as client:
        assert await greet_with_worker(client, "greeting") == GREETING


async def test_a_file_that_this_process_has_open_is_refused(tmp_path: Path) -> None:
    async with perdure.embedded(tmp_path / "app.db") as client:
        with pytest.raises(StoreInUse):
            async with perdure.embedded(tmp_path / "app.db", thread=True):
                pass
        assert await greet_with_worker(client, "greeting") == GREETING


async def test_a_namespace_of_ones_own(tmp_path: Path) -> None:
    async with perdure.embedded(tmp_path / "app.db", namespace="mine") as client:
        assert await greet_with_worker(client, "greeting") == GREETING
    async with perdure.embedded(tmp_path / "app.db") as client:
        assert [run.id async for run in client.list_workflows()] == []
        mine = Client(client.service_client, namespace="mine")
        assert [run.id async for run in mine.list_workflows()] == ["greeting"]


@pytest.mark.parametrize("own", [(700, 10, 10), (0, 10, 10), (1_000_000, 1, 1)])
async def test_the_garbage_collector_is_as_before_when_the_engines_have_closed(
    tmp_path: Path, own: tuple[int, int, int]
) -> None:
    before = gc.get_threshold()
    gc.set_threshold(*own)
    try:
        one, two = perdure.embedded(tmp_path / "one.db"), perdure.embedded(tmp_path / "two.db")
        await one.__aenter__()
        meanwhile = gc.get_threshold()
        await two.__aenter__()
        await one.__aexit__(None, None, None)
        await two.__aexit__(None, None, None)
        after = gc.get_threshold()
    finally:
        gc.set_threshold(*before)
    assert after == own
    assert meanwhile[0] == (max(own[0], GARBAGE_THRESHOLDS[0]) if own[0] else 0)


async def test_threads_give_way_as_before_when_the_engines_have_closed(tmp_path: Path) -> None:
    own = sys.getswitchinterval()
    one, two = perdure.embedded(tmp_path / "one.db"), perdure.embedded(tmp_path / "two.db")
    await one.__aenter__()
    meanwhile = sys.getswitchinterval()
    await two.__aenter__()
    await one.__aexit__(None, None, None)
    await two.__aexit__(None, None, None)
    assert (sys.getswitchinterval(), meanwhile) == (own, SWITCH_INTERVAL_SECONDS)


async def test_workflows_leave_nothing_to_the_garbage_collector() -> None:
    async with perdure.embedded() as client, worker(client, max_cached_workflows=10):
        await greet(client, "before")
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for number in range(3):
                await greet(client, f"greeting {number}")
            gc.collect()
            ours = [thing for thing in gc.garbage if type(thing).__module__.startswith("perdure")]
        finally:
            gc.set_debug(0)
            gc.enable()
            gc.garbage.clear()
    assert ours == []


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, perdure; print(*(m for m in sys.modules if m.startswith('perdure')))"
    heavy = "print(*({'grpc', 'temporalio.api', 'google', 'apsw', 'asyncio'} & {*sys.modules}))"
    said = subprocess.run(
        [sys.executable, "-c", f"{code}; {heavy}"], capture_output=True, text=True, check=True
    )
    assert {*said.stdout.split()} == {"perdure", "perdure._contract"}


async def test_a_garbage_collector_that_the_program_switches_on_stays_on(tmp_path: Path) -> None:
    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        async with perdure.embedded(tmp_path / "app.db"):
            gc.set_threshold(700, 10, 10)
        after = gc.get_threshold()
    finally:
        gc.set_threshold(*before)
    assert after == (700, 10, 10)
