"""One process per server: it runs one worker, and many programs at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import hashlib
import logging
import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import msgspec
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.differential.canonical import canonical
from tests.differential.coverage import count
from tests.differential.desk import DeskHandler
from tests.differential.driver import carry_out
from tests.differential.generate import LONG_MS
from tests.differential.interpreter import HELD_SECONDS_MAX, Interpreter, act
from tests.differential.program import (
    Operation,
    Plan,
    Program,
    Top,
    attempts_of,
    has_races,
    steps_of,
)
from tests.differential.seen import Seen
from tests.interop.servers import server
from tests.interop.stage import WORKER_IDENTITY, connect

QUEUE = "differential"
HELD_TASKS_MAX = 200
TARGETS = ("real", "ours")
DEPLOYMENT_SETTINGS = ("matching.maxDeployments=1000000",)
"""Each program about deployments has one of its own."""
# Without partitions a task never waits for a poller that asks another one.
SETTINGS = {
    "real": (
        "matching.numTaskqueueReadPartitions=1",
        "matching.numTaskqueueWritePartitions=1",
        *DEPLOYMENT_SETTINGS,
    ),
    "ours": DEPLOYMENT_SETTINGS,
}
POLLS = 20
CLOSE_SECONDS_MAX = 20.0
RAMP_SECONDS = 0.03
"""Between the first programs, so that they do not all begin in the same moment."""


@dataclass(frozen=True)
class Result:
    """What one side saw of a program: comparable, and counted."""

    plain: dict[str, Any]
    counts: Counter[str]
    seconds: float


class Side:
    """One server with its worker, in a process of its own. Programs go in, results come out."""

    def __init__(self, target: str, at_once: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_live, args=(target, at_once, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._results: dict[int, concurrent.futures.Future[Result]] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def submit(self, program: Program) -> concurrent.futures.Future[Result]:
        """Carries out a program as soon as there is room."""
        future: concurrent.futures.Future[Result] = concurrent.futures.Future()
        with self._lock:
            self._count += 1
            self._results[self._count] = future
            self._ours.send((self._count, msgspec.json.encode(program)))
        return future

    def close(self) -> None:
        """Stops server and worker."""
        with contextlib.suppress(OSError):
            self._ours.send(None)
        self._process.join()

    def _read(self) -> None:
        try:
            while True:
                key, result = self._ours.recv()
                self._results.pop(key).set_result(result)
        except (EOFError, OSError):
            for future in self._results.values():
                future.set_exception(RuntimeError("the process of a side has ended"))


@contextlib.contextmanager
def sides(at_once: int) -> Iterator[tuple[Side, Side]]:
    """The real server and ours, started for the occasion."""
    real, ours = (Side(target, at_once) for target in TARGETS)
    try:
        yield real, ours
    finally:
        real.close()
        ours.close()


def _live(target: str, at_once: int, pipe: Connection) -> None:
    """The process: until it is told to stop."""
    # Programs fail on purpose, and the SDK says so.
    logging.getLogger("temporalio").setLevel(logging.CRITICAL + 1)
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(server(target, SETTINGS[target]))

        async def serve() -> None:
            await _serve(address, at_once, pipe)
            # Whoever still holds a task, in a thread or not, would be waited for.
            stack.close()
            os._exit(0)

        asyncio.run(serve())


async def _serve(address: str, at_once: int, pipe: Connection) -> None:
    client = await connect(address)
    room = asyncio.Semaphore(at_once)
    running: set[asyncio.Task[None]] = set()

    async def run(key: int, program: Program) -> None:
        try:
            async with room:
                began = time.monotonic()
                seen = await carry_out(program, client, QUEUE, _nonce(program, key))
            result = _result(program, seen, time.monotonic() - began)
        except Exception as error:  # a named boundary: whoever waits is told
            result = Result({"error": repr(error)}, Counter(), 0)
        pipe.send((key, result))

    worker = Worker(
        client,
        task_queue=QUEUE,
        workflows=[Interpreter],
        activities=[act],
        nexus_service_handlers=[DeskHandler()],
        workflow_runner=UnsandboxedWorkflowRunner(),
        identity=WORKER_IDENTITY,
        workflow_task_executor=concurrent.futures.ThreadPoolExecutor(HELD_TASKS_MAX),
        max_concurrent_workflow_tasks=HELD_TASKS_MAX,
        max_concurrent_activities=1_000,
        max_concurrent_workflow_task_polls=POLLS,
        max_concurrent_activity_task_polls=POLLS,
        max_concurrent_nexus_tasks=1_000,
        max_cached_workflows=10_000,
        max_heartbeat_throttle_interval=timedelta(milliseconds=100),
        default_heartbeat_throttle_interval=timedelta(milliseconds=100),
    )
    # A held workflow task is not a deadlock; the SDK has no option to say so.
    vars(worker)["_workflow_worker"]._deadlock_timeout_seconds = HELD_SECONDS_MAX
    running_worker = asyncio.create_task(worker.run())
    # The first workflow is slow: server and worker have to get going.
    warm = Program(0, (Top("warm", Plan()),))
    await carry_out(warm, client, QUEUE, _nonce(warm, 0))
    while (order := await asyncio.to_thread(pipe.recv)) is not None:
        key, encoded = order
        task = asyncio.create_task(run(key, msgspec.json.decode(encoded, type=Program)))
        running.add(task)
        task.add_done_callback(running.discard)
        if key <= at_once:
            await asyncio.sleep(RAMP_SECONDS)
    for task in running:
        task.cancel()
    # A worker waits for what it was given; programs that were cut off may never end.
    shutdown = asyncio.create_task(worker.shutdown())
    await asyncio.wait((shutdown, running_worker), timeout=CLOSE_SECONDS_MAX)


def _nonce(program: Program, key: int) -> str:
    """What makes names unique, the same on both servers: by its id a workflow is among those that
    go to a ramping version, or is not."""
    return hashlib.sha256(f"{program.title} {key}".encode()).hexdigest()[:12]


def _result(program: Program, seen: Seen, seconds: float) -> Result:
    plain = canonical(seen, has_races=has_races(program), has_heartbeats=_has_heartbeats(program))
    return Result(plain, count(program, seen), seconds)


def _has_heartbeats(program: Program) -> bool:
    """Whether an activity heartbeats, or an operation times out: nobody can say how often a timeout
    is looked at."""
    return any(
        isinstance(step, Operation) and _times_out(step) for step in steps_of(program)
    ) or any(each.startswith(("obeys", "hang:")) for each in attempts_of(program))


def _times_out(step: Operation) -> bool:
    timeouts = (step.schedule_to_close_ms, step.schedule_to_start_ms, step.start_to_close_ms)
    return any(0 < timeout < LONG_MS for timeout in timeouts)
