"""Carries out one program on one server, one thing after the other, and keeps what is seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol

import msgspec
from google.protobuf.message import Message
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    ExecuteMultiOperationResponse,
    GetWorkflowExecutionHistoryRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from tests.differential.actions import ACTIONS, Place, go, poll_update, start, terminate
from tests.differential.board import BOARDS, Board, Waiting
from tests.differential.crew import UNVERSIONED, Crew
from tests.differential.deployments import DEPLOYMENT_ACTIONS
from tests.differential.endpoints import endpoints
from tests.differential.jobs import JobDriver
from tests.differential.program import Action, Program
from tests.differential.seen import Seen, Stuck
from tests.differential.settled import (
    RunView,
    has_no_worker,
    is_calling_back,
    successor_of,
    unsettled,
)

SETTLE_SECONDS_MAX = 30.0
GLANCE_SECONDS = 0.02
"""Between two looks at what is not at rest, at first; then ever longer."""
GLANCE_SECONDS_MAX = 0.2
GLANCE_GROWTH = 1.5
NEWS_SECONDS = 0.004
"""From when a worker is known to have come somewhere until the server has heard it."""
ITEMS_MAX = 200
WITH_CREW = frozenset({"deployments"})
"""Kinds of programs that have workers of their own."""
_ACTIONS = {**ACTIONS, **DEPLOYMENT_ACTIONS}
LOOKING = frozenset({"describe", "query", "poll", "look", "look at queue"})
"""Actions after which nothing has changed."""
NEEDS_WORKER = frozenset({"query", "update", "update-with-start"})
_ORDER = {"task": 0, "gate": 1, "activity": 2, "operation": 3}


async def carry_out(program: Program, client: Client, queue: str, nonce: str) -> Seen:
    """Runs the program to its end. An error of ours is part of what is seen."""
    board = Board(asyncio.get_running_loop())
    BOARDS[nonce] = board
    place = Place(client, queue, nonce)
    if program.kind in WITH_CREW:
        place = _with_crew(client, f"versioned-{nonce}", nonce)
    driver = DRIVERS[program.kind](program, place, board)
    try:
        async with endpoints(program, client, nonce, queue):
            await driver.play()
    except (Stuck, RPCError, TimeoutError) as error:
        driver.seen.error = f"{type(error).__name__}: {error}"
        await driver.abandon()
    finally:
        for waiting in list(board.waiting.values()):
            waiting.release("")
        if place.crew is not None:
            await place.crew.end()
        # Attempts that are left over still look for their board.
        asyncio.get_running_loop().call_later(SETTLE_SECONDS_MAX, BOARDS.pop, nonce)
    return driver.seen


def _with_crew(client: Client, queue: str, nonce: str) -> Place:
    """A place with a queue and workers of its own; one of no version is always there."""
    crew = Crew(client, queue, nonce)
    crew.begin(UNVERSIONED)
    return Place(client, queue, nonce, crew)


class WorkflowDriver:
    """Serves whatever waits, in a fixed order, each when nothing else can happen."""

    def __init__(self, program: Program, place: Place, board: Board) -> None:
        self._program = program
        self._place = place
        self._board = board
        self._runs: dict[str, RunView] = {}
        self._races: list[asyncio.Task[None]] = []
        """What clients do beside the main line."""
        self._resets: set[str] = set()
        self.seen = Seen(place.nonce, place.queue)
        board.on_race = self._begin_race

    async def play(self) -> None:
        """From the first start to the last close."""
        for top in self._program.workflows:
            for index, action in enumerate(top.before):
                await self._act(f"{top.name} {index + 1}: {action.kind} {action.target}", action)
                await self._settle()
            await self._answer(
                f"start {top.name}", start(self._place, top.name, top.plan, top.options)
            )
            await self._settle()
        for _ in range(ITEMS_MAX):
            waiting = self._next()
            if waiting is None:
                break
            await self._serve(waiting)
        await self._end()
        self._keep()

    async def abandon(self) -> None:
        """Ends what is open, however it can."""
        self._keep()
        for run in self._runs.values():
            with contextlib.suppress(RPCError):
                await terminate(self._place, run.workflow_id.rpartition("-")[0])

    def _keep(self) -> None:
        self.seen.runs = sorted(
            self._runs.values(),
            key=lambda run: (
                (run.workflow_id, run.events[0].event_time.ToNanoseconds())
                if run.events
                else (run.workflow_id, 0)
            ),
        )
        self.seen.regions = self._board.regions

    def _next(self) -> Waiting | None:
        candidates = [waiting for waiting in self._waiting() if not waiting.is_served]
        return min(
            candidates, key=lambda each: (_ORDER[each.kind], each.workflow, each.name), default=None
        )

    def _waiting(self) -> Iterator[Waiting]:
        """What waits in runs that are open."""
        for waiting in list(self._board.waiting.values()):
            run = self._runs.get(waiting.run_id)
            if run is None or run.is_open:
                yield waiting

    async def _serve(self, waiting: Waiting) -> None:
        for index, action in enumerate(waiting.actions):
            label = f"{waiting.name} {index + 1}: {action.kind} {action.target}"
            if waiting.kind == "task" and action.kind == "update":
                await self._update_behind(label, waiting, action)
            else:
                await self._act(label, action)
            if action.kind not in LOOKING:
                await self._settle()
        waiting.is_served = True
        if waiting.kind == "gate":
            workflow = waiting.workflow.rpartition("-")[0]
            await self._answer(f"go {waiting.name}", go(self._place, workflow, waiting.name))
        elif waiting.token:
            await self._answer(f"complete {waiting.name}", self._place.complete(waiting.token))
        else:
            waiting.release("")
        await self._settle()

    async def _act(self, label: str, action: Action, *, is_racing: bool = False) -> None:
        if action.kind == "release":
            self._release(action)
            return
        if action.kind in NEEDS_WORKER and self._has_no_worker(action.target) and not is_racing:
            return
        if action.kind == "reset":
            # A run that was reset comes to its gates again, where it is left alone.
            if label in self._resets:
                return
            self._resets.add(label)
        await self._answer(label, _ACTIONS[action.kind](self._place, action, self._board))

    def _has_no_worker(self, name: str) -> bool:
        """Whether what is asked of the workflow would have to wait for a worker."""
        workflow_id = self._place.workflow_id(name)
        return any(
            run.workflow_id == workflow_id and run.is_open and has_no_worker(run)
            for run in self._runs.values()
        )

    async def _update_behind(self, label: str, waiting: Waiting, action: Action) -> None:
        """Sends an update to a workflow whose task is held: it is answered after that."""
        workflow = waiting.workflow.rpartition("-")[0]
        action = msgspec.structs.replace(action, target=workflow)
        self._races.append(asyncio.create_task(self._act(label, action)))
        async with asyncio.timeout(SETTLE_SECONDS_MAX):
            while not self._races[-1].done():
                try:
                    await poll_update(self._place, action, self._board)
                except RPCError as error:
                    if error.status != RPCStatusCode.NOT_FOUND:
                        raise
                else:
                    return
                await asyncio.sleep(GLANCE_SECONDS)

    def _release(self, action: Action) -> None:
        for waiting in self._waiting():
            if waiting.name == action.target and not waiting.token:
                waiting.is_served = True
                waiting.release(action.how)

    def _begin_race(self, name: str, actions: tuple[Action, ...]) -> None:
        for index, action in enumerate(actions):
            label = f"{name} {index + 1}: {action.kind} {action.target}"
            self._races.append(asyncio.create_task(self._act(label, action, is_racing=True)))

    async def _end(self) -> None:
        """Terminates what is still open, in order."""
        while is_open := [run for run in self._runs.values() if run.is_open]:
            first = min(is_open, key=lambda run: run.workflow_id)
            name = first.workflow_id.rpartition("-")[0]
            await self._answer(f"end {name}", terminate(self._place, name))
            await self._settle()

    async def _answer(self, label: str, call: Awaitable[Message]) -> None:
        """Keeps the answer, in the order in which was asked."""
        place = len(self.seen.answers)
        self.seen.answers.append((label, RPCError("no answer", RPCStatusCode.UNKNOWN, b"")))
        try:
            answer: Message | RPCError = await call
        except RPCError as refusal:
            answer = refusal
        self.seen.answers[place] = (label, answer)
        started = answer
        if isinstance(answer, ExecuteMultiOperationResponse):
            started = answer.responses[0].start_workflow
        run_id = getattr(started, "run_id", "")
        if run_id:
            name = label.split()[-1]
            self._meet(self._place.workflow_id(name), str(run_id))

    # Coming to rest

    async def _settle(self) -> None:
        """Waits until nothing can happen any more, seen twice without a change between."""
        before: Any = None
        # Only what the held task brings can answer whoever waits.
        is_held = any(each.kind == "task" and not each.is_served for each in self._waiting())
        reason, glance = "", GLANCE_SECONDS
        try:
            async with asyncio.timeout(SETTLE_SECONDS_MAX):
                await self._news(GLANCE_SECONDS)
                while True:
                    version = self._board.version
                    self._board.changed.clear()
                    await self._look()
                    reason = unsettled(self._runs, self._waiting())
                    now = (version, {run.run_id: len(run.events) for run in self._runs.values()})
                    is_racing = not is_held and any(not race.done() for race in self._races)
                    if reason or is_racing or version != self._board.version:
                        before = None
                        await self._news(glance)
                        glance = min(glance * GLANCE_GROWTH, GLANCE_SECONDS_MAX)
                    elif before == now or len(self._runs) == 1:
                        return
                    else:
                        before = now
        except TimeoutError:
            raise Stuck(reason or "a race goes on") from None

    async def _news(self, seconds: float) -> None:
        """Waits until a worker tells something, or that long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._board.changed.wait()
            await asyncio.sleep(NEWS_SECONDS)

    async def _look(self) -> None:
        """Reads what has changed, until no new run is found."""
        looked: set[str] = set()
        while fresh := [run for key, run in self._runs.items() if key not in looked]:
            looked.update(run.run_id for run in fresh)
            await asyncio.gather(*(self._look_at(run) for run in fresh))

    async def _look_at(self, run: RunView) -> None:
        was_closed = run.description.workflow_execution_info.HasField("close_time")
        if not run.is_open and was_closed and not is_calling_back(run):
            return
        service = self._place.client.workflow_service
        execution = WorkflowExecution(workflow_id=run.workflow_id, run_id=run.run_id)
        try:
            run.description = await service.describe_workflow_execution(
                DescribeWorkflowExecutionRequest(
                    namespace=self._place.client.namespace, execution=execution
                )
            )
        except RPCError as error:
            # The real server answers so while it is writing the run's first events.
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return
        length = run.description.workflow_execution_info.history_length
        if length != len(run.events):
            # Behind that may be a workflow task that is not recorded, and vanishes or changes.
            run.events = (await self._events(execution))[:length]
            for event in run.events:
                self._meet_all(event, run.workflow_id)

    async def _events(self, execution: WorkflowExecution) -> list[HistoryEvent]:
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self._place.client.namespace, execution=execution
        )
        response = await self._place.client.workflow_service.get_workflow_execution_history(request)
        events = list(response.history.events)
        while response.next_page_token:
            request.next_page_token = response.next_page_token
            response = await self._place.client.workflow_service.get_workflow_execution_history(
                request
            )
            events.extend(response.history.events)
        return events

    def _meet_all(self, event: HistoryEvent, workflow_id: str) -> None:
        child = event.child_workflow_execution_started_event_attributes.workflow_execution
        self._meet(child.workflow_id, child.run_id)
        if event.HasField("nexus_operation_started_event_attributes"):
            for link in event.links:
                self._meet(link.workflow_event.workflow_id, link.workflow_event.run_id)
        self._meet(workflow_id, successor_of(event))

    def _meet(self, workflow_id: str, run_id: str) -> None:
        if run_id and run_id not in self._runs:
            self._runs[run_id] = RunView(workflow_id, run_id)


class Driver(Protocol):
    """Carries out one program."""

    seen: Seen

    async def play(self) -> None:
        """To its end."""

    async def abandon(self) -> None:
        """It has gone wrong."""


DRIVERS: Mapping[str, Callable[[Program, Place, Board], Driver]] = {
    "workflows": WorkflowDriver,
    "nexus": WorkflowDriver,
    "jobs": JobDriver,
    "deployments": WorkflowDriver,
}
"""By kind of program."""
