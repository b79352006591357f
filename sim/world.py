"""One world: a disk that lasts, an engine that crashes and comes back, workers and clients, and the
faults that a seed has for them.

The faults stop after a while. From then on everything must go on to its end: every request is
answered and every workflow closes. Checkers look at the store after each crash and at the end.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

import msgspec

from perdure.server.engine.api import EngineUnavailable, WorkflowTaskWithHistory
from perdure.server.engine.engine import Engine
from perdure.server.engine.pipeline import run_of
from perdure.server.housekeeping.retention import Retention
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.server.machines.standalone_activity.state import ActivityRun
from perdure.server.machines.standalone_nexus.state import OperationRun
from perdure.server.machines.workflow.callbacks import PENDING
from perdure.server.machines.workflow.state import Run
from perdure.server.namespaces.registry import Namespace, RetentionPeriod
from perdure.server.store.faulty import FaultOdds
from perdure.server.store.ports import StoreUnavailable
from perdure.server.visibility.projection import visibility_row
from perdure.transport import Transport
from sim.audit import Audit, Auditor
from sim.bookkeeper import Bookkeeper
from sim.checkers import CHECKERS, check_memory, left_over, watch_bounds
from sim.clock import SimulatedClock
from sim.disk import Disk, Platter, run_now
from sim.ids import SeededIds
from sim.ledger import Ledger
from sim.loop import Deadlock, Process, SimulatedLoop
from sim.namespace import NAMESPACE
from sim.network import Network
from sim.office import open_office, register_namespace
from sim.plan import Plan, plan_for
from sim.trace import Trace
from sim.witness import Witness
from sim.workload.batches import Foreman
from sim.workload.client import Client
from sim.workload.handler import Handler
from sim.workload.jobs import Employer
from sim.workload.listener import Listener
from sim.workload.operations import Caller
from sim.workload.releases import Releaser
from sim.workload.schedules import Planner
from sim.workload.service import Service
from sim.workload.worker import Mood, Worker

SHARD = 1
CALM_SECONDS_MAX = 240.0
"""Virtual time in which everything must have come to its end, once the faults have stopped."""
LEAVING_SECONDS = 1.0
"""In which everybody hears that the engine was closed."""
CRASH_STEPS_MAX = 150
DOWN_SECONDS_MAX = 2.0
POISONED_SECONDS_MAX = 1.0


class Broken(msgspec.Struct, frozen=True):
    """An invariant that does not hold."""

    invariant: str
    text: str


class Outcome(msgspec.Struct):
    """How a world ended."""

    seed: int
    broken: list[Broken]
    digest: str
    trace: list[str]
    steps: int
    virtual_seconds: float
    audit: Audit


class World:
    """See the module. `run` may be called once."""

    def __init__(self, seed: int, plan: Plan | None = None) -> None:
        dice = random.Random(seed)
        self.seed = seed
        self.dice = dice
        self.plan = plan or plan_for(dice)
        self.loop = SimulatedLoop(dice)
        self.trace = Trace(self.loop.time)
        self.clock = SimulatedClock(self.loop)
        self.ids = SeededIds(dice)
        self.ledger = Ledger()
        self.platter = Platter(self.trace)
        register_namespace(self.platter)
        self.bookkeeper = Bookkeeper(self.ledger, self.clock.now_ns)
        self.platter.written = self.bookkeeper.written
        self.ledger.retention_ns = round(self.plan.retention_seconds * SECOND_NS)
        self.auditor = Auditor(self.platter, self.ledger, self.platter.ranges)
        self.witness = Witness(self.platter, NAMESPACE.number, self.ledger, self.broken)
        self.network = Network(self.loop, self, self.trace, dice, self.plan.loss)
        self.mood = Mood(self.plan.misbehaviour)
        self.handler = Handler(self.loop, self.network, self.witness, self.ledger, dice, self.mood)
        self.listener = Listener(self.witness, self.ledger, dice, self.mood)
        self.failures: list[Broken] = []
        self.engine: Engine | None = None
        self.office: Transport | None = None
        self.process = Process("engine")
        self._retention: asyncio.Task[None] | None = None
        self._disk: Disk | None = None
        self._odds = self.plan.odds
        self._incarnations = 0
        self._workers: dict[str, tuple[Process, Worker]] = {}
        self._workers_made = 0
        self._clients: list[asyncio.Task[None]] = []
        self._is_calm = False
        self._is_buried = False

    def run(self) -> Outcome:
        """Live through it."""
        alarm = _Alarm(self.broken)
        logger = logging.getLogger("perdure")
        logger.addHandler(alarm)
        was, logger.propagate = logger.propagate, False
        try:
            self.loop.run_until_complete(self.loop.create_task(self._live()))
        except Deadlock as error:
            self.broken("L1", str(error))
        except RuntimeError:
            if not self.failures:
                raise  # Not the stop that `broken` asks for.
        finally:
            audit = run_now(self.auditor.take(self.clock.now_ns(), is_final=not self.failures))
            steps, seconds = self.loop.steps, self.loop.time()
            logger.propagate = was
            logger.removeHandler(alarm)
            self._is_buried = True
            self.loop.bury()
        for problem in self.loop.problems:
            self.failures.append(Broken("C", problem))
        return Outcome(
            seed=self.seed,
            broken=self.failures,
            digest=self.trace.digest(),
            trace=self.trace.tail(5_000),
            steps=steps,
            virtual_seconds=seconds,
            audit=audit,
        )

    def broken(self, invariant: str, text: str) -> None:
        """Something is wrong: the world ends here."""
        if self._is_buried:
            return  # It is over: the dead only let go of what they had.
        self.trace.note("BROKEN", invariant, text)
        self.failures.append(Broken(invariant, text))
        self.loop.stop()

    # ---- life

    async def _live(self) -> None:
        self._boot()
        for _ in range(self.plan.workers):
            self._hire("")
        for build_id in self._builds():
            self._hire(build_id)
        for index in range(self.plan.clients):
            self._clients.append(self._client(f"client-{index}"))
        for index in range(self.plan.schedules):
            self._clients.append(self._planner(f"schedule-{index}"))
        if self.plan.builds:
            self._clients.append(self._releaser("releaser"))
        if self.plan.batches:
            self._clients.append(self._foreman("foreman"))
        if self.plan.operations:
            self._clients.append(self._caller("caller"))
        if self.plan.jobs:
            self._clients.append(self._employer("employer"))
        for at in self.plan.crashes:
            self.loop.call_later(at, self._plan_crash)
        for at in self.plan.worker_deaths:
            self.loop.call_later(at, self._kill_a_worker)
        for at in self.plan.poisonings:
            self.loop.call_later(at, self._poison)
        for at, seconds in self.plan.clock_shifts:
            self.loop.call_later(at, self._shift_clock, seconds)
        await asyncio.sleep(self.plan.duration_seconds)
        self._calm_down()
        await self._wait_for_the_end()
        await self._finish()

    def _calm_down(self) -> None:
        self.trace.note("calm")
        self._is_calm = True
        self.network.loss = 0.0
        self.mood.chance = 0.0
        self._odds = FaultOdds()
        self.loop.kill_after(self.process, -1, self._crash)
        if self._disk is not None:
            self._disk.store.odds = self._odds

    async def _wait_for_the_end(self) -> None:
        deadline = self.loop.time() + CALM_SECONDS_MAX
        while not await self._is_over():
            if self.loop.time() > deadline:
                open_runs = await self.platter.started_runs(0, 100)
                waiting = [task.get_name() for task in self._clients if not task.done()]
                self.broken("L1", f"still open: runs {open_runs}, clients {waiting}")
                return
            await asyncio.sleep(0.5)

    async def _is_over(self) -> bool:
        if self.engine is None or not all(task.done() for task in self._clients):
            return False
        if await self.platter.outbox(0, 1):
            return False
        return not await self.platter.started_runs(0, 1) and not await self._is_at_work()

    async def _is_at_work(self) -> bool:
        """Whether some callback is still to be called, or some job to be done."""
        last, _, _ = await self.platter.last_numbers()
        for number in range(1, last + 1):
            loaded = await self.platter.load_number(number)
            if loaded is None:
                continue
            run = run_of(loaded)
            if isinstance(run, ActivityRun | OperationRun) and run.is_open:
                return True
            if isinstance(run, Run) and any(
                each.state in PENDING for each in run.callbacks.values()
            ):
                return True
        return False

    async def _finish(self) -> None:
        """Close the engine as a server does that is told to, and look at everything once more."""
        for task in self._clients:
            task.result()
        engine = self.engine
        assert engine is not None, "the engine is up when everything is over"
        self._check(engine)
        await self.loop.task_of(self.process, self._close(engine), name="close")
        await asyncio.sleep(LEAVING_SECONDS)
        for text in left_over(engine):
            self.broken("B1", text)
        self._look(is_final=True)

    async def _close(self, engine: Engine) -> None:
        if self._retention is not None:
            self._retention.cancel()
            await asyncio.gather(self._retention, return_exceptions=True)
        await engine.close()

    def _client(self, name: str) -> asyncio.Task[None]:
        client = Client(
            name,
            self._service(),
            self.ledger,
            self.dice,
            workflow_ids=self._workflow_ids(),
            requests=self.plan.requests,
            pause_seconds_max=self.plan.pause_seconds_max,
            run_eagerly=self._run_eagerly,
        )
        return self.loop.task_of(Process(name), client.run(), name=name)

    def _planner(self, name: str) -> asyncio.Task[None]:
        planner = Planner(name, self._service(), self.ledger, self.dice)
        return self.loop.task_of(Process(name), planner.run(), name=name)

    def _employer(self, name: str) -> asyncio.Task[None]:
        employer = Employer(
            name,
            self._service(),
            self.witness,
            self.ledger,
            self.dice,
            requests=self.plan.jobs,
        )
        return self.loop.task_of(Process(name), employer.run(), name=name)

    def _caller(self, name: str) -> asyncio.Task[None]:
        caller = Caller(
            name,
            self._service(),
            self.witness,
            self.ledger,
            self.dice,
            requests=self.plan.operations,
        )
        return self.loop.task_of(Process(name), caller.run(), name=name)

    def _foreman(self, name: str) -> asyncio.Task[None]:
        foreman = Foreman(
            name,
            self._service(),
            self.witness,
            self.ledger,
            self.dice,
            workflow_ids=self._workflow_ids(),
            batches=self.plan.batches,
        )
        return self.loop.task_of(Process(name), foreman.run(), name=name)

    def _releaser(self, name: str) -> asyncio.Task[None]:
        releaser = Releaser(
            name,
            self._service(),
            self.ledger,
            self.dice,
            builds=self._builds(),
            workflow_ids=self._workflow_ids(),
            requests=self.plan.requests,
        )
        return self.loop.task_of(Process(name), releaser.run(), name=name)

    def _builds(self) -> list[str]:
        return [f"build-{index}" for index in range(self.plan.builds)]

    def _workflow_ids(self) -> list[str]:
        return [f"workflow-{index}" for index in range(self.plan.workflows)]

    def _service(self) -> Service:
        return Service(self.network, self.witness, self.dice)

    # ---- the engine

    def _boot(self) -> None:
        self._incarnations += 1
        self.process = Process(f"engine-{self._incarnations}")
        self._disk = Disk(self.platter, self.trace, self.dice, self._odds)
        self.trace.note("boot", self._incarnations)
        self.loop.spawn(self.process, self._open(self._disk), name="boot")

    async def _open(self, disk: Disk) -> None:
        while True:
            try:
                engine = await Engine.open(
                    disk.store,
                    shard=SHARD,
                    clock=self.clock,
                    ids=self.ids,
                    limits=DEFAULT_LIMITS,
                    project=lambda namespace, workflow_id, run: visibility_row(
                        run, namespace.search_attributes
                    ),
                    namespace_of=lambda number: NAMESPACE,
                    on_lease_lost=lambda: self.broken("F1", "the only owner lost its lease"),
                    executions_max=self.plan.executions_max,
                    post=self.listener.post,
                    caller=self.handler,
                )
            except StoreUnavailable:
                await asyncio.sleep(0.1)
                continue
            engine.committer.group_writes_max = self.plan.group_writes_max
            self.office = await self._open_office(disk, engine)
            self.engine = engine
            self.trace.note("open", self._incarnations)
            watch_bounds(
                engine, lambda: self.plan.executions_max, lambda text: self.broken("B1", text)
            )
            if self.plan.retention_seconds:
                retention = self._retain(disk, engine)
                self._retention = self.loop.task_of(self.process, retention, name="retention")
            return

    async def _open_office(self, disk: Disk, engine: Engine) -> Transport:
        while True:
            try:
                return await open_office(
                    disk.store, engine, self.clock, self.ids, self.plan.batch_rate
                )
            except StoreUnavailable:
                await asyncio.sleep(0.1)

    async def _retain(self, disk: Disk, engine: Engine) -> None:
        """Delete what is old, as long as the engine lives."""
        kept_ns = self.ledger.retention_ns
        namespace = Namespace(
            NAMESPACE.number,
            NAMESPACE.id,
            NAMESPACE.name,
            b"",
            kept_ns,
            retentions=(RetentionPeriod(0, kept_ns),),
        )
        retention = Retention(
            disk.store, engine, self.clock, lambda: [namespace], lambda which: NAMESPACE
        )
        while True:
            await asyncio.sleep(1.0)
            try:
                await retention.sweep()
            except (EngineUnavailable, StoreUnavailable):
                continue

    def _plan_crash(self) -> None:
        """Crash after some more steps: at any await."""
        steps = self.dice.randrange(CRASH_STEPS_MAX)
        self.loop.kill_after(self.process, steps, self._crash)

    def _crash(self) -> None:
        self.trace.note("crash", self._incarnations)
        self.ledger.crashes += 1
        engine, self.engine = self.engine, None
        self.loop.kill(self.process)
        if engine is not None:
            self._check(engine)
        assert self._disk is not None, "an engine runs on a disk"
        self._disk.unplug()
        self.network.hang_up()
        self._look()
        outside = self.loop.context_of(self.loop.outside)
        self.loop.call_later(self.dice.random() * DOWN_SECONDS_MAX, self._boot, context=outside)

    def _check(self, engine: Engine) -> None:
        """What can be seen only in memory."""
        if engine.recorder.violations:
            self.broken("C", f"{engine.recorder.violations} decisions broke an invariant")
        for invariant, text in check_memory(engine, self.platter):
            self.broken(invariant, text)

    def _look(self, *, is_final: bool = False) -> None:
        """Check everything that is stored."""
        audit = run_now(self.auditor.take(self.clock.now_ns(), is_final=is_final))
        for invariant, check in CHECKERS.items():
            for text in check(audit):
                self.broken(invariant, text)

    # ---- workers

    def _hire(self, build_id: str) -> None:
        self._workers_made += 1
        name = f"worker-{self._workers_made}"
        process = Process(name)
        worker = Worker(
            name,
            self._service(),
            self.ledger,
            self.dice,
            self.mood,
            build_id=build_id,
            broken=self.broken,
            die=lambda: self._kill_worker(name),
        )
        self._workers[name] = (process, worker)
        self.trace.note("worker", name)
        self.loop.spawn(process, worker.run(), name=name)

    def _kill_a_worker(self) -> None:
        if self._workers and not self._is_calm:
            self._kill_worker(self.dice.choice(list(self._workers)))

    def _kill_worker(self, name: str) -> None:
        found = self._workers.pop(name, None)
        if found is None:
            return
        self.trace.note("dead", name)
        process, worker = found
        build_id = "" if worker.version is None else worker.version.build_id
        self.loop.kill(process)
        self.network.caller_died(process)
        outside = self.loop.context_of(self.loop.outside)
        self.loop.call_later(self.dice.random() * 2, self._hire, build_id, context=outside)

    def _run_eagerly(self, task: WorkflowTaskWithHistory) -> None:
        """A client that is a worker too: some worker carries its first task out."""
        for process, worker in self._workers.values():
            if worker.version is not None:
                continue  # The frontend gives no such task to these.
            self.loop.spawn(process, _answer_all(worker, task), name="eager")
            return

    def _poison(self) -> None:
        """One workflow cannot be written, for a while."""
        disk, workflow_id = self._disk, f"workflow-{self.dice.randrange(self.plan.workflows)}"
        if disk is None or self._is_calm:
            return
        self.trace.note("poison", workflow_id)
        poisoned = disk.store.poisoned_workflow_ids
        poisoned.add(workflow_id)
        outside = self.loop.context_of(self.loop.outside)
        seconds = self.dice.random() * POISONED_SECONDS_MAX
        self.loop.call_later(seconds, poisoned.discard, workflow_id, context=outside)

    def _shift_clock(self, seconds: float) -> None:
        self.trace.note("clock", seconds)
        self.ledger.is_clock_set = True
        self.bookkeeper.look_at_clock()
        self.clock.shift(seconds)
        self.bookkeeper.look_at_clock()


async def _answer_all(worker: Worker, task: WorkflowTaskWithHistory) -> None:
    following: WorkflowTaskWithHistory | None = task
    while following is not None:
        following = await worker.answer(following)


class _Alarm(logging.Handler):
    """What the engine logs as an error is one."""

    def __init__(self, broken: Callable[[str, str], None]) -> None:
        super().__init__(logging.ERROR)
        self._broken = broken

    def emit(self, record: logging.LogRecord) -> None:
        """An error was logged."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {record.exc_info[1]!r}"
        self._broken("C", text)


def run_seed(seed: int) -> Outcome:
    """Live through the world of a seed."""
    return World(seed).run()


def run_seeds(seeds: Iterable[int]) -> Iterable[Outcome]:
    """Live through the worlds of some seeds, one after another."""
    return map(run_seed, seeds)
