"""Batch operations: what they do, what is told of them, and what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.batch.v1 import (
    BatchOperationCancelActivities,
    BatchOperationCancellation,
    BatchOperationDeleteActivities,
    BatchOperationDeletion,
    BatchOperationReset,
    BatchOperationResetActivities,
    BatchOperationSignal,
    BatchOperationTerminateActivities,
    BatchOperationTermination,
    BatchOperationUnpauseActivities,
    BatchOperationUpdateActivityOptions,
    BatchOperationUpdateWorkflowExecutionOptions,
)
from temporalio.api.common.v1 import (
    ActivityType,
    Execution,
    Payload,
    Payloads,
    Priority,
    ResetOptions,
    WorkflowExecution,
)
from temporalio.api.enums.v1 import (
    ActivityExecutionStatus,
    BatchOperationState,
    BatchOperationType,
    ExecutionType,
    WorkflowExecutionStatus,
)
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest, DeleteNamespaceResponse
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    DescribeActivityExecutionRequest,
    DescribeActivityExecutionResponse,
    DescribeBatchOperationRequest,
    DescribeBatchOperationResponse,
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    ListBatchOperationsRequest,
    ListBatchOperationsResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    StartActivityExecutionRequest,
    StartActivityExecutionResponse,
    StartBatchOperationRequest,
    StartBatchOperationResponse,
    StopBatchOperationRequest,
    StopBatchOperationResponse,
)

from perdure.server.app import Service
from perdure.server.config import Settings
from perdure.server.frontend.dispatch import handlers_of
from perdure.server.frontend.services import Services
from perdure.server.housekeeping.batches.job import job_of
from perdure.server.machines.ports import Limits
from perdure.server.store.faulty import FaultyStore
from perdure.server.store.ports import BatchRow, Store
from perdure.transport import Code
from tests.frontend.client import NAMESPACE, Client

COMPLETED = BatchOperationState.BATCH_OPERATION_STATE_COMPLETED
FAILED = BatchOperationState.BATCH_OPERATION_STATE_FAILED
RUNNING = BatchOperationState.BATCH_OPERATION_STATE_RUNNING
ALL = {"visibility_query": "WorkflowId STARTS_WITH 'w'", "max_operations_per_second": 10_000.0}
TERMINATION = BatchOperationTermination(identity="me")


def batch(**fields: Any) -> StartBatchOperationRequest:
    """A request that is right."""
    usual: dict[str, Any] = {"namespace": NAMESPACE, "job_id": "job", "reason": "because"}
    return StartBatchOperationRequest(**{**usual, **fields})


async def described(client: Client, job_id: str = "job") -> DescribeBatchOperationResponse:
    """What is told of a job."""
    request = DescribeBatchOperationRequest(namespace=NAMESPACE, job_id=job_id)
    return await client.call(request, DescribeBatchOperationResponse)


async def carried_out(
    client: Client, services: Services, **fields: Any
) -> DescribeBatchOperationResponse:
    """Start a job, and wait until it is over."""
    await client.call(batch(**fields), StartBatchOperationResponse)
    await services.batches.wait()
    return await described(client)


async def counts(client: Client, services: Services, **fields: Any) -> tuple[int, int, int, int]:
    """State, total, complete and failed of a job that is over."""
    job = await carried_out(client, services, **fields)
    return (
        job.state,
        job.total_operation_count,
        job.complete_operation_count,
        job.failure_operation_count,
    )


async def status(client: Client, workflow_id: str) -> int:
    """The status of a workflow's current run."""
    request = DescribeWorkflowExecutionRequest(
        namespace=NAMESPACE, execution=WorkflowExecution(workflow_id=workflow_id)
    )
    response = await client.call(request, DescribeWorkflowExecutionResponse)
    return response.workflow_execution_info.status


