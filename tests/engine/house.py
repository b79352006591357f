"""An engine in virtual time, on a store that can be held back, made to fail, and cut off.

Nothing here really waits: the loop's time jumps to whatever is due next, and the engine's clock
follows it.
"""

from __future__ import annotations

import asyncio
import inspect
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

from temporalio.api.history.v1 import History, HistoryEvent

from perdure.server.engine.api import (
    ActivityTaskWithInput,
    NamespaceRef,
    Poll,
    QueryTaskWithHistory,
    WorkflowTaskWithHistory,
)
from perdure.server.engine.callbacks import Post, no_post
from perdure.server.engine.engine import Engine
from perdure.server.engine.nexus.calls import CancelCall, Endpoint, NexusCaller, StartCall
from perdure.server.machines.nexus.outcomes import CancelOutcome, StartOutcome
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.state import Run
from perdure.server.store.faulty import FaultyStore
from perdure.server.store.memory import MemoryStore
from perdure.server.store.ports import Commit, CommitResult, Store
from perdure.server.visibility.projection import visibility_row
from tests.machines import nexus, requests
from tests.machines.world import BEGIN_NS, CountingIds, type_name

NAMESPACE = NamespaceRef(1, "namespace-id", "default")
POLL_SECONDS = 30.0
VIRTUAL_SECONDS_MAX = 20_000.0
R = TypeVar("R")


class VirtualSelector(selectors.DefaultSelector):
    """Never waits: it says how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Skip the time until the next timer; without one, everything hangs: say so."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        assert timeout is not None, "everything waits for something that nobody will do"
        self.slept += max(timeout, 0.0)
        assert self.slept < VIRTUAL_SECONDS_MAX, "it never ends"
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes when nothing is left to do."""

    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds of virtual time."""
        return self._virtual.slept


class VirtualClock:
    """Wall time that follows the loop; `stall` is the time that a stopped process does not see."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stalled_ns = 0

    def now_ns(self) -> int:
        """The time now."""
        return BEGIN_NS + self._stalled_ns + round(self._loop.time() * SECOND_NS)

    def stall(self, seconds: float) -> None:
        """Wall time passed, and the loop did not run."""
        self._stalled_ns += round(seconds * SECOND_NS)


