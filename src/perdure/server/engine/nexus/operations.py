"""Nexus operations: calls their handlers, and hands completions to the subjects that wait for
them: workflows, and operations without one.

That a call is under way is durable before it is made, and what became of it is an input of its
subject. When that is lost with the process, the next engine has it made again as soon as it opens;
when it is lost with a commit, the run's wake-up does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from perdure.server.engine.api import EngineStopped, EngineUnavailable, NamespaceRef
from perdure.server.engine.execution import Execution
from perdure.server.engine.nexus.breaker import BreakerState, CircuitBreaker
from perdure.server.engine.nexus.calls import (
    CancelCall,
    Completion,
    NexusCaller,
    OperationAddress,
    StartCall,
)
from perdure.server.engine.nexus.owners import Content, ReadEvent, owners
from perdure.server.engine.pipeline import Pipeline
from perdure.server.machines.errors import InvariantViolation, NotFound, Rejected
from perdure.server.machines.nexus.outcomes import (
    CancelOutcome,
    HandlerFailed,
    StartOutcome,
    Unreachable,
)
from perdure.server.machines.ports import Address, Kind
from perdure.server.machines.workflow.commands.schedule_nexus_operation import SYSTEM_ENDPOINT
from perdure.server.machines.workflow.effects import CallNexus
from perdure.server.machines.workflow.inputs import (
    NexusCancelAnswered,
    NexusStartAnswered,
)
from perdure.server.machines.workflow.nexus.state import (
    Calls,
    CallState,
    CancelState,
    PendingOperation,
)
from perdure.server.store.ports import CorruptBlob

logger = logging.getLogger(__name__)

CALLS_AT_ONCE = 100
"""To one endpoint: a call may wait for its handler for as long as its timeout."""
DESTINATIONS_MAX = 10_000
"""How many endpoints are known as ones that have been called; the oldest are forgotten."""
NO_ADDRESS = "operation not found"


class Destination:
    """An endpoint, as one namespace knows it."""

    def __init__(self) -> None:
        self.breaker = CircuitBreaker()
        self.room = asyncio.Semaphore(CALLS_AT_ONCE)


class NexusOperations:
    """The Nexus operations of one shard, whoever has them."""

    def __init__(
        self,
        pipeline: Pipeline,
        caller: NexusCaller,
        read_event: ReadEvent,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._pipeline = pipeline
        self._caller = caller
        self._owners = owners(read_event)
        self._spawn = spawn
        self.own_start: Callable[[StartCall], Awaitable[StartOutcome]] = caller.start
        """Carries out operations of the server's own endpoint."""
        self._under_way: set[CallNexus] = set()
        self._destinations: dict[tuple[int, str], Destination] = {}

    def call(self, namespace: NamespaceRef, whom: Address, effect: CallNexus) -> None:
        """Make a call, unless it is being made."""
        name = msgspec.structs.replace(effect, timeout_ns=0, operation_timeout_ns=0)
        if name not in self._under_way:
            self._under_way.add(name)
            self._spawn(self._call(namespace, whom, effect, name))

    async def complete(self, namespace: NamespaceRef, completion: Completion) -> None:
        """See `NexusCompletions`."""
        address = completion.address
        owner = self._owners.get(address.kind)
        if owner is None:
            raise NotFound(NO_ADDRESS)
        kind, message = Kind(address.kind), owner.completion(completion)
        await self._pipeline.submit(namespace, address.id, message, kind)

    def blocked_reason(self, namespace: NamespaceRef, endpoint_id: str) -> str:
        """Why no calls get through to an endpoint; "" when they do."""
        known = self._destinations.get((namespace.number, endpoint_id))
        state = BreakerState.CLOSED if known is None else known.breaker.state(_now())
        return "" if state is BreakerState.CLOSED else f"The circuit breaker is {state}."

    async def _call(
        self, namespace: NamespaceRef, whom: Address, effect: CallNexus, name: CallNexus
    ) -> None:
        try:
            wanted = await self._wanted(namespace, whom, effect)
            if wanted is None:
                return
            destination = self._destination(namespace, wanted[1].operation.endpoint_id)
            async with destination.room:
                # It may have ended while there was no room.
                wanted = await self._wanted(namespace, whom, effect)
                if wanted is None or not destination.breaker.allows(_now()):
                    return  # The wake-up asks again, if it still makes sense.
                outcome = await self._made(namespace, *wanted, effect, destination)
            answer = _answer(effect, outcome)
            await self._pipeline.submit(namespace, whom.id, answer, whom.kind)
        except NotFound:
            pass  # Whoever called has ended meanwhile: nobody waits for the answer.
        except (Rejected, EngineUnavailable, EngineStopped) as error:
            logger.warning("a Nexus operation of %r has to be called again: %s", whom.id, error)
        except (InvariantViolation, CorruptBlob):
            logger.exception("a Nexus operation of %r cannot be called", whom.id)
        finally:
            self._under_way.discard(name)

    async def _wanted(
        self, namespace: NamespaceRef, whom: Address, effect: CallNexus
    ) -> tuple[Execution, PendingOperation] | None:
        """The operation of whoever asks for a call, if that still makes sense."""
        execution = await self._pipeline.execution(namespace, whom.id, whom.kind)
        pending = self._owners[whom.kind].pending(execution, effect)
        return (execution, pending) if pending and _is_due(pending.calls, effect) else None

    async def _made(
        self,
        namespace: NamespaceRef,
        execution: Execution,
        pending: PendingOperation,
        effect: CallNexus,
        destination: Destination,
    ) -> StartOutcome | CancelOutcome:
        operation, breaker = pending.operation, destination.breaker
        outcome: StartOutcome | CancelOutcome | None = None
        try:
            owner = self._owners[execution.key[2]]
            content = await owner.content(namespace, execution, effect)
            if effect.is_cancel:
                call = _cancel_call(namespace, effect, pending, content)
                outcome = await self._caller.cancel(call)
            else:
                start = _start_call(namespace, execution, effect, pending, content)
                is_own = operation.endpoint == SYSTEM_ENDPOINT
                outcome = await (self.own_start if is_own else self._caller.start)(start)
            return outcome
        finally:
            if outcome is None:
                breaker.given_up()
            elif isinstance(outcome, HandlerFailed | Unreachable) and outcome.is_retryable:
                breaker.failed(_now())
            else:
                breaker.succeeded()

    def _destination(self, namespace: NamespaceRef, endpoint_id: str) -> Destination:
        key = (namespace.number, endpoint_id)
        known = self._destinations.get(key)
        if known is None:
            if len(self._destinations) >= DESTINATIONS_MAX:
                del self._destinations[next(iter(self._destinations))]
            known = self._destinations[key] = Destination()
        return known


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_due(calls: Calls, effect: CallNexus) -> bool:
    """Whether a call still makes sense."""
    if not effect.is_cancel:
        return calls.state == CallState.SCHEDULED and calls.attempt + 1 == effect.attempt
    cancellation = calls.cancellation
    return (
        calls.state == CallState.STARTED
        and cancellation is not None
        and cancellation.state == CancelState.SCHEDULED
        and cancellation.attempt + 1 == effect.attempt
    )


