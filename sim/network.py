"""The network of a world: every call may be late, lost on the way there, or lost on the way back.

A call runs in the process of the engine and its caller in another one, so a crash of either leaves
the other alone: a caller whose engine crashed hears `Unavailable`, and an engine whose caller died
has its call cancelled, as gRPC does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from perdure.server.engine.api import EngineStopped, EngineUnavailable
from perdure.server.engine.engine import Engine
from perdure.server.machines.errors import Rejected
from perdure.transport import Transport
from sim.loop import Process, SimulatedLoop
from sim.trace import Trace

_T = TypeVar("_T")

Handler = Callable[[Engine], Coroutine[Any, Any, _T]]
"""The server's side of a call."""

ANSWER_SECONDS_MAX = 10.0
"""A call that waits for nothing but the engine is answered within this, or liveness is broken."""


class Unavailable(Exception):
    """The call failed on its way, and may be made again: it may or may not have been carried
    out."""


class _Call(NamedTuple):
    caller: Process
    server: Process
    work: asyncio.Task[None]


class Host(Protocol):
    """Where the engine runs, while it does."""

    engine: Engine | None
    office: Transport | None
    process: Process

    def broken(self, invariant: str, text: str) -> None:
        """Something is wrong that must never be."""
        ...


class Network:
    """Calls between clients and the engine."""

    def __init__(
        self, loop: SimulatedLoop, host: Host, trace: Trace, dice: random.Random, loss: float
    ) -> None:
        self.loss = loss
        """How often a message is lost, each way."""
        self._loop = loop
        self._host = host
        self._trace = trace
        self._dice = dice
        self._outstanding: dict[asyncio.Future[Any], _Call] = {}
        self._process = Process("network")

    async def call(
        self,
        name: str,
        handler: Handler[_T],
        *,
        waits_seconds: float = 0.0,
        answered: Callable[[_T], None] | None = None,
    ) -> _T:
        """Make a call and return its answer. `waits_seconds` is how long the engine may hold it;
        `answered` hears of the answer as it leaves the engine. Raises Unavailable, or what the
        engine refused with."""
        await asyncio.sleep(self._latency())
        engine = self._host.engine
        if engine is None or self._is_lost():
            raise Unavailable("the engine cannot be reached")
        self._trace.note("input", name)
        answer: asyncio.Future[_T] = self._loop.create_future()
        process = self._host.process
        work = self._loop.task_of(
            process, self._serve(name, handler, engine, answer, answered), name=name
        )
        self._outstanding[answer] = _Call(self._loop.current_process(), process, work)
        deadline = self._loop.call_later(
            waits_seconds + ANSWER_SECONDS_MAX, self._overdue, name, answer
        )
        try:
            return await answer
        finally:
            deadline.cancel()
            self._outstanding.pop(answer, None)
            if not work.done() and process.is_alive:
                self._loop.call_later(
                    self._latency(), work.cancel, context=self._loop.context_of(process)
                )

    async def frontend(self, method: str, request: bytes) -> bytes:
        """An RPC of the engine that runs, for handlers of calls. Raises CallFailed."""
        office = self._host.office
        assert office is not None, "it is there as long as the engine is"
        return await office.call(method, request)

    def caller_died(self, caller: Process) -> None:
        """Its connections broke: what the engine does for it is cancelled."""
        for answer, call in list(self._outstanding.items()):
            if call.caller is caller:
                del self._outstanding[answer]
                self._loop.call_later(
                    self._latency(), call.work.cancel, context=self._loop.context_of(call.server)
                )

    def hang_up(self) -> None:
        """The engine crashed: every call that it had not answered fails."""
        for answer in list(self._outstanding):
            self._send(answer, None, Unavailable("the connection broke"))
        self._outstanding.clear()

    async def _serve(
        self,
        name: str,
        handler: Handler[_T],
        engine: Engine,
        answer: asyncio.Future[_T],
        answered: Callable[[_T], None] | None,
    ) -> None:
        """The server's side: what leaves here has been said."""
        try:
            result = await handler(engine)
        except Rejected as refusal:
            self._trace.note("refusal", name, type(refusal).__name__)
            self._send(answer, None, refusal)
        except (EngineUnavailable, EngineStopped) as error:
            self._trace.note("failure", name, type(error).__name__)
            self._send(answer, None, Unavailable(str(error)))
        except Exception as error:
            self._host.broken("C", f"{name} was answered by {error!r}")
            self._send(answer, None, Unavailable(str(error)))
        else:
            self._trace.note("answer", name, _brief(result))
            if answered is not None:
                answered(result)
            self._send(answer, result, None)

    def _send(self, answer: asyncio.Future[_T], result: _T | None, error: Exception | None) -> None:
        """The way back. A lost answer is a broken connection: the caller learns of that much."""
        self._outstanding.pop(answer, None)
        if self._is_lost():
            result, error = None, Unavailable("the connection broke before the answer came")
        context = self._loop.context_of(self._process)
        self._loop.call_later(self._latency(), _settle, answer, result, error, context=context)

    def _overdue(self, name: str, answer: asyncio.Future[Any]) -> None:
        if not answer.done() and answer in self._outstanding:
            self._host.broken("L1", f"{name} was not answered in {ANSWER_SECONDS_MAX:.0f} s")

    def _latency(self) -> float:
        throw = self._dice.random()
        return 0.0 if throw < 0.3 else (throw * throw * throw) * 0.05

    def _is_lost(self) -> bool:
        return self.loss > 0 and self._dice.random() < self.loss


def _settle(answer: asyncio.Future[_T], result: _T | None, error: Exception | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
        answer.exception()  # Whoever asked may be dead: nobody has to hear of it.
    else:
        answer.set_result(cast(_T, result))


def _brief(result: object) -> str:
    run_id = getattr(result, "run_id", "")
    return f"{type(result).__name__}{' ' + run_id if run_id else ''}"
