"""StartWorkflowExecution: what is refused and how, and what is filled in. The texts are the real
server's."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import (
    Callback,
    Link,
    Memo,
    Payload,
    Payloads,
    Priority,
    RetryPolicy,
    SearchAttributes,
    TimeSkippingConfig,
    WorkflowType,
)
from temporalio.api.deployment.v1 import WorkerDeploymentOptions
from temporalio.api.enums.v1 import (
    TaskQueueKind,
    WorkerVersioningMode,
    WorkflowExecutionStatus,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.api.errordetails.v1 import WorkflowExecutionAlreadyStartedFailure
from temporalio.api.history.v1 import WorkflowExecutionStartedEventAttributes
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionResponse

from perdure.transport import Code
from tests.frontend.client import WORKFLOW_ID, Client, detail_of, start_request

LONG = "x" * 1001
LARGE = b"x" * (2 * 1024 * 1024 + 1)
EVENT_LINK = Link(workflow_event=Link.WorkflowEvent(namespace="n", workflow_id="w", run_id="r"))

REFUSALS: list[tuple[dict[str, object], str]] = [
    ({"namespace": ""}, "Namespace is empty."),
    ({"namespace": LONG}, "Namespace length exceeds limit."),
    ({"workflow_id": ""}, "WorkflowId is not set on request."),
    ({"workflow_id": LONG}, "WorkflowId exceeds maximum allowed length (1001/1000)"),
    ({"workflow_id": "é" * 501}, "WorkflowId exceeds maximum allowed length (1002/1000)"),
    ({"workflow_type": None}, "WorkflowType is not set on request."),
    ({"workflow_type": WorkflowType(name=LONG)}, "WorkflowType length exceeds limit."),
    ({"task_queue": None}, "taskQueue is not set"),
    ({"task_queue": TaskQueue()}, "missing task queue name"),
    ({"task_queue": TaskQueue(name=LONG)}, "taskQueue length exceeds limit"),
    (
        {"task_queue": TaskQueue(name="/_sys/x")},
        "task queue name cannot start with reserved prefix /_sys/",
    ),
    (
        {"task_queue": TaskQueue(name="temporal-sys-per-ns-tq")},
        "cannot use internal per-namespace task queue:temporal-sys-per-ns-tq",
    ),
    (
        {"workflow_execution_timeout": Duration(seconds=-1)},
        "An invalid WorkflowExecutionTimeoutSeconds is set on request. cause: negative duration",
    ),
    (
        {"workflow_run_timeout": Duration(seconds=-1)},
        "An invalid WorkflowRunTimeoutSeconds is set on request. cause: negative duration",
    ),
    (
        {"workflow_task_timeout": Duration(seconds=1, nanos=-5)},
        (
            "An invalid WorkflowTaskTimeoutSeconds is set on request."
            " cause: duration has seconds and nanos with different signs"
        ),
    ),
    (
        {"workflow_start_delay": Duration(seconds=-1)},
        "An invalid WorkflowStartDelaySeconds is set on request. cause: negative duration",
    ),
    (
        {"cron_schedule": "* * * * *", "workflow_start_delay": Duration(seconds=1)},
        "CronSchedule and WorkflowStartDelay may not be used together.",
    ),
    ({"cron_schedule": "x"}, "invalid CronSchedule."),
    (
        {"cron_schedule": "0 0 31 2 *"},
        "invalid CronSchedule, no time can be found to satisfy the schedule",
    ),
    ({"request_id": LONG}, "RequestId length exceeds limit."),
    (
        {"retry_policy": RetryPolicy(initial_interval=Duration(seconds=-1))},
        "invalid InitialInterval set on retry policy: negative duration",
    ),
    (
        {"retry_policy": RetryPolicy(backoff_coefficient=0.5)},
        "BackoffCoefficient cannot be less than 1 on retry policy.",
    ),
    (
        {"retry_policy": RetryPolicy(maximum_attempts=-1)},
        "MaximumAttempts cannot be negative on retry policy.",
    ),
    (
        {
            "workflow_id_reuse_policy": (
                WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING
            ),
            "workflow_id_conflict_policy": (
                WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
            ),
        },
        (
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING"
            " cannot be used together with a WorkflowIDConflictPolicy"
        ),
    ),
    (
        {
            "workflow_id_reuse_policy": (
                WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
            ),
            "workflow_id_conflict_policy": (
                WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
            ),
        },
        (
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be"
            " used together with WorkflowIdConflictPolicy"
            " WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING"
        ),
    ),
    ({"priority": Priority(priority_key=-1)}, "priority key can't be negative"),
    ({"priority": Priority(fairness_key="x" * 65)}, "fairness key length exceeds limit"),
    ({"priority": Priority(fairness_weight=-1)}, "must be greater than zero"),
    (
        {"search_attributes": SearchAttributes(indexed_fields={"Foo": Payload()})},
        "Namespace default has no mapping defined for search attribute Foo",
    ),
    (
        {"search_attributes": SearchAttributes(indexed_fields={"WorkflowId": Payload()})},
        "WorkflowId attribute can't be set in SearchAttributes",
    ),
    (
        {"links": [Link(workflow_event=Link.WorkflowEvent())]},
        "workflow event link must not have an empty namespace field",
    ),
    ({"links": [EVENT_LINK] * 11}, "cannot attach more than 10 links per request, got 11"),
    ({"links": [Link()]}, "unsupported link variant"),
    (
        {"completion_callbacks": [Callback(nexus=Callback.Nexus(url="http://x"))]},
        "invalid url: url does not match any configured callback address: http://x",
    ),
    ({"input": Payloads(payloads=[Payload(data=LARGE)])}, "Blob data size exceeds limit."),
    ({"memo": Memo(fields={"m": Payload(data=LARGE)})}, "Memo size exceeds limit."),
]


@pytest.mark.parametrize(("fields", "text"), REFUSALS, ids=[text for _, text in REFUSALS])
async def test_a_wrong_field_is_refused_in_the_words_of_the_real_server(
    client: Client, fields: dict[str, object], text: str
) -> None:
    failure = await client.refusal(start_request(**fields))
    assert (failure.code, failure.message) == (Code.INVALID_ARGUMENT, text)
    assert failure.details == b""


async def test_time_skipping_is_refused_as_the_stock_server_does(client: Client) -> None:
    failure = await client.refusal(start_request(time_skipping_config=TimeSkippingConfig()))
    assert failure.code is Code.UNIMPLEMENTED
    assert failure.message == "The Time-Skipping feature is not enabled for namespace."


async def test_the_answer_names_run_status_and_start_event(client: Client) -> None:
    response = await client.call(start_request(), StartWorkflowExecutionResponse)
    assert response.started
    assert response.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
    assert response.first_execution_run_id == response.run_id
    link = response.link.workflow_event
    assert (link.namespace, link.workflow_id, link.run_id) == (
        "default",
        WORKFLOW_ID,
        response.run_id,
    )
    assert link.event_ref.event_id == 1
    assert not response.HasField("eager_workflow_task")


async def test_a_taken_id_is_refused_with_the_run_that_has_it(client: Client) -> None:
    run_id = await client.start(request_id="first")
    failure = await client.refusal(start_request(request_id="second"))
    assert failure.code is Code.ALREADY_EXISTS
    assert failure.message == (
        f"Workflow execution is already running. WorkflowId: {WORKFLOW_ID}, RunId: {run_id}."
    )
    assert detail_of(failure) == WorkflowExecutionAlreadyStartedFailure(
        start_request_id="first", run_id=run_id, first_execution_run_id=run_id
    )


async def test_the_deprecated_reuse_policy_still_replaces_a_running_workflow(
    client: Client,
) -> None:
    first = await client.start()
    second = await client.start(
        workflow_id_reuse_policy=(
            WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING
        )
    )
    assert second != first


@pytest.mark.parametrize(
    ("execution", "run", "task", "run_expected", "task_expected"),
    [
        (0, 0, 0, 0, 10),
        (100, 0, 0, 100, 10),
        (100, 200, 300, 100, 100),
        (0, 5, 0, 5, 5),
        (0, 0, 300, 0, 120),
        (0, 50, 20, 50, 20),
    ],
)
async def test_timeouts_are_defaulted_and_capped_before_they_are_recorded(
    client: Client, execution: int, run: int, task: int, run_expected: int, task_expected: int
) -> None:
    await client.start(
        workflow_execution_timeout=Duration(seconds=execution) if execution else None,
        workflow_run_timeout=Duration(seconds=run) if run else None,
        workflow_task_timeout=Duration(seconds=task) if task else None,
    )
    started = await _started(client)
    assert started.workflow_run_timeout.seconds == run_expected
    assert started.workflow_task_timeout.seconds == task_expected


async def test_a_retry_policy_is_recorded_with_its_defaults(client: Client) -> None:
    await client.start(retry_policy=RetryPolicy(maximum_attempts=3))
    policy = (await _started(client)).retry_policy
    assert policy == RetryPolicy(
        initial_interval=Duration(seconds=1),
        backoff_coefficient=2.0,
        maximum_interval=Duration(seconds=100),
        maximum_attempts=3,
    )


async def test_a_queue_without_a_kind_is_recorded_as_a_normal_one(client: Client) -> None:
    await client.start()
    queue = (await _started(client)).task_queue
    assert queue.kind == TaskQueueKind.TASK_QUEUE_KIND_NORMAL


async def test_who_is_of_a_version_gets_its_first_task_from_the_queue(client: Client) -> None:
    options = WorkerDeploymentOptions(
        deployment_name="team",
        build_id="1",
        worker_versioning_mode=WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED,
    )
    request = start_request(request_eager_execution=True, eager_worker_deployment_options=options)
    response = await client.call(request, StartWorkflowExecutionResponse)
    assert not response.HasField("eager_workflow_task")
    assert (await client.poll_workflow_task()).task_token


async def test_an_eager_start_brings_its_first_task_with_its_history(client: Client) -> None:
    response = await client.call(
        start_request(request_eager_execution=True), StartWorkflowExecutionResponse
    )
    task = response.eager_workflow_task
    assert task.workflow_execution.run_id == response.run_id
    assert [event.event_id for event in task.history.events] == [1, 2, 3]
    assert task.started_event_id == 3
    assert task.task_token


async def _started(client: Client) -> WorkflowExecutionStartedEventAttributes:
    history = (await client.history()).history
    return history.events[0].workflow_execution_started_event_attributes
