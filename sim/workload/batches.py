"""A foreman: has batch operations carried out, stops some of them, and waits for the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from temporalio.api.batch.v1 import (
    BatchOperationCancellation,
    BatchOperationDeletion,
    BatchOperationReset,
    BatchOperationSignal,
    BatchOperationTermination,
)
from temporalio.api.enums.v1 import BatchOperationState, ResetType
from temporalio.api.workflowservice.v1 import (
    DescribeBatchOperationRequest,
    DescribeBatchOperationResponse,
    ListBatchOperationsRequest,
    ListBatchOperationsResponse,
    StartBatchOperationRequest,
    StartBatchOperationResponse,
    StopBatchOperationRequest,
    StopBatchOperationResponse,
)

from perdure.transport import Code
from sim.ids import SeededIds
from sim.ledger import Batch, Ledger
from sim.namespace import NAMESPACE
from sim.witness import Witness
from sim.workload.service import Refused, Service

SIGNAL = "batch"
"""What the signals of batch operations are called."""
PAUSE_SECONDS_MAX = 3.0
WATCH_SECONDS = 0.5


class Foreman:
    """One client process: a fixed number of batch operations."""

    def __init__(
        self,
        name: str,
        service: Service,
        witness: Witness,
        ledger: Ledger,
        dice: random.Random,
        *,
        workflow_ids: list[str],
        batches: int,
    ) -> None:
        self._name = name
        self._service = service
        self._witness = witness
        self._ledger = ledger
        self._dice = dice
        self._ids = SeededIds(dice)
        self._workflow_ids = workflow_ids
        self._batches = batches

    async def run(self) -> None:
        """Begin them, one after the other or two at a time, and see all of them end."""
        for _ in range(self._batches):
            await asyncio.sleep(self._dice.random() * PAUSE_SECONDS_MAX)
            job_id = self._ids.uuid()
            await self._start(job_id)
            if self._ledger.batches[job_id].is_started and self._dice.random() < 0.3:
                await asyncio.sleep(self._dice.random() * 0.3)
                await self._stop(job_id)
        for job_id in list(self._ledger.batches):
            while True:
                if not await self._is_running(job_id):
                    break
                await asyncio.sleep(WATCH_SECONDS)
        listed = await self._service.rpc(
            ListBatchOperationsRequest(namespace=NAMESPACE.name), ListBatchOperationsResponse
        )
        self._witness.batches_listed([info.job_id for info in listed.operation_info])

    async def _start(self, job_id: str) -> None:
        dice = self._dice
        operation = dice.choice(list(_OPERATIONS))
        # What ends runs is for one workflow: something has to be left.
        is_narrow = operation in ("terminate", "delete", "reset") or dice.random() < 0.3
        workflow_id = dice.choice(self._workflow_ids) if is_narrow else ""
        request = StartBatchOperationRequest(
            namespace=NAMESPACE.name,
            job_id=job_id,
            reason="many of them",
            visibility_query=(
                f"WorkflowId = '{workflow_id}'" if workflow_id else "WorkflowType = 'program'"
            ),
            max_operations_per_second=dice.choice((0.0, 0.0, 3.0, 20.0)),
        )
        _OPERATIONS[operation](request)
        batch = self._ledger.batches[job_id] = Batch(operation, workflow_id)
        self._witness.batch_asked(batch)
        if operation == "delete":
            self._ledger.forgotten.add(workflow_id)
            self._ledger.deleting.add(workflow_id)
        try:
            await self._service.rpc(
                request,
                StartBatchOperationResponse,
                lambda answer: self._witness.batch_started(job_id),
            )
        except Refused as refusal:
            # It may have been begun before, and the answer was lost.
            batch.is_started = refusal.code == Code.ALREADY_EXISTS

    async def _stop(self, job_id: str) -> None:
        batch = self._ledger.batches[job_id]
        batch.is_stopping = True
        request = StopBatchOperationRequest(
            namespace=NAMESPACE.name, job_id=job_id, reason="enough", identity=self._name
        )
        try:
            await self._service.rpc(request, StopBatchOperationResponse)
        except Refused:
            return  # It is over already.
        batch.is_stopped = True

    async def _is_running(self, job_id: str) -> bool:
        request = DescribeBatchOperationRequest(namespace=NAMESPACE.name, job_id=job_id)
        try:
            described = await self._service.rpc(request, DescribeBatchOperationResponse)
        except Refused:
            return False
        return described.state == BatchOperationState.BATCH_OPERATION_STATE_RUNNING


def _terminate(request: StartBatchOperationRequest) -> None:
    request.termination_operation.CopyFrom(BatchOperationTermination(identity="batch"))


def _signal(request: StartBatchOperationRequest) -> None:
    request.signal_operation.CopyFrom(BatchOperationSignal(signal=SIGNAL, identity="batch"))


def _cancel(request: StartBatchOperationRequest) -> None:
    request.cancellation_operation.CopyFrom(BatchOperationCancellation(identity="batch"))


def _delete(request: StartBatchOperationRequest) -> None:
    request.deletion_operation.CopyFrom(BatchOperationDeletion(identity="batch"))


def _reset(request: StartBatchOperationRequest) -> None:
    request.reset_operation.CopyFrom(
        BatchOperationReset(identity="batch", reset_type=ResetType.RESET_TYPE_LAST_WORKFLOW_TASK)
    )


_OPERATIONS: dict[str, Callable[[StartBatchOperationRequest], None]] = {
    "signal": _signal,
    "cancel": _cancel,
    "terminate": _terminate,
    "delete": _delete,
    "reset": _reset,
}
