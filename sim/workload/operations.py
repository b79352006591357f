"""A client of Nexus operations without a workflow: starts, watches, ends and forgets a few of
them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import nexus_pb2
from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionRequest

from perdure.server.machines.errors import Rejected
from perdure.server.machines.ports import Address, Kind
from perdure.server.machines.standalone.inputs import Describe, RequestCancel, Started, Terminate
from perdure.server.machines.standalone_nexus import inputs
from perdure.server.machines.wire import duration
from sim.ids import SeededIds
from sim.ledger import Ledger, OperationStart
from sim.network import Unavailable
from sim.witness import Witness
from sim.workload.facts import MILLISECOND_NS
from sim.workload.nexus import ENDPOINT, ENDPOINTS
from sim.workload.plans import random_operation
from sim.workload.service import Service

IDS = ("operation-0", "operation-1")
PAUSE_SECONDS_MAX = 1.5
_REUSE = (
    nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_ALLOW_DUPLICATE,
    nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_ALLOW_DUPLICATE,
    nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
    nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_REJECT_DUPLICATE,
)
_CONFLICT = (
    nexus_pb2.NEXUS_OPERATION_ID_CONFLICT_POLICY_FAIL,
    nexus_pb2.NEXUS_OPERATION_ID_CONFLICT_POLICY_USE_EXISTING,
)


class Caller:
    """One client process: a fixed number of requests, with pauses."""

    def __init__(
        self,
        name: str,
        service: Service,
        witness: Witness,
        ledger: Ledger,
        dice: random.Random,
        *,
        requests: int,
    ) -> None:
        self._name = name
        self._service = service
        self._witness = witness
        self._ledger = ledger
        self._dice = dice
        self._ids = SeededIds(dice)
        self._requests = requests
        self._run_ids: dict[str, str] = {}

    async def run(self) -> None:
        """Make all requests. What the service refuses is an answer too."""
        for index in range(self._requests):
            await asyncio.sleep(self._dice.random() ** 2 * PAUSE_SECONDS_MAX)
            request = self._start if index == 0 else self._choose()
            try:
                await request(self._dice.choice(IDS))
            except (Rejected, Unavailable):
                continue

    def _choose(self) -> Callable[[str], Awaitable[None]]:
        return self._dice.choices(
            (self._start, self._describe, self._cancel, self._terminate, self._delete),
            (8, 2, 3, 1, 1),
        )[0]

    async def _start(self, operation_id: str) -> None:
        dice, plan = self._dice, random_operation(self._dice)
        request = StartNexusOperationExecutionRequest(
            operation_id=operation_id,
            endpoint=ENDPOINT,
            service="service",
            operation="operation",
            identity=self._name,
            request_id=self._ids.uuid(),
            input=Payload(data=msgspec.json.encode(plan)),
            id_reuse_policy=dice.choice(_REUSE),
            id_conflict_policy=dice.choice(_CONFLICT),
            schedule_to_close_timeout=duration(plan.schedule_to_close_ms * MILLISECOND_NS),
        )
        for field in ("schedule_to_start", "start_to_close"):
            length_ms: int = getattr(plan, f"{field}_ms")
            if length_ms:
                getattr(request, f"{field}_timeout").CopyFrom(duration(length_ms * MILLISECOND_NS))
        request_id = request.request_id
        self._ledger.operations[request_id] = OperationStart(operation_id)
        for _ in range(2 if dice.random() < 0.2 else 1):
            reply = await self._ask(
                "start",
                operation_id,
                lambda: inputs.StartOperation(_copy(request), ENDPOINTS[ENDPOINT]),
                lambda reply: self._witness.operation_started(request_id, reply),
            )
            assert isinstance(reply, Started)
            self._run_ids[operation_id] = reply.run_id

    async def _describe(self, operation_id: str) -> None:
        run_id = self._run_id(operation_id)
        await self._ask("describe", operation_id, lambda: Describe(run_id))

    async def _cancel(self, operation_id: str) -> None:
        run_id, request_id = self._run_id(operation_id), self._ids.uuid()
        await self._ask("cancel", operation_id, lambda: RequestCancel(run_id, "", request_id, ""))

    async def _terminate(self, operation_id: str) -> None:
        run_id, request_id = self._run_id(operation_id), self._ids.uuid()
        await self._ask(
            "terminate",
            operation_id,
            lambda: Terminate(run_id, "", request_id, ""),
            lambda reply: self._witness.operation_terminated(operation_id, run_id),
        )

    async def _delete(self, operation_id: str) -> None:
        run_id = self._run_ids.get(operation_id, "")
        if not run_id:
            return
        self._ledger.deleted.setdefault(run_id, False)
        await self._service.delete(operation_id, run_id, kind=Kind.NEXUS_OPERATION)

    def _run_id(self, operation_id: str) -> str:
        """A run that this client knows, or whichever is current."""
        return self._run_ids.get(operation_id, "") if self._dice.random() < 0.5 else ""

    async def _ask(
        self,
        what: str,
        operation_id: str,
        message: Callable[[], object],
        answered: Callable[[object], None] | None = None,
    ) -> object:
        whom = Address(Kind.NEXUS_OPERATION, operation_id)
        return await self._service.ask(f"{what} {operation_id}", whom, message, answered)


def _copy(request: StartNexusOperationExecutionRequest) -> StartNexusOperationExecutionRequest:
    copy = StartNexusOperationExecutionRequest()
    copy.CopyFrom(request)
    return copy