def _start_call(
    namespace: NamespaceRef,
    execution: Execution,
    effect: CallNexus,
    pending: PendingOperation,
    content: Content,
) -> StartCall:
    operation = pending.operation
    _, subject_id, kind = execution.key
    return StartCall(
        namespace=namespace,
        endpoint_id=operation.endpoint_id,
        endpoint=operation.endpoint,
        service=operation.service,
        operation=operation.operation,
        request_id=operation.request_id,
        completion=OperationAddress(
            namespace.id,
            kind,
            subject_id,
            effect.run_id,
            operation.scheduled_event_id,
            operation.request_id,
        ),
        payload=content.payload,
        header=content.header,
        links=(content.link.SerializeToString(),),
        timeout_ns=effect.timeout_ns,
        operation_timeout_ns=effect.operation_timeout_ns,
    )


def _cancel_call(
    namespace: NamespaceRef, effect: CallNexus, pending: PendingOperation, content: Content
) -> CancelCall:
    operation = pending.operation
    return CancelCall(
        namespace=namespace,
        endpoint_id=operation.endpoint_id,
        endpoint=operation.endpoint,
        service=operation.service,
        operation=operation.operation,
        operation_token=pending.calls.operation_token,
        header=content.header,
        timeout_ns=effect.timeout_ns,
    )


def _answer(
    effect: CallNexus, outcome: StartOutcome | CancelOutcome
) -> NexusStartAnswered | NexusCancelAnswered:
    names = (effect.run_id, effect.scheduled_event_id, effect.attempt)
    if effect.is_cancel:
        return NexusCancelAnswered(*names, outcome)  # type: ignore[arg-type]
    return NexusStartAnswered(*names, outcome)  # type: ignore[arg-type]