async def events_of(client: Client, workflow_id: str) -> list[HistoryEvent]:
    """The history of a workflow's current run."""
    request = GetWorkflowExecutionHistoryRequest(
        namespace=NAMESPACE, execution=WorkflowExecution(workflow_id=workflow_id)
    )
    response = await client.call(request, GetWorkflowExecutionHistoryResponse)
    return list(response.history.events)


async def workflows(client: Client, count: int) -> list[str]:
    """Some workflows; their ids."""
    names = [f"w{number}" for number in range(count)]
    for name in names:
        await client.start(name)
    return names


async def test_all_that_a_query_finds_is_terminated(client: Client, services: Services) -> None:
    names = await workflows(client, 120)
    await client.terminate("w0")
    await client.start("other")
    job = await carried_out(client, services, **ALL, termination_operation=TERMINATION)
    assert (job.state, job.job_id, job.reason, job.identity) == (
        COMPLETED,
        "job",
        "because",
        "me",
    )
    assert job.operation_type == BatchOperationType.BATCH_OPERATION_TYPE_TERMINATE_WORKFLOW
    assert job.query == ALL["visibility_query"]
    assert (job.total_operation_count, job.complete_operation_count) == (119, 119)
    assert job.start_time.ToNanoseconds() <= job.close_time.ToNanoseconds()
    terminated = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED
    assert {await status(client, name) for name in names} == {terminated}
    assert await status(client, "other") != terminated
    events = await events_of(client, names[1])
    attributes = events[-1].workflow_execution_terminated_event_attributes
    assert (attributes.reason, attributes.identity) == ("because", "me")


async def test_a_list_may_name_what_is_over_or_was_never_there(
    client: Client, services: Services
) -> None:
    await workflows(client, 3)
    await client.terminate("w0")
    executions = [WorkflowExecution(workflow_id=name) for name in ("w0", "w1", "nobody", "")]
    found = await counts(client, services, executions=executions, termination_operation=TERMINATION)
    assert found == (COMPLETED, 4, 3, 1)
    job = await described(client)
    assert [execution.business_id for execution in job.executions] == ["w0", "w1", "nobody", ""]
    assert await status(client, "w1") != await status(client, "w2")


async def test_a_signal_comes_once_though_a_job_is_done_again(
    client: Client, services: Services
) -> None:
    await workflows(client, 2)
    operation = BatchOperationSignal(signal="go", identity="me")
    assert await counts(client, services, **ALL, signal_operation=operation) == (COMPLETED, 2, 2, 0)
    before = len(await events_of(client, "w0"))
    job = services.batches.find(services.bind(NAMESPACE).number, "job")
    assert job is not None
    await services.batches.stop(job)
    job.state, job.page_token, job.complete = RUNNING, b"", 0
    await services.batches.start(job)
    await services.batches.wait()
    assert (await described(client)).complete_operation_count == 2
    assert len(await events_of(client, "w0")) == before


async def test_workflows_are_canceled_deleted_and_given_options(
    client: Client, services: Services
) -> None:
    await workflows(client, 2)
    await client.terminate("w0")
    options = BatchOperationUpdateWorkflowExecutionOptions(
        workflow_execution_options=WorkflowExecutionOptions(priority=Priority(priority_key=2)),
        update_mask=FieldMask(paths=["priority"]),
    )
    found = await counts(
        client, services, **ALL, job_id="job", update_workflow_options_operation=options
    )
    assert found == (COMPLETED, 1, 1, 0)
    assert (await events_of(client, "w1"))[-1].HasField(
        "workflow_execution_options_updated_event_attributes"
    )
    operation = BatchOperationCancellation(identity="me")
    await client.call(
        batch(**ALL, job_id="second", cancellation_operation=operation), StartBatchOperationResponse
    )
    await services.batches.wait()
    assert (await events_of(client, "w1"))[-1].HasField(
        "workflow_execution_cancel_requested_event_attributes"
    )
    await client.call(
        batch(**ALL, job_id="third", deletion_operation=BatchOperationDeletion()),
        StartBatchOperationResponse,
    )
    await services.batches.wait()
    job = await described(client, "third")
    assert (job.total_operation_count, job.complete_operation_count) == (2, 2), "closed ones too"
    request = DescribeWorkflowExecutionRequest(
        namespace=NAMESPACE, execution=WorkflowExecution(workflow_id="w0")
    )
    assert (await client.refusal(request)).code == Code.NOT_FOUND


