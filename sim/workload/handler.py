"""The handler of Nexus operations: a process that outlives every engine.

It knows operations by their request ids, so a call that is made again finds what the one before
began. What it tells is in the ledger before it is told.
"""

from __future__ import annotations

import asyncio
import random

import msgspec
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import (
    ApplicationFailureInfo,
    CanceledFailureInfo,
    Failure,
    NexusHandlerFailureInfo,
)

from perdure.server.engine.nexus.calls import CancelCall, Completion, Endpoint, StartCall
from perdure.server.machines.errors import Rejected
from perdure.server.machines.nexus.outcomes import (
    AsyncStarted,
    CancelAccepted,
    CancelOutcome,
    HandlerFailed,
    OperationFailed,
    OperationOutcome,
    StartOutcome,
    SyncSuccess,
    Unreachable,
)
from perdure.server.machines.ports import SECOND_NS
from sim.ledger import Ledger
from sim.loop import Process, SimulatedLoop
from sim.namespace import NAMESPACE
from sim.network import Network
from sim.witness import Witness
from sim.workload.facts import OperationPlan
from sim.workload.nexus import ENDPOINTS
from sim.workload.service import insist
from sim.workload.worker import Mood

LATENCY_SECONDS_MAX = 0.05


class _Kept(msgspec.Struct):
    """An operation, as its handler knows it."""

    plan: OperationPlan
    call: StartCall
    calls: int = 0
    outcome: OperationOutcome | None = None
    ending: asyncio.Task[None] | None = None
    """Who tells how it ends, once it has been started."""
    is_cancelled: asyncio.Event = msgspec.field(default_factory=asyncio.Event)


class Handler:
    """See `NexusCaller`."""

    def __init__(
        self,
        loop: SimulatedLoop,
        network: Network,
        witness: Witness,
        ledger: Ledger,
        dice: random.Random,
        mood: Mood,
    ) -> None:
        self._loop = loop
        self._network = network
        self._witness = witness
        self._ledger = ledger
        self._dice = dice
        self._mood = mood
        self._process = Process("handler")
        self._kept: dict[str, _Kept] = {}

    def find(self, endpoint: str) -> Endpoint | None:
        """There is one."""
        return Endpoint(ENDPOINTS[endpoint], endpoint) if endpoint in ENDPOINTS else None

    async def start(self, call: StartCall) -> StartOutcome:
        """Begin an operation, or tell what is known of it."""
        await self._travel()
        if self._misbehaves():
            return Unreachable("nobody is there")
        payload = Payload.FromString(call.payload)
        plan = msgspec.json.decode(payload.data, type=OperationPlan)
        kept = self._kept.setdefault(call.request_id, _Kept(plan, call))
        kept.calls += 1
        answer = self._answer(kept)
        await self._travel()
        if answer is None or self._misbehaves():
            await asyncio.sleep(call.timeout_ns / SECOND_NS)
            return Unreachable("no answer came", is_timeout=True)
        return answer

    async def cancel(self, call: CancelCall) -> CancelOutcome:
        """End an operation early, if it goes on."""
        await self._travel()
        if self._misbehaves():
            return _failed("INTERNAL", is_retryable=True)
        kept = self._kept.get(call.operation_token.removeprefix("token of "))
        if kept is None:
            return _failed("NOT_FOUND", is_retryable=False)
        kept.is_cancelled.set()
        await self._travel()
        return CancelAccepted()

    def _answer(self, kept: _Kept) -> StartOutcome | None:
        """None: there is none."""
        request_id, plan = kept.call.request_id, kept.plan
        if kept.outcome is not None:
            return kept.outcome
        if kept.calls <= plan.failures:
            return _failed("INTERNAL", is_retryable=True)
        match plan.kind:
            case "refuse":
                return _failed("BAD_REQUEST", is_retryable=False)
            case "hang":
                return None
            case "later":
                if kept.ending is None:
                    kept.ending = self._loop.task_of(
                        self._process, self._end(kept), name=f"operation {request_id}"
                    )
                return AsyncStarted(f"token of {request_id}")
            case _:
                kept.outcome = self._outcome(kept)
                return kept.outcome

    def _outcome(self, kept: _Kept) -> OperationOutcome:
        request_id = kept.call.request_id
        if kept.is_cancelled.is_set():
            failure = Failure(message="cancelled", canceled_failure_info=CanceledFailureInfo())
            return OperationFailed(failure.SerializeToString(), is_canceled=True)
        if kept.plan.fails:
            failure = Failure(
                message="as planned", application_failure_info=ApplicationFailureInfo(type="T")
            )
            return OperationFailed(failure.SerializeToString())
        result = Payload(data=f'"{request_id} is done"'.encode())
        self._ledger.operation_results[request_id] = result.data
        return SyncSuccess(result.SerializeToString())

    async def _end(self, kept: _Kept) -> None:
        """Work on it, or until it is asked to end; then tell, until it is heard."""
        try:
            async with asyncio.timeout(kept.plan.takes_ms / 1_000):
                await kept.is_cancelled.wait()
        except TimeoutError:
            pass
        kept.outcome = self._outcome(kept)
        address = kept.call.completion
        completion = Completion(
            address=address,
            outcome=kept.outcome,
            operation_token=f"token of {kept.call.request_id}",
        )
        try:
            await insist(
                lambda: self._network.call(
                    f"complete-operation {address.id} {address.scheduled_event_id}",
                    lambda engine: engine.operations.complete(NAMESPACE, completion),
                    answered=lambda answer: self._witness.operation_ended(address),
                ),
                self._dice,
            )
        except Rejected:
            return  # It is over already.

    async def _travel(self) -> None:
        await asyncio.sleep(self._dice.random() ** 3 * LATENCY_SECONDS_MAX)

    def _misbehaves(self) -> bool:
        return self._mood.chance > 0 and self._dice.random() < self._mood.chance


def _failed(error_type: str, *, is_retryable: bool) -> HandlerFailed:
    failure = Failure(
        message="as planned", nexus_handler_failure_info=NexusHandlerFailureInfo(type=error_type)
    )
    return HandlerFailed(failure.SerializeToString(), error_type, is_retryable)
