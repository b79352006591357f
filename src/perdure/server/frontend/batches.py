"""StartBatchOperation, StopBatchOperation, DescribeBatchOperation, ListBatchOperations."""

from __future__ import annotations

from temporalio.api.enums.v1 import ExecutionType
from temporalio.api.workflowservice.v1 import (
    DescribeBatchOperationRequest,
    ListBatchOperationsRequest,
    ListBatchOperationsResponse,
    StartBatchOperationRequest,
    StartBatchOperationResponse,
    StopBatchOperationRequest,
    StopBatchOperationResponse,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import is_too_long
from perdure.server.housekeeping.batches.job import Job, described, listed
from perdure.server.housekeeping.batches.operations import OPERATIONS
from perdure.server.machines.errors import (
    AlreadyStarted,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from perdure.server.visibility.query.lexer import QuerySyntaxError
from perdure.server.visibility.query.parser import parse_condition
from perdure.transport import Caller, CallFailed, Code

PAGE_SIZE = 100
RATE_MIN = 0.001
"""So that a wait between two operations is a number."""
QUERY_BEFORE = "select * from dummy where "
"""What Temporal puts before a query to see whether it is one: its errors tell places in all of
it."""
GO_NAMES = {name: "".join(part.title() for part in name.split("_")) for name in OPERATIONS}
"""Operations as Temporal's refusals call them."""


async def start_batch_operation(
    services: Services, request: StartBatchOperationRequest, caller: Caller
) -> bytes:
    """Begin to do something to many workflows; it goes on after this is answered."""
    namespace = services.bind(request.namespace)
    _check(services, request)
    async with services.batches.starting:
        await _start(services, namespace, request)
    return StartBatchOperationResponse().SerializeToString()


async def _start(
    services: Services, namespace: NamespaceRef, request: StartBatchOperationRequest
) -> None:
    batches = services.batches
    await batches.forget_older(namespace.number, namespace.retention_ns)
    running = sum(job.is_running for job in batches.of(namespace.number))
    if running >= services.limits.batches_max:
        raise ResourceExhausted("Max concurrent batch operations is reached", is_concurrency=True)
    known = batches.find(namespace.number, request.job_id)
    if known is not None:
        raise _already_started(known)
    operation = request.WhichOneof("operation") or ""
    job = Job(
        namespace=namespace.number,
        job_id=request.job_id,
        run_id=services.ids.uuid(),
        request=request.SerializeToString(),
        type=OPERATIONS[operation].type,
        identity=getattr(getattr(request, operation), "identity", ""),
        start_ns=services.clock.now_ns(),
    )
    try:
        await batches.start(job)
    except CallFailed as failure:
        if failure.code != Code.INVALID_ARGUMENT:
            raise
        text = failure.message.removeprefix("invalid query: ")
        raise InvalidArgument(f"invalid visibility query: {text}") from failure


async def stop_batch_operation(
    services: Services, request: StopBatchOperationRequest, caller: Caller
) -> bytes:
    """Do no more of a batch."""
    namespace = services.bind(request.namespace)
    if not request.job_id:
        raise InvalidArgument("JobId is not set on request.")
    if not request.reason:
        raise InvalidArgument("Reason is not set on request.")
    job = _find(services, namespace, request.job_id)
    if not job.is_running:
        raise NotFound("workflow execution already completed")
    await services.batches.stop(job)
    return StopBatchOperationResponse().SerializeToString()


async def describe_batch_operation(
    services: Services, request: DescribeBatchOperationRequest, caller: Caller
) -> bytes:
    """How far a batch has come."""
    namespace = services.bind(request.namespace)
    if not request.job_id:
        raise InvalidArgument("JobId is not set on request.")
    return described(_find(services, namespace, request.job_id)).SerializeToString()


async def list_batch_operations(
    services: Services, request: ListBatchOperationsRequest, caller: Caller
) -> bytes:
    """Pages of batches, the newest first. The token is the id of the last one of a page."""
    namespace = services.bind(request.namespace)
    jobs = services.batches.of(namespace.number)
    if request.next_page_token:
        last = request.next_page_token.decode(errors="replace")
        places = [place for place, job in enumerate(jobs) if job.job_id == last]
        if not places:
            raise InvalidArgument("Invalid NextPageToken.")
        jobs = jobs[places[0] + 1 :]
    size = request.page_size if 0 < request.page_size <= PAGE_SIZE else PAGE_SIZE
    page = jobs[:size]
    return ListBatchOperationsResponse(
        operation_info=[listed(job) for job in page],
        next_page_token=page[-1].job_id.encode() if len(jobs) > size else b"",
    ).SerializeToString()


def _check(services: Services, request: StartBatchOperationRequest) -> None:
    """Raises InvalidArgument."""
    operation = request.WhichOneof("operation")
    ways = (request.visibility_query, request.executions, request.target_executions)
    if operation is None or not request.reason or not any(ways):
        raise InvalidArgument(
            "must provide required parameters: BatchType,Reason,Namespace, AND one of"
            " (Query OR Executions OR TargetExecutions)"
        )
    if not request.job_id:
        raise InvalidArgument("JobId is not set on request.")
    if sum(map(bool, ways)) > 1:
        raise InvalidArgument(
            "visibility query, executions, and target executions are mutually exclusive"
        )
    if is_too_long(request.job_id, services.limits.id_length_max):
        raise InvalidArgument("WorkflowId exceeds length limit.")
    if request.visibility_query:
        _check_query(request.visibility_query)
    if request.ByteSize() > services.limits.blob_size_bytes_max:
        raise InvalidArgument("Blob data size exceeds limit.")
    OPERATIONS[operation].check(getattr(request, operation))
    _check_targets(request, operation)
    rate = request.max_operations_per_second
    if rate and not rate >= RATE_MIN:  # 0: as fast as usual.
        raise InvalidArgument(f"MaxOperationsPerSecond must be 0, or at least {RATE_MIN}.")


def _check_query(query: str) -> None:
    """By itself it must be a condition: more conditions are joined to it. Raises
    InvalidArgument."""
    try:
        statement = parse_condition(query, QUERY_BEFORE)
    except QuerySyntaxError as error:
        raise InvalidArgument(f"invalid visibility query: {error}") from error
    if statement.groups or statement.order or statement.has_limit:
        raise InvalidArgument("invalid visibility query: only conditions are supported")


def _check_targets(request: StartBatchOperationRequest, operation: str) -> None:
    is_on_activities = OPERATIONS[operation].is_on_activities
    wanted = (
        ExecutionType.EXECUTION_TYPE_ACTIVITY
        if is_on_activities
        else ExecutionType.EXECUTION_TYPE_WORKFLOW
    )
    for place, execution in enumerate(request.target_executions):
        if execution.type != wanted:
            raise InvalidArgument(
                f"target_executions[{place}] has type {_type_name(execution.type)}, but operation"
                f" *workflowservice.StartBatchOperationRequest_{GO_NAMES[operation]}"
                f" requires {_type_name(wanted)}"
            )


def _type_name(kind: ExecutionType.ValueType) -> str:
    if kind not in ExecutionType.values():
        return str(kind)  # Senders of enumerations may be newer than we are.
    return ExecutionType.Name(kind).removeprefix("EXECUTION_TYPE_").title()


def _find(services: Services, namespace: NamespaceRef, job_id: str) -> Job:
    job = services.batches.find(namespace.number, job_id)
    if job is None:
        raise NotFound(f"workflow not found for ID: {job_id}")
    return job


def _already_started(job: Job) -> AlreadyStarted:
    return AlreadyStarted(
        f"Workflow execution already finished. WorkflowId: {job.job_id}, RunId: {job.run_id}."
        " Workflow Id reuse policy: reject duplicate workflow Id.",
        start_request_id=job.run_id,
        run_id=job.run_id,
        first_execution_run_id=job.run_id,
    )