@pytest.mark.parametrize("target", ["first_workflow_task", "last_workflow_task"])
async def test_runs_are_reset_once(client: Client, services: Services, target: str) -> None:
    first = {name: await client.start(name) for name in ("w0", "w1")}
    task = await client.poll_workflow_task()
    completion = RespondWorkflowTaskCompletedRequest(
        namespace=NAMESPACE, task_token=task.task_token
    )
    await client.call(completion, RespondWorkflowTaskCompletedResponse)
    options = ResetOptions(**{target: Empty()})  # type: ignore[arg-type]
    operation = BatchOperationReset(identity="me", options=options)
    found = await counts(client, services, **ALL, reset_operation=operation)
    assert found == (COMPLETED, 2, 1, 1), "no workflow task of the other was ever given out"
    done = task.workflow_execution.workflow_id
    request = DescribeWorkflowExecutionRequest(
        namespace=NAMESPACE, execution=WorkflowExecution(workflow_id=done)
    )
    info = await client.call(request, DescribeWorkflowExecutionResponse)
    assert info.workflow_execution_info.execution.run_id != first[done]
    assert info.workflow_execution_info.first_run_id == first[done]


ACTIVITY_OPERATIONS: list[dict[str, Any]] = [
    {"unpause_activities_operation": BatchOperationUnpauseActivities(match_all=True)},
    {"unpause_activities_operation": BatchOperationUnpauseActivities(type="a")},
    {"reset_activities_operation": BatchOperationResetActivities(match_all=True)},
    {
        "update_activity_options_operation": BatchOperationUpdateActivityOptions(
            type="a", restore_original=True
        )
    },
]


@pytest.mark.parametrize("operation", ACTIVITY_OPERATIONS)
async def test_activities_are_operated_on(
    client: Client, services: Services, operation: dict[str, Any]
) -> None:
    await workflows(client, 1)
    found = await counts(client, services, **ALL, **operation)
    assert found == (COMPLETED, 1, 1, 0)


