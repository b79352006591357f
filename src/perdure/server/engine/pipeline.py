"""THE function: decide, commit, publish, reply.

`Pipeline.decide` takes one decision, synchronously, on a workflow that is in memory, and puts it
into the open group together with everything that must become durable with it: dispatch rows, and,
when a poll is waiting for the task that it offers, the start of that task as well. What the outside
may see (a reply, a delivered task, a wake-up, news for those who read history) happens when the
group is durable.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from perdure.server.engine.api import EngineUnavailable, NamespaceRef
from perdure.server.engine.cache import ExecutionCache
from perdure.server.engine.clock import Clock
from perdure.server.engine.committer import Committer
from perdure.server.engine.execution import Execution, ExecutionKey
from perdure.server.engine.flight_recorder import FlightRecorder
from perdure.server.engine.sealing import Outgoing, PendingRun, PendingWrite
from perdure.server.machines.effects import DeleteRun, SendMessage
from perdure.server.machines.errors import InvalidArgument, InvariantViolation, Rejected
from perdure.server.machines.ports import (
    Address,
    Ids,
    Kind,
    Limits,
    Machine,
    MachineDecision,
    MachineRun,
    Names,
)
from perdure.server.machines.registry import MACHINES
from perdure.server.machines.workflow.effects import (
    CallNexus,
    InvokeCallback,
    LookAgain,
    OfferTask,
    SettleQuery,
    TellUpdate,
    WithdrawTask,
)
from perdure.server.machines.workflow.inputs import Refused, WorkflowTaskCompleted
from perdure.server.machines.workflow.turn import Batch
from perdure.server.store.codec import unseal
from perdure.server.store.ports import LoadedRun, RunNumber, Store, StoreUnavailable

ATTEMPTS_MAX = 3
"""How often an input is decided on anew when the workflow under it was dropped before it was
decided."""


class Place(msgspec.Struct, frozen=True):
    """Where a run of a decision is stored, if it is neither the current one nor quite new.
    `is_copy`: its history was copied there, but for `rest`."""

    number: RunNumber
    is_copy: bool = False
    rest: Batch | None = None


NOWHERE: Mapping[str, Place] = MappingProxyType({})


class Publisher(Protocol):
    """Who hears of what has been decided and of what has become durable."""

    def offered(
        self, execution: Execution, namespace: NamespaceRef, run: RunNumber, offer: OfferTask
    ) -> None:
        """A task is on offer, but not durably yet: a waiting poll may have it in the same group."""
        ...

    def offered_in_memory(
        self, execution: Execution, namespace: NamespaceRef, offer: OfferTask
    ) -> None:
        """A task is on offer that is stored nowhere."""
        ...

    def look_again(self, execution: Execution, effect: LookAgain) -> None:
        """The current run must be woken up, though nothing that is stored says so."""
        ...

    def invoke(self, namespace: NamespaceRef, workflow_id: str, effect: InvokeCallback) -> None:
        """Somebody must be told how a run has ended: that it is under way is durable."""
        ...

    def call_nexus(self, namespace: NamespaceRef, whom: Address, effect: CallNexus) -> None:
        """The handler of a Nexus operation must be called: that this is under way is durable."""
        ...

    def durable(self, execution: Execution, namespace: NamespaceRef, pending: PendingRun) -> None:
        """What a group did to a run is durable."""
        ...

    def sent(self, messages: list[Outgoing]) -> None:
        """Outbox rows are durable."""
        ...

    def unheard(
        self, namespace: NamespaceRef, workflow_id: str, completed: WorkflowTaskCompleted
    ) -> None:
        """The answer to a completion is durable, and did not reach its worker."""
        ...


class Pipeline:
    """Decisions of one shard."""

    def __init__(
        self,
        store: Store,
        cache: ExecutionCache,
        committer: Committer,
        clock: Clock,
        ids: Ids,
        limits: Limits,
        recorder: FlightRecorder,
        *,
        last_run: RunNumber,
        last_message: int,
        machines: Mapping[Kind, Machine] = MACHINES,
    ) -> None:
        self._store = store
        self._cache = cache
        self._committer = committer
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._recorder = recorder
        self.machines = machines
        self._last_run = last_run
        self._last_message = last_message
        self._loads: dict[ExecutionKey, asyncio.Task[Execution]] = {}
        self.publisher: Publisher
        self.on_decided: Callable[[ExecutionKey], None] | None = None
        """Whom to call when something was decided, if anybody wants to know."""

    async def submit(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: Any,
        kind: Kind = Kind.WORKFLOW,
        *,
        decided: Callable[[Execution, Any], None] | None = None,
    ) -> Any:
        """Decide on an input; the answer, also a refusal, when what it rests on is durable.
        `decided` is called before anything else can be decided; again, if that was lost."""
        for _ in range(ATTEMPTS_MAX):
            execution = await self.execution(namespace, workflow_id, kind)
            try:
                reply, write = self.decide(execution, namespace, message)
                if decided is not None:
                    decided(execution, reply)
            except Rejected as refusal:
                await self._committer.settle(execution)
                other = None
                if not execution.is_dropped:
                    other = await self.decide_on_other_run(execution, namespace, message)
                if other is not None:
                    return other
                if execution.is_dropped:
                    continue  # What the refusal rested on was lost: decide anew.
                raise refusal
            if write is None:
                await self._committer.settle(execution)
                if execution.is_dropped:
                    continue
                return reply
            try:
                await self.when_durable(write, reply)
            except (EngineUnavailable, asyncio.CancelledError):
                if isinstance(reply, WorkflowTaskCompleted):
                    self._take_back(namespace, workflow_id, write, reply)
                raise
            if isinstance(reply, Refused):
                raise InvalidArgument(reply.message)
            return reply
        raise EngineUnavailable(f"{kind.name.lower()} {workflow_id!r} cannot be written now")

    def _take_back(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        write: PendingWrite,
        completed: WorkflowTaskCompleted,
    ) -> None:
        """Nobody gets the tasks that come with an answer, which may become durable all the same."""
        if completed.workflow_task is None and not completed.activity_tasks:
            return
        write.when_durable(
            lambda error: (
                None if error else self.publisher.unheard(namespace, workflow_id, completed)
            )
        )

    def expect_answer(self, execution: Execution) -> None:
        """A worker has been given a task in the open group, and is about to answer it."""
        self._committer.expect_answer(execution)

    def reserve_run(self) -> RunNumber:
        """A number that no other run will have."""
        self._last_run += 1
        return self._last_run

    def decide(
        self,
        execution: Execution,
        namespace: NamespaceRef,
        message: Any,
        places: Mapping[str, Place] = NOWHERE,
    ) -> tuple[Any, PendingWrite | None]:
        """Take one decision on a subject in memory: its reply, and the write that it is part of
        (None: it changed nothing). `places` by run id."""
        now_ns = self._clock.now_ns()
        try:
            decision = execution.machine.decide(
                execution.subject, message, now_ns, self._ids, self._limits
            )
        except Rejected:
            raise
        except Exception as error:
            self._recorder.report(execution.key, message, error)
            self._committer.drop(execution, EngineUnavailable("a decision failed half-way"))
            if isinstance(error, InvariantViolation):
                raise
            raise InvariantViolation(f"{type(message).__name__}: {error!r}") from error
        self._recorder.note(execution.key, now_ns, type(message))
        if self.on_decided is not None:
            self.on_decided(execution.key)
        if not decision.has_changes:
            for effect in decision.effects:
                self._volatile_effect(execution, namespace, effect)
            return decision.reply, None
        write = self._committer.pending_write(execution, namespace)
        self._take_over(execution, namespace, write, decision, places)
        return decision.reply, write

    async def execution(
        self, namespace: NamespaceRef, workflow_id: str, kind: Kind = Kind.WORKFLOW
    ) -> Execution:
        """The subject, from memory or from the store (then with no run, if there is none)."""
        key = (namespace.number, workflow_id, kind)
        execution = self._cache.get(key)
        while execution is None:
            load = self._loads.get(key)
            if load is None:
                await self._committer.settle_dropped(key)
                if self._store.absent(*key):
                    return self._take_in(namespace, key, None)
                load = asyncio.get_running_loop().create_task(self._load(namespace, key))
                self._loads[key] = load
            loaded = await asyncio.shield(load)
            execution = self._cache.get(key) or (None if loaded.is_dropped else loaded)
        return execution

    async def settled(
        self, namespace: NamespaceRef, workflow_id: str, kind: Kind = Kind.WORKFLOW
    ) -> Execution:
        """The subject, with nothing of it on its way to disk. Raises EngineUnavailable."""
        while True:
            execution = await self.execution(namespace, workflow_id, kind)
            await self._committer.settle(execution)
            if not execution.is_dropped:
                return execution

    async def load_other_run(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        run_id: str,
        kind: Kind = Kind.WORKFLOW,
    ) -> tuple[RunNumber, Any] | None:
        """A run that is not the current one, as stored: read it, never decide on it."""
        try:
            key = uuid.UUID(run_id).bytes
        except ValueError:
            return None
        try:
            loaded = await self._store.load_run(namespace.number, workflow_id, key, kind)
        except StoreUnavailable as error:
            raise EngineUnavailable(str(error)) from error
        return None if loaded is None else (loaded.run, run_of(loaded, self.machines))

    # ---- into the group

    def _take_over(
        self,
        execution: Execution,
        namespace: NamespaceRef,
        write: PendingWrite,
        decision: MachineDecision,
        places: Mapping[str, Place],
    ) -> None:
        # Of the run that was current before: those of a new one come with this turn.
        rows = None if execution.may_have_rows else execution.rows
        for segment in decision.segments:
            place = places.get(segment.run.run_id)
            if segment.is_new:
                execution.current_run = place.number if place else self.reserve_run()
                execution.tail = type(execution.tail)()
                execution.rows = set()
                execution.may_have_rows = False
                execution.committed_event_id = 0
            pending = self._pending_run(execution, write, segment.run, place, is_new=segment.is_new)
            for batch in segment.batches:
                execution.tail.append(batch.first_event_id, batch.last_event_id, batch.entries)
            pending.add(segment)
        offers: list[tuple[PendingRun, OfferTask]] = []
        for effect in decision.effects:
            match effect:
                case OfferTask() if effect.is_stored:
                    offers.append((self._offer(write, effect), effect))
                case WithdrawTask():
                    self._withdraw(write, effect, rows)
                case SendMessage():
                    self._send(write, effect)
                case DeleteRun():
                    self._delete(write, effect)
                case _:
                    self._volatile_effect(execution, namespace, effect)
        # Only now may polls have them: what was offered may have been withdrawn in the same turn.
        for pending, offer in offers:
            if pending.offers.get(offer.scheduled_event_id) is offer:
                self.publisher.offered(execution, namespace, pending.number, offer)

    def _volatile_effect(self, execution: Execution, namespace: NamespaceRef, effect: Any) -> None:
        """What rests on no row of its own, but on all that was decided on the workflow before."""
        match effect:
            case OfferTask():
                self.publisher.offered_in_memory(execution, namespace, effect)
            case LookAgain():
                self.publisher.look_again(execution, effect)
            case InvokeCallback():
                self._committer.when_settled(
                    execution,
                    lambda error: (
                        None
                        if error
                        else self.publisher.invoke(namespace, execution.key[1], effect)
                    ),
                )
            case CallNexus():
                self._committer.when_settled(
                    execution,
                    lambda error: (
                        None
                        if error
                        else self.publisher.call_nexus(
                            namespace, Address(execution.key[2], execution.key[1]), effect
                        )
                    ),
                )
            case SettleQuery():
                self._committer.when_settled(execution, _settling(execution, effect))
            case TellUpdate():
                self._committer.when_settled(execution, _telling(execution, effect))
            case _:
                raise InvariantViolation(f"{type(effect).__name__} needs a change of its run")

    def when_settled(
        self, execution: Execution, callback: Callable[[Exception | None], None]
    ) -> None:
        """See `Committer.when_settled`."""
        self._committer.when_settled(execution, callback)

    def _pending_run(
        self,
        execution: Execution,
        write: PendingWrite,
        run: MachineRun,
        place: Place | None,
        *,
        is_new: bool,
    ) -> PendingRun:
        for pending in reversed(write.runs):
            if pending.run is run:
                return pending
        number = place.number if place else execution.current_run
        pending = PendingRun(number=number, run=run, is_new=is_new)
        if place is not None and place.is_copy:
            pending.is_copy = True
            if place.rest is not None:
                pending.batches.append(place.rest)
        if place is not None and not is_new:
            execution.others_changed += 1
            write.runs.insert(0, pending)  # The last of them is the newest run of the workflow.
        else:
            write.runs.append(pending)
        write.when_durable(
            lambda error: (
                None if error else self.publisher.durable(execution, write.namespace, pending)
            )
        )
        return pending

    def _offer(self, write: PendingWrite, offer: OfferTask) -> PendingRun:
        for pending in write.runs:
            if pending.run.run_id == offer.run_id:
                pending.offers[offer.scheduled_event_id] = offer
                pending.rows_deleted.discard(offer.scheduled_event_id)
                return pending
        raise InvariantViolation(f"run {offer.run_id} offers a task in a turn of another run")

    def _withdraw(self, write: PendingWrite, effect: WithdrawTask, rows: set[int] | None) -> None:
        """Take a task back. `rows` are those that the store may have; None when any may be."""
        event_id = effect.scheduled_event_id
        for pending in write.runs:
            if pending.run.run_id != effect.run_id:
                continue
            pending.offers.pop(event_id, None)
            if rows is None or event_id in rows:
                pending.rows_deleted.add(event_id)

    def _delete(self, write: PendingWrite, effect: DeleteRun) -> None:
        for pending in write.runs:
            if pending.run.run_id == effect.run_id:
                pending.is_deleted = True
                return
        raise InvariantViolation(f"run {effect.run_id} is deleted in a turn of another run")

    def _send(self, write: PendingWrite, effect: SendMessage) -> None:
        if not write.outbox:
            write.when_durable(lambda error: None if error else self.publisher.sent(write.outbox))
        self._last_message += 1
        for pending in write.runs:
            if pending.run.run_id == effect.run_id:
                write.outbox.append(
                    Outgoing(
                        self._last_message,
                        pending.number,
                        write.namespace.number,
                        effect.workflow_id,
                        effect.message,
                        effect.kind,
                    )
                )
                return
        raise InvariantViolation(f"run {effect.run_id} sends a message in a turn of another run")

    # ---- waiting

    @staticmethod
    async def when_durable(write: PendingWrite, reply: Any) -> Any:
        """The answer, once what it rests on is durable. Raises EngineUnavailable."""
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        write.answer(durable)
        await durable
        return reply

    # ---- loading

    async def _load(self, namespace: NamespaceRef, key: ExecutionKey) -> Execution:
        try:
            loaded = await self._store.load_current(*key)
        except StoreUnavailable as error:
            raise EngineUnavailable(str(error)) from error
        finally:
            # Here, and not when the task is done: who finds a finished load awaits it without a
            # pause, and would do so for ever once what it has loaded is dropped.
            del self._loads[key]
        return self._take_in(namespace, key, loaded)

    def _take_in(
        self, namespace: NamespaceRef, key: ExecutionKey, loaded: LoadedRun | None
    ) -> Execution:
        """Hold a subject in memory as it is stored: None when no run has its id."""
        machine = self.machines[key[2]]
        run = None if loaded is None else run_of(loaded, self.machines)
        execution = Execution(key, machine, machine.subject(_names(namespace, key[1]), run))
        if loaded is not None and run is not None:
            execution.current_run = loaded.run
            execution.version = loaded.version
            execution.committed_event_id = run.last_event_id
            execution.may_have_rows = True
        self._cache.add(execution)
        return execution

    async def decide_on_other_run(
        self, execution: Execution, namespace: NamespaceRef, message: Any
    ) -> Any:
        """An input may name a run that is over while another has its workflow id: it is decided on
        as what it is, closed. What closed it must be durable by now."""
        machine, current = execution.machine, execution.run
        run_id = machine.run_named_by(message)
        if not run_id or current is None or current.run_id == run_id:
            return None
        _, subject_id, kind = execution.key
        found = await self.load_other_run(namespace, subject_id, run_id, kind)
        if found is None or found[1].is_open:
            return None
        subject = machine.subject(_names(namespace, subject_id), found[1])
        decision = machine.decide(subject, message, self._clock.now_ns(), self._ids, self._limits)
        if decision.has_changes:
            raise InvariantViolation("a decision changes a run that is over")
        return decision.reply


def update_key(run_id: str, update_id: str) -> str:
    """The name under which an execution has those who wait for an update."""
    return f"update {run_id} {update_id}"


def _telling(execution: Execution, effect: TellUpdate) -> Callable[[Exception | None], None]:
    """Whoever waits for the update hears of it when what it rests on is durable."""
    status = effect.status

    def tell(error: Exception | None) -> None:
        future = execution.waiting.pop(update_key(status.run_id, status.update_id), None)
        if future is not None and not future.done():
            if error is None:
                future.set_result(status)
            else:
                future.set_exception(EngineUnavailable(str(error)))

    return tell


def _settling(execution: Execution, effect: SettleQuery) -> Callable[[Exception | None], None]:
    """Whoever waits for the query hears of it when what it rests on is durable."""

    def settle(error: Exception | None) -> None:
        future = execution.waiting.pop(effect.query_id, None)
        if error is None and future is not None and not future.done():
            future.set_result(effect)

    return settle


def _names(namespace: NamespaceRef, subject_id: str) -> Names:
    return Names(namespace.name, namespace.id, subject_id, namespace.retention_ns)


def run_of(loaded: LoadedRun, machines: Mapping[Kind, Machine] = MACHINES) -> Any:
    """The machine's state of a stored run. Raises CorruptBlob."""
    return machines[Kind(loaded.identity.kind)].decode_run(
        unseal(loaded.head),
        [(record.kind, record.key, unseal(record.blob)) for record in loaded.records],
    )