class Wire:
    """What one engine has of a store: commits can be held back, and all of it can be cut."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._may_commit = asyncio.Event()
        self._may_commit.set()
        self._is_cut = False
        self.commits: list[Commit] = []
        """Those that were handed over."""

    def hold(self) -> None:
        """Commits wait from now on."""
        self._may_commit.clear()

    def release(self) -> None:
        """Held commits go on."""
        self._may_commit.set()

    def cut(self) -> None:
        """Nothing is ever answered any more, and nothing reaches the store."""
        self._is_cut = True
        self.release()

    async def commit(self, commit: Commit) -> CommitResult:
        """As the store, when it may."""
        self.commits.append(commit)
        await self._may_commit.wait()
        await self._unless_cut()
        return await self._inner.commit(commit)

    async def _unless_cut(self) -> None:
        if self._is_cut:
            await asyncio.get_running_loop().create_future()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any) -> Any:
            await asyncio.sleep(0)  # Others have a turn meanwhile, as with a store that is read.
            await self._unless_cut()
            return await method(*args)

        return call


class House:
    """A store, and the engine that lives on it."""

    def __init__(self) -> None:
        self.faults = FaultyStore(MemoryStore())
        self.clock = VirtualClock()
        self.ids = CountingIds()
        self.leases_lost = 0
        self.background: asyncio.Task[None] | None = None
        """What a test has begun that goes on for ever."""
        self.post: Post = no_post
        self.limits = DEFAULT_LIMITS
        """Of the engines that are opened from now on."""
        self.caller: NexusCaller | None = None
        """Who carries calls of Nexus operations, when they are made."""
        self.engine: Engine
        self.wire: Wire

    async def open(self, *, executions_max: int = 20_000, workers_are_dead: bool = False) -> Engine:
        """Open an engine on the store."""
        self.wire = Wire(self.faults)
        self.engine = await Engine.open(
            cast(Store, self.wire),
            shard=1,
            clock=self.clock,
            ids=self.ids,
            limits=self.limits,
            project=lambda namespace, workflow_id, run: visibility_row(run),
            namespace_of=lambda number: NAMESPACE,
            on_lease_lost=self._lost_lease,
            executions_max=executions_max,
            workers_are_dead=workers_are_dead,
            post=lambda request, timeout_seconds: self.post(request, timeout_seconds),
            caller=_Caller(self),
        )
        return self.engine

    async def crash(self, *, workers_are_dead: bool = False) -> None:
        """The process is gone: what was not durable never was. Another engine opens."""
        self.wire.cut()
        await self.open(workers_are_dead=workers_are_dead)

    def _lost_lease(self) -> None:
        self.leases_lost += 1

    # ---- clients

    async def start(self, name: str, **options: str) -> inputs.WorkflowStarted:
        """Start a workflow."""
        request = requests.start(options)
        request.workflow_id = name
        reply = await self.submit(name, inputs.StartWorkflow(request))
        assert isinstance(reply, inputs.WorkflowStarted)
        return reply

    async def signal(self, name: str, **options: str) -> None:
        """Signal a workflow."""
        await self.submit(name, inputs.SignalWorkflow("", requests.signal("go", options)))

    async def terminate(self, name: str) -> None:
        """Terminate a workflow."""
        await self.submit(name, inputs.TerminateWorkflow("", requests.terminate({})))

    async def submit(self, name: str, message: inputs.Input) -> inputs.Reply:
        """Anything."""
        return await self.engine.submit(NAMESPACE, name, message)

    async def run(self, name: str) -> Run:
        """The workflow as described."""
        return (await self.engine.describe(NAMESPACE, name, "")).run

    async def history(self, name: str) -> list[HistoryEvent]:
        """Its events."""
        page = await self.engine.read_history(
            NAMESPACE, name, "", first_event_id=1, events_max=1000
        )
        return list(History.FromString(page.history).events)

    async def types(self, name: str) -> list[str]:
        """The types of its events."""
        return [type_name(event) for event in await self.history(name)]

    # ---- workers

    async def poll(
        self,
        queue: str = "queue",
        *,
        sticky_for: str = "",
        seconds: float = POLL_SECONDS,
        takes_early: bool = False,
    ) -> WorkflowTaskWithHistory | None:
        """Poll a workflow task."""
        poll = Poll(
            NAMESPACE,
            queue,
            "worker",
            sticky_for,
            worker_instance="worker-1",
            takes_early=takes_early,
        )
        found = await self.engine.poll_workflow_task(poll, seconds)
        assert not isinstance(found, QueryTaskWithHistory)
        return found

    async def take(self, queue: str = "queue") -> WorkflowTaskWithHistory:
        """Poll a workflow task that must be there."""
        found = await self.poll(queue)
        assert found is not None, "no workflow task came"
        return found

    async def poll_activity(self, seconds: float = POLL_SECONDS) -> ActivityTaskWithInput | None:
        """Poll an activity task."""
        return await self.engine.poll_activity_task(Poll(NAMESPACE, "queue", "worker"), seconds)

    async def complete(
        self, task: WorkflowTaskWithHistory, commands: str, **options: str
    ) -> inputs.Reply:
        """Complete a workflow task."""
        token = task.task.token
        request = requests.completion(commands, [], options)
        message = inputs.CompleteWorkflowTask(token, request, endpoints=nexus.ENDPOINTS)
        return await self.submit(token.workflow_id, message)


class _Caller:
    """Whoever carries calls in a house at the time."""

    def __init__(self, house: House) -> None:
        self._house = house

    def find(self, endpoint: str) -> Endpoint | None:
        return self._now.find(endpoint)

    async def start(self, call: StartCall) -> StartOutcome:
        return await self._now.start(call)

    async def cancel(self, call: CancelCall) -> CancelOutcome:
        return await self._now.cancel(call)

    @property
    def _now(self) -> NexusCaller:
        assert self._house.caller is not None, "nobody was to be called"
        return self._house.caller


def simulated(test: Callable[[House], Awaitable[None]]) -> Callable[[], None]:
    """A test in virtual time, with a house of its own, whose engine is open."""

    async def main() -> None:
        house = House()
        await house.open()
        await test(house)
        assert house.engine.recorder.violations == 0

    def run() -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main())

    run.__name__ = getattr(test, "__name__", "test")
    run.__doc__ = test.__doc__
    return run


def spawn(work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
    """Begin something, to see later what came of it."""
    return asyncio.get_running_loop().create_task(work)


async def turns(count: int = 50) -> None:
    """Let everything that is ready happen, without time passing."""
    for _ in range(count):
        await asyncio.sleep(0)


def none_done(tasks: Sequence[asyncio.Task[Any]]) -> bool:
    """Whether nobody has been answered."""
    return not any(task.done() for task in tasks)