W0 = [WorkflowExecution(workflow_id="w0")]
REQUIRED = (
    "must provide required parameters: BatchType,Reason,Namespace, AND one of"
    " (Query OR Executions OR TargetExecutions)"
)
EXCLUSIVE = "visibility query, executions, and target executions are mutually exclusive"
UNSPECIFIED = (
    "target_executions[0] has type Unspecified, but operation"
    " *workflowservice.StartBatchOperationRequest_TerminationOperation requires Workflow"
)
EITHER = "Either activity type must be set, or restore original should be set to true"
REFUSALS: list[tuple[dict[str, Any], Code, str]] = [
    ({"namespace": ""}, Code.INVALID_ARGUMENT, "Namespace is empty."),
    ({"namespace": "nope"}, Code.NOT_FOUND, "Namespace nope is not found."),
    ({}, Code.INVALID_ARGUMENT, REQUIRED),
    ({"executions": W0}, Code.INVALID_ARGUMENT, REQUIRED),
    (
        {"executions": W0, "reason": "", "termination_operation": TERMINATION},
        Code.INVALID_ARGUMENT,
        REQUIRED,
    ),
    ({"termination_operation": TERMINATION}, Code.INVALID_ARGUMENT, REQUIRED),
    (
        {"executions": W0, "job_id": "", "termination_operation": TERMINATION},
        Code.INVALID_ARGUMENT,
        "JobId is not set on request.",
    ),
    (
        {"executions": W0, "job_id": "j" * 1001, "termination_operation": TERMINATION},
        Code.INVALID_ARGUMENT,
        "WorkflowId exceeds length limit.",
    ),
    (
        {"executions": W0, "visibility_query": "x", "termination_operation": TERMINATION},
        Code.INVALID_ARGUMENT,
        EXCLUSIVE,
    ),
    (
        {
            "target_executions": [Execution(business_id="w0")],
            "termination_operation": TERMINATION,
        },
        Code.INVALID_ARGUMENT,
        UNSPECIFIED,
    ),
    (
        {"executions": W0, "signal_operation": BatchOperationSignal()},
        Code.INVALID_ARGUMENT,
        "must provide signal name",
    ),
    (
        {"executions": W0, "reset_operation": BatchOperationReset()},
        Code.INVALID_ARGUMENT,
        "unknown batch reset type Unspecified",
    ),
    (
        {"executions": W0, "reset_operation": BatchOperationReset(reset_type=99)},  # type: ignore[arg-type]
        Code.INVALID_ARGUMENT,
        "unknown batch reset type 99",
    ),
    (
        {
            "target_executions": [Execution(type=99, business_id="w0")],  # type: ignore[arg-type]
            "termination_operation": TERMINATION,
        },
        Code.INVALID_ARGUMENT,
        "target_executions[0] has type 99, but operation",
    ),
    (
        {"executions": W0, "unpause_activities_operation": BatchOperationUnpauseActivities()},
        Code.INVALID_ARGUMENT,
        "activity filter must be set",
    ),
    (
        {"executions": W0, "reset_activities_operation": BatchOperationResetActivities()},
        Code.INVALID_ARGUMENT,
        "must provide ActivityType or MatchAll",
    ),
    (
        {
            "executions": W0,
            "update_activity_options_operation": BatchOperationUpdateActivityOptions(
                match_all=True
            ),
        },
        Code.INVALID_ARGUMENT,
        EITHER,
    ),
    (
        {
            "executions": W0,
            "update_workflow_options_operation": BatchOperationUpdateWorkflowExecutionOptions(),
        },
        Code.INVALID_ARGUMENT,
        "must provide UpdateOptions",
    ),
    *(
        (
            {"visibility_query": query, "termination_operation": TERMINATION},
            Code.INVALID_ARGUMENT,
            f"invalid visibility query: {text}",
        )
        for query, text in (
            ("and", "syntax error at position 30 near 'and'"),
            ("WorkflowId = 'a') OR (WorkflowId = 'b'", "syntax error at position 44"),
            ("GROUP BY ExecutionStatus", "syntax error at position 32 near 'group'"),
            ("WorkflowId = 'a' ORDER BY StartTime", "only conditions are supported"),
        )
    ),
    *(
        (
            {"executions": W0, f"{name}_operation": operation},
            Code.INVALID_ARGUMENT,
            "Either activity type must be set, or match all should be set to true",
        )
        for name, operation in (
            ("unpause_activities", BatchOperationUnpauseActivities(type="")),
            ("unpause_activities", BatchOperationUnpauseActivities(match_all=False)),
            ("reset_activities", BatchOperationResetActivities(type="")),
            (
                "update_activity_options",
                BatchOperationUpdateActivityOptions(type="", restore_original=True),
            ),
        )
    ),
    (
        {
            "executions": W0,
            "update_activity_options_operation": BatchOperationUpdateActivityOptions(
                match_all=True, restore_original=True, activity_options=ActivityOptions()
            ),
        },
        Code.INVALID_ARGUMENT,
        "cannot set both activity options and restore original",
    ),
    (
        {
            "executions": W0,
            "signal_operation": BatchOperationSignal(
                signal="s", input=Payloads(payloads=[Payload(data=bytes(3 * 1024 * 1024))])
            ),
        },
        Code.INVALID_ARGUMENT,
        "Blob data size exceeds limit.",
    ),
    (
        {"visibility_query": "Foo = 'x'", "termination_operation": TERMINATION},
        Code.INVALID_ARGUMENT,
        "invalid visibility query: invalid search attribute: Foo",
    ),
    (
        {
            "executions": W0,
            "max_operations_per_second": 1e-40,
            "termination_operation": TERMINATION,
        },
        Code.INVALID_ARGUMENT,
        "MaxOperationsPerSecond must be 0, or at least 0.001.",
    ),
    (
        {"executions": W0, "max_operations_per_second": -1, "termination_operation": TERMINATION},
        Code.INVALID_ARGUMENT,
        "MaxOperationsPerSecond must be 0, or at least 0.001.",
    ),
    (
        {
            "executions": W0,
            "max_operations_per_second": float("nan"),
            "termination_operation": TERMINATION,
        },
        Code.INVALID_ARGUMENT,
        "MaxOperationsPerSecond must be 0, or at least 0.001.",
    ),
]


