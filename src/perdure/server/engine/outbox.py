"""The outbox: what workflows tell each other, delivered exactly once.

A turn that has something to say to another workflow leaves a row in the outbox, in the same commit.
A row goes only when what it leads to is durable, and in the same commit as that. When a row is
durable, its message is delivered, as an input of its target:

* The target changes. The commit of that turn deletes the row. If the source waits for an answer,
  the turn leaves a row with the answer: it is delivered in its turn, and there are no answers to
  answers.
* The target refuses, or it was so already: nothing of it changes. The answer is decided on by the
  source at once, and the commit of that turn deletes the row.
* Neither changes (the source has closed, or nobody waits for an answer). The row alone is deleted.

Whatever crashes, then, finds the row with nothing of it done, or all of it done and no row:

    crash before the source's commit        neither message nor row: it was never said
    crash after it                          the row is read when the engine opens again
    crash while the target's turn is        the turn is lost, the row is there: delivered anew
    not durable
    crash after the target's commit         the row is gone, the answer's row is there
    crash between refusal and the source's  the row is there: decided anew, the target may have
    turn                                    come to see it otherwise, and nobody has heard it refuse
    crash before a row alone is deleted     delivered anew, with nothing to do

A commit that fails, or a workflow that is dropped, is the same as a crash, only smaller: the
message is delivered again. The committer finds out what became of a commit whose outcome is unknown
before anybody hears of it. That alone makes it exactly once within one store. A message carries
besides what its target knows it by (the source's run and event, as the request id of a child, a
signal or a cancel request; the pending record of an answer), so that one which came twice would
still be done once.

Order. Messages for one workflow are decided on in the order of their rows, without waiting for each
other's commit, so signals of one source keep their order, and a child's start is heard of before
its close. When a commit is lost, all that was decided on that workflow afterwards is lost with it,
and the heap of its lane puts them in order again.

What a source asked for and then did not wait for (it closed before the message was delivered) is
not done: no child starts, no signal is sent. That is how the real server behaves.

A workflow whose worker holds a task buffers what arrives, and when it buffers too much, the task
fails. So messages for it wait, in time, until the task closes: there is no hurry that would be
worth it.

Memory is bounded: when very many messages wait, further ones stay in the store, and are read from
there when there is room. Opening an engine is the same case.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple

from perdure.server.engine.api import EngineStopped, EngineUnavailable, NamespaceRef
from perdure.server.engine.committer import Committer
from perdure.server.engine.execution import Execution, ExecutionKey
from perdure.server.engine.pipeline import Pipeline
from perdure.server.engine.sealing import Outgoing
from perdure.server.engine.waiters import Waiters
from perdure.server.machines.errors import InvariantViolation, Rejected
from perdure.server.machines.ports import Address, Limits
from perdure.server.machines.registry import decode_envelope
from perdure.server.store.codec import unseal
from perdure.server.store.ports import CorruptBlob, OutboxRow, Store, StoreUnavailable

logger = logging.getLogger(__name__)

LANES_AT_ONCE = 64
"""Targets that are being loaded and decided on at the same time."""
WAITING_MAX = 10_000
"""Messages in memory that were not decided on yet; more wait in the store."""
PAGE = 1000
RETRY_SECONDS = 0.2
CROWDED_SECONDS = 1.0
"""How long to wait for news of a workflow that cannot hear more, before another look at it."""


class _Delivery(NamedTuple):
    """A message on its way; ordered by its row."""

    sequence: int
    outgoing: Outgoing


class _Lane:
    """The messages that wait for one workflow."""

    __slots__ = ("has_failed", "waiting")

    def __init__(self) -> None:
        self.waiting: list[_Delivery] = []
        self.has_failed = False


class Outbox:
    """Delivers the messages of one shard."""

    def __init__(
        self,
        store: Store,
        pipeline: Pipeline,
        committer: Committer,
        waiters: Waiters,
        limits: Limits,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        namespace_of: Callable[[int], NamespaceRef],
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._committer = committer
        self._waiters = waiters
        self._limits = limits
        self.prepare: Callable[[int, Any], Any] = lambda namespace, message: message
        """Adds to a message what only the shell knows; set by whoever wires us."""
        self._spawn = spawn
        self._namespace_of = namespace_of
        self._lanes: dict[ExecutionKey, _Lane] = {}
        self._room = asyncio.Semaphore(LANES_AT_ONCE)
        self._known: set[int] = set()
        """Rows that are in memory, or whose deletion is on its way to the store."""
        self._waiting = 0
        self._has_room = asyncio.Event()
        self._is_behind = False
        """Rows are in the store that are not in memory: new ones wait there behind them."""
        self._has_news = False
        self.waiting_max = WAITING_MAX

    def recover(self) -> None:
        """Deliver what an earlier engine left."""
        self._fall_behind()

    def publish(self, messages: Iterable[Outgoing]) -> None:
        """Rows have become durable: their messages are delivered."""
        for outgoing in messages:
            if outgoing.sequence in self._known:
                continue  # It was read from the store before its commit was answered.
            if self._is_behind:
                self._has_news = True
            elif self._waiting < self.waiting_max:
                self._enqueue(outgoing)
            else:
                self._fall_behind()

    # ---- lanes

    def _enqueue(self, outgoing: Outgoing) -> None:
        self._known.add(outgoing.sequence)
        self._waiting += 1
        key = (outgoing.namespace, outgoing.workflow_id, outgoing.kind)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
            self._spawn(self._work(key, lane))
        heapq.heappush(lane.waiting, _Delivery(outgoing.sequence, outgoing))

    async def _work(self, key: ExecutionKey, lane: _Lane) -> None:
        """Deliver what waits in a lane, oldest first, until nothing does."""
        namespace = self._namespace_of(key[0])
        while lane.waiting:
            if lane.has_failed:
                lane.has_failed = False
                await asyncio.sleep(RETRY_SECONDS)
            try:
                async with self._room:
                    execution = await self._pipeline.execution(namespace, key[1], key[2])
                    is_crowded = self._is_crowded(execution)
                    if not is_crowded:
                        await self._deliver_next(lane)
                if is_crowded:
                    await self._waiters.wait(execution, CROWDED_SECONDS)
            except EngineStopped:
                return
            except (EngineUnavailable, StoreUnavailable) as error:
                logger.warning("messages to %r have to wait: %s", key[1], error)
                lane.has_failed = True
            except CorruptBlob:
                logger.exception("messages to %r cannot be delivered", key[1])
                self._waiting -= len(lane.waiting)
                lane.waiting.clear()
        del self._lanes[key]

    async def _deliver_next(self, lane: _Lane) -> None:
        """Deliver the oldest message of a lane, or put it back."""
        outgoing = heapq.heappop(lane.waiting).outgoing
        self._waiting -= 1
        if self._waiting < self.waiting_max:
            self._has_room.set()
        try:
            await self._deliver(outgoing)
        except (EngineUnavailable, StoreUnavailable) as error:
            self._settle(outgoing, error)
        except (InvariantViolation, CorruptBlob):
            # A bug of ours, or of the disk: the row stays, for a version that can deliver it.
            logger.exception("message %d cannot be delivered", outgoing.sequence)

    def _is_crowded(self, execution: Execution) -> bool:
        return execution.machine.is_crowded(execution.run, self._limits)

    def _settle(self, outgoing: Outgoing, error: Exception | None) -> None:
        """The row is durably gone, or (it was lost) its message must be delivered again."""
        if error is None:
            self._known.discard(outgoing.sequence)
            return
        if isinstance(error, EngineStopped):
            return
        self._enqueue(outgoing)
        self._lanes[outgoing.namespace, outgoing.workflow_id, outgoing.kind].has_failed = True

    # ---- one message

    async def _deliver(self, outgoing: Outgoing) -> None:
        namespace = self._namespace_of(outgoing.namespace)
        message = self.prepare(outgoing.namespace, outgoing.message)
        target = Address(outgoing.kind, outgoing.workflow_id)
        machine = self._pipeline.machines[target.kind]
        sender = machine.sender_that_must_wait(message)
        if sender is not None and not await self._is_wanted(namespace, sender, message):
            self._acknowledge(outgoing)
            return
        came = await self._decide(namespace, target, message, outgoing)
        if came is None:
            return
        answer = machine.answer_to(message, came)
        if answer is not None:
            whom, reply = answer
            if await self._decide(namespace, whom, reply, outgoing) is None:
                return
        self._acknowledge(outgoing)

    async def _is_wanted(self, namespace: NamespaceRef, sender: Address, message: Any) -> bool:
        """Whether the source still waits; that it does not must be durable to count."""
        execution = await self._pipeline.execution(namespace, sender.id, sender.kind)
        if execution.machine.is_wanted(execution.run, message):
            return True
        await self._settled(execution)
        return False

    async def _decide(
        self, namespace: NamespaceRef, whom: Address, message: Any, outgoing: Outgoing
    ) -> Any:
        """Decide on a message. None: who hears it changes, and the row goes with that. Else nothing
        does, durably, and this is why."""
        execution = await self._pipeline.execution(namespace, whom.id, whom.kind)
        if self._is_crowded(execution):
            raise EngineUnavailable("the workflow task must close before it can hear more")
        try:
            came, write = self._pipeline.decide(execution, namespace, message)
        except Rejected as refusal:
            came, write = refusal, None
        if write is not None:
            write.outbox_deleted.append(outgoing.sequence)
            write.when_durable(lambda error: self._settle(outgoing, error))
            return None
        if isinstance(came, Rejected):
            await self._settled(execution)
            try:
                other = await self._pipeline.decide_on_other_run(execution, namespace, message)
                came = other or came
            except Rejected as refusal:
                came = refusal
        await self._settled(execution)
        return came

    async def _settled(self, execution: Execution) -> None:
        """Return when what was decided on is durable. Raises EngineUnavailable when it was lost."""
        await self._committer.settle(execution)
        if execution.is_dropped:
            raise EngineUnavailable("what the answer rested on was lost")

    def _acknowledge(self, outgoing: Outgoing) -> None:
        self._committer.acknowledge(outgoing.sequence, lambda error: self._settle(outgoing, error))

    # ---- from the store

    def _fall_behind(self) -> None:
        self._is_behind = True
        self._spawn(self._catch_up())

    async def _catch_up(self) -> None:
        """Read the rows that are not in memory, as there is room, until there are none."""
        after, self._has_news = 0, False
        while True:
            known = set(self._known)
            try:
                rows = await self._store.outbox(after, PAGE)
            except StoreUnavailable as error:
                logger.warning("the outbox cannot be read now: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for row in rows:
                after = row.sequence
                if row.sequence in known:
                    continue
                await self._wait_for_room()
                try:
                    self._enqueue(_outgoing(row))
                except CorruptBlob:
                    logger.exception("message %d cannot be read", row.sequence)
                    self._known.add(row.sequence)
            if rows:
                continue
            if not self._has_news:
                break
            after, self._has_news = 0, False
        self._is_behind = False

    async def _wait_for_room(self) -> None:
        while self._waiting >= self.waiting_max:
            self._has_room.clear()
            await self._has_room.wait()


def _outgoing(row: OutboxRow) -> Outgoing:
    envelope = decode_envelope(unseal(row.blob))
    return Outgoing(
        row.sequence,
        row.run,
        envelope.namespace,
        envelope.id,
        envelope.message,
        envelope.kind,
    )
