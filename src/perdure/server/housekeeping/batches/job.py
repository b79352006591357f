"""A batch operation as it is stored: what was asked for, and how far it has come."""

from __future__ import annotations

import msgspec
from temporalio.api.batch.v1 import BatchOperationInfo
from temporalio.api.common.v1 import Execution
from temporalio.api.enums.v1 import BatchOperationState, BatchOperationType, ExecutionType
from temporalio.api.workflowservice.v1 import (
    DescribeBatchOperationResponse,
    StartBatchOperationRequest,
)

from perdure.server.housekeeping.batches.operations import OPERATIONS
from perdure.server.machines.wire import set_timestamp
from perdure.server.store.codec import seal, unseal
from perdure.server.store.ports import BatchRow

RUNNING = BatchOperationState.BATCH_OPERATION_STATE_RUNNING
COMPLETED = BatchOperationState.BATCH_OPERATION_STATE_COMPLETED
FAILED = BatchOperationState.BATCH_OPERATION_STATE_FAILED


class Job(msgspec.Struct, kw_only=True):
    """One batch operation. Its progress is stored with each page; what was done of a page that was
    not finished is done again, which changes nothing."""

    namespace: int
    job_id: str
    run_id: str
    request: bytes
    """A serialised StartBatchOperationRequest."""
    type: int
    identity: str
    start_ns: int
    state: int = RUNNING
    close_ns: int = 0
    total: int = 0
    complete: int = 0
    failed: int = 0
    done_executions: int = 0
    """How many of the executions that the request lists are done."""
    page_token: bytes = b""
    """Where the list of the query's workflows goes on."""

    @property
    def is_running(self) -> bool:
        """Whether there is more to do."""
        return self.state == RUNNING

    def closed(self, state: int, now_ns: int) -> Job:
        """As it is when it is over."""
        return msgspec.structs.replace(self, state=state, close_ns=now_ns)

    def take_over(self, closed: Job) -> None:
        """It is over."""
        self.state, self.close_ns = closed.state, closed.close_ns

    def row(self) -> BatchRow:
        """What is stored of it."""
        return BatchRow(self.namespace, self.job_id, seal(msgspec.msgpack.encode(self)))


def job_of(row: BatchRow) -> Job:
    """A stored job. Raises CorruptBlob."""
    return msgspec.msgpack.decode(unseal(row.blob), type=Job)


def executions_of(request: StartBatchOperationRequest) -> list[Execution]:
    """What a request lists; empty when it has a query."""
    if request.target_executions:
        return list(request.target_executions)
    is_on_activities = OPERATIONS[request.WhichOneof("operation") or ""].is_on_activities
    kind = (
        ExecutionType.EXECUTION_TYPE_ACTIVITY
        if is_on_activities
        else ExecutionType.EXECUTION_TYPE_WORKFLOW
    )
    return [
        Execution(
            type=kind,
            business_id=execution.workflow_id,
            run_id=execution.run_id,
        )
        for execution in request.executions
    ]


def described(job: Job) -> DescribeBatchOperationResponse:
    """What DescribeBatchOperation answers."""
    request = StartBatchOperationRequest.FromString(job.request)
    response = DescribeBatchOperationResponse(
        operation_type=BatchOperationType.ValueType(job.type),
        job_id=job.job_id,
        state=BatchOperationState.ValueType(job.state),
        total_operation_count=job.total,
        complete_operation_count=job.complete,
        failure_operation_count=job.failed,
        identity=job.identity,
        reason=request.reason,
        query=request.visibility_query,
        executions=executions_of(request),
    )
    set_timestamp(response.start_time, job.start_ns)
    if job.close_ns:
        set_timestamp(response.close_time, job.close_ns)
    return response


def listed(job: Job) -> BatchOperationInfo:
    """What ListBatchOperations shows of it."""
    info = BatchOperationInfo(
        job_id=job.job_id,
        state=BatchOperationState.ValueType(job.state),
        operation_type=BatchOperationType.ValueType(job.type),
    )
    set_timestamp(info.start_time, job.start_ns)
    if job.close_ns:
        set_timestamp(info.close_time, job.close_ns)
    return info