@pytest.mark.parametrize(("fields", "code", "text"), REFUSALS)
async def test_a_job_that_makes_no_sense_is_refused(
    client: Client, fields: dict[str, Any], code: Code, text: str
) -> None:
    failure = await client.refusal(batch(**fields))
    assert failure.code == code
    assert failure.message.startswith(text)
    listed = await client.call(
        ListBatchOperationsRequest(namespace=NAMESPACE), ListBatchOperationsResponse
    )
    assert not listed.operation_info


async def test_one_job_goes_on_in_a_namespace_and_its_id_is_taken_for_good(
    client: Client, services: Services
) -> None:
    names = await workflows(client, 3)
    slow = {**ALL, "max_operations_per_second": 0.001, "termination_operation": TERMINATION}
    await client.call(batch(**slow), StartBatchOperationResponse)
    busy = await client.refusal(batch(**slow, job_id="other"))
    assert (busy.code, busy.message) == (
        Code.RESOURCE_EXHAUSTED,
        "Max concurrent batch operations is reached",
    )
    assert (await described(client)).state == RUNNING
    stop = StopBatchOperationRequest(namespace=NAMESPACE, job_id="job", reason="enough")
    await client.call(stop, StopBatchOperationResponse)
    job = await described(client)
    assert (job.state, job.total_operation_count) == (FAILED, 3)
    running = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
    statuses = [await status(client, name) for name in names]
    assert statuses.count(running) >= 2, "only the first is done at once"
    again = await client.refusal(stop)
    assert (again.code, again.message) == (Code.NOT_FOUND, "workflow execution already completed")
    taken = await client.refusal(batch(**slow))
    assert taken.code == Code.ALREADY_EXISTS
    assert taken.message.startswith("Workflow execution already finished. WorkflowId: job, RunId: ")


async def test_what_is_asked_of_no_job_is_refused(client: Client) -> None:
    for request, text in (
        (DescribeBatchOperationRequest(namespace=NAMESPACE), "JobId is not set on request."),
        (StopBatchOperationRequest(namespace=NAMESPACE), "JobId is not set on request."),
        (
            StopBatchOperationRequest(namespace=NAMESPACE, job_id="x"),
            "Reason is not set on request.",
        ),
        (
            StopBatchOperationRequest(namespace=NAMESPACE, job_id="x", reason="r"),
            "workflow not found for ID: x",
        ),
        (
            DescribeBatchOperationRequest(namespace=NAMESPACE, job_id="x"),
            "workflow not found for ID: x",
        ),
    ):
        assert (await client.refusal(request)).message == text


async def test_jobs_are_listed_newest_first_in_pages(client: Client, services: Services) -> None:
    for name in ("a", "b", "c"):
        await client.call(
            batch(**ALL, job_id=name, termination_operation=TERMINATION),
            StartBatchOperationResponse,
        )
        await services.batches.wait()
    names: list[str] = []
    request = ListBatchOperationsRequest(namespace=NAMESPACE, page_size=2)
    while True:
        page = await client.call(request, ListBatchOperationsResponse)
        names += [info.job_id for info in page.operation_info]
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert names == ["c", "b", "a"]


async def test_a_job_ends_with_its_namespace(client: Client, services: Services) -> None:
    await workflows(client, 3)
    number = services.bind(NAMESPACE).number
    slow = {**ALL, "max_operations_per_second": 0.001, "termination_operation": TERMINATION}
    await client.call(batch(**slow), StartBatchOperationResponse)
    await client.call(DeleteNamespaceRequest(namespace=NAMESPACE), DeleteNamespaceResponse)
    assert services.batches.of(number) == []
    await services.batches.wait()
    await asyncio.gather(*services.background())
    assert await services.store.batches() == []


async def test_jobs_that_were_over_long_ago_are_forgotten(
    client: Client, services: Services
) -> None:
    await carried_out(client, services, **ALL, termination_operation=TERMINATION)
    number = services.bind(NAMESPACE).number
    await services.batches.forget_older(number, 10**12)
    assert len(await services.store.batches()) == 1
    await services.batches.forget_older(number, 0)
    assert await services.store.batches() == []
    failure = await client.refusal(DescribeBatchOperationRequest(namespace=NAMESPACE, job_id="job"))
    assert failure.code == Code.NOT_FOUND


def services_on(store: Store, services: Services) -> Services:
    """The same services, with another store for their batch operations."""
    return Services(
        engine=services.engine,
        store=store,
        namespaces=services.namespaces,
        ids=services.ids,
        clock=services.clock,
    )


async def test_a_stop_that_cannot_be_written_leaves_the_job_as_it_is(services: Services) -> None:
    store = FaultyStore(services.store)
    others = services_on(store, services)
    client = Client(handlers_of(others))
    await workflows(client, 3)
    slow = {**ALL, "max_operations_per_second": 0.001, "termination_operation": TERMINATION}
    await client.call(batch(**slow), StartBatchOperationResponse)
    stop = StopBatchOperationRequest(namespace=NAMESPACE, job_id="job", reason="enough")
    store.is_unavailable = True
    assert (await client.refusal(stop)).code == Code.UNAVAILABLE
    assert (await described(client)).state == RUNNING
    store.is_unavailable = False
    await client.call(stop, StopBatchOperationResponse)
    assert (await described(client)).state == FAILED
    assert [job_of(row).state for row in await store.batches()] == [FAILED]
    await others.close()


class HeldAtTheEnd:
    """A store that writes the end of a job when it may."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.is_asked, self.may_write = asyncio.Event(), asyncio.Event()

    async def put_batch(self, row: BatchRow) -> None:
        if not job_of(row).is_running:
            self.is_asked.set()
            await self.may_write.wait()
        await self._inner.put_batch(row)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def test_nobody_is_told_that_a_job_is_over_before_that_is_stored(services: Services) -> None:
    held = HeldAtTheEnd(services.store)
    others = services_on(cast(Store, held), services)
    client = Client(handlers_of(others))
    await workflows(client, 1)
    await client.call(batch(**ALL, termination_operation=TERMINATION), StartBatchOperationResponse)
    await held.is_asked.wait()
    assert (await described(client)).state == RUNNING
    held.may_write.set()
    await others.batches.wait()
    assert (await described(client)).state == COMPLETED


async def test_a_job_goes_on_after_a_restart(tmp_path: Path) -> None:
    settings = Settings(database=str(tmp_path / "p.db"), limits=Limits(batch_rate_per_second=1))
    service = await Service.open(settings, on_lease_lost=lambda: None)
    client = Client(service.handlers)
    await workflows(client, 150)
    executions = [WorkflowExecution(workflow_id=f"w{number}") for number in range(150)]
    await client.call(
        batch(executions=executions, termination_operation=TERMINATION), StartBatchOperationResponse
    )
    await service.close()
    settings = Settings(database=str(tmp_path / "p.db"), limits=Limits(batch_rate_per_second=10**5))
    service = await Service.open(settings, on_lease_lost=lambda: None)
    try:
        client = Client(service.handlers)
        await service.batches.wait()
        job = await described(client)
        assert (job.state, job.total_operation_count) == (COMPLETED, 150)
        assert (job.complete_operation_count, job.failure_operation_count) == (150, 0)
        terminated = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED
        assert {await status(client, f"w{number}") for number in range(150)} == {terminated}
    finally:
        await service.close()


async def started_activity(client: Client, activity_id: str) -> None:
    """An activity without a workflow."""
    request = StartActivityExecutionRequest(
        namespace=NAMESPACE,
        activity_id=activity_id,
        activity_type=ActivityType(name="a"),
        task_queue=TaskQueue(name="q"),
        start_to_close_timeout=Duration(seconds=60),
        request_id=activity_id,
    )
    await client.call(request, StartActivityExecutionResponse)


async def test_a_job_may_be_as_fast_as_it_can(client: Client, services: Services) -> None:
    names = await workflows(client, 3)
    rate = {"max_operations_per_second": float("inf"), "termination_operation": TERMINATION}
    listed = [WorkflowExecution(workflow_id=name) for name in names]
    assert await counts(client, services, executions=listed, **rate) == (COMPLETED, 3, 3, 0)


async def activity_status(client: Client, activity_id: str) -> int:
    """How an activity stands."""
    request = DescribeActivityExecutionRequest(namespace=NAMESPACE, activity_id=activity_id)
    response = await client.call(request, DescribeActivityExecutionResponse)
    return response.info.status


async def test_activities_without_a_workflow_are_operated_on(
    client: Client, services: Services
) -> None:
    for name in ("a0", "a1", "a2"):
        await started_activity(client, name)
    await workflows(client, 1)
    query = {"visibility_query": "ActivityType = 'a'", "max_operations_per_second": 10_000.0}
    targets = [Execution(type=ExecutionType.EXECUTION_TYPE_ACTIVITY, business_id="a0")]
    operation = BatchOperationTerminateActivities(identity="me", reason="enough")
    found = await counts(
        client, services, target_executions=targets, terminate_activities_operation=operation
    )
    assert found == (COMPLETED, 1, 1, 0)
    await client.call(
        batch(
            job_id="by executions",
            executions=[WorkflowExecution(workflow_id="nobody")],
            terminate_activities_operation=operation,
        ),
        StartBatchOperationResponse,
    )
    await services.batches.wait()
    job = await described(client, "by executions")
    assert [one.type for one in job.executions] == [ExecutionType.EXECUTION_TYPE_ACTIVITY]
    assert (job.total_operation_count, job.complete_operation_count) == (1, 1)
    terminated = ActivityExecutionStatus.ACTIVITY_EXECUTION_STATUS_TERMINATED
    assert await activity_status(client, "a0") == terminated
    assert await activity_status(client, "a1") != terminated
    cancellation = BatchOperationCancelActivities(identity="me")
    await client.call(
        batch(**query, job_id="second", cancel_activities_operation=cancellation),
        StartBatchOperationResponse,
    )
    await services.batches.wait()
    job = await described(client, "second")
    assert (job.total_operation_count, job.complete_operation_count) == (2, 2)
    await client.call(
        batch(
            **query, job_id="third", delete_activities_operation=BatchOperationDeleteActivities()
        ),
        StartBatchOperationResponse,
    )
    await services.batches.wait()
    job = await described(client, "third")
    assert (job.total_operation_count, job.complete_operation_count) == (3, 3), "closed ones too"
    gone = DescribeActivityExecutionRequest(namespace=NAMESPACE, activity_id="a0")
    assert (await client.refusal(gone)).code == Code.NOT_FOUND
    wrong = batch(
        target_executions=[Execution(type=ExecutionType.EXECUTION_TYPE_WORKFLOW, business_id="w0")],
        job_id="fourth",
        cancel_activities_operation=cancellation,
    )
    assert (await client.refusal(wrong)).message.endswith("requires Activity")
