"""Polls, completions and heartbeats: a worker's side of the API."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from temporalio.api.command.v1 import (
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
)
from temporalio.api.common.v1 import (
    ActivityType,
    Header,
    Payload,
    Payloads,
    Priority,
    WorkerVersionCapabilities,
)
from temporalio.api.deployment.v1 import WorkerDeploymentOptions
from temporalio.api.enums.v1 import (
    CommandType,
    EventType,
    TaskQueueKind,
    WorkerVersioningMode,
)
from temporalio.api.errordetails.v1 import NotFoundFailure
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
    RegisterNamespaceRequest,
    RegisterNamespaceResponse,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedByIdResponse,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskCompletedResponse,
    RespondActivityTaskFailedRequest,
    RespondActivityTaskFailedResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    ShutdownWorkerRequest,
    ShutdownWorkerResponse,
)

from perdure.server.frontend.validation import long_poll_seconds
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.transport import Code
from tests.frontend.client import QUEUE, WORKFLOW_ID, Client, detail_of

LARGE = Payloads(payloads=[Payload(data=b"x" * (2 * 1024 * 1024 + 1))])
HELLO = Payloads(payloads=[Payload(data=b"hello")])

BY_TOKEN = (
    "RespondActivityTaskCompleted",
    "RespondActivityTaskFailed",
    "RespondActivityTaskCanceled",
    "RecordActivityTaskHeartbeat",
)


def request_of(method: str, **fields: object) -> Message:
    """The request message of a method."""
    from temporalio.api.workflowservice import v1

    message: Message = getattr(v1, f"{method}Request")(**fields)
    return message


async def schedule_activity(client: Client, **fields: object) -> None:
    """Start a workflow whose first task schedules the activity "one"."""
    await client.start()
    task = await client.poll_workflow_task()
    attributes = ScheduleActivityTaskCommandAttributes(
        activity_id="one",
        activity_type=ActivityType(name="Activity"),
        task_queue=TaskQueue(name=QUEUE),
        start_to_close_timeout=Duration(seconds=30),
        heartbeat_timeout=Duration(seconds=20),
        input=HELLO,
        header=Header(fields={"h": Payload(data=b"1")}),
        priority=Priority(priority_key=2),
        **fields,  # type: ignore[arg-type]
    )
    command = Command(
        command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
        schedule_activity_task_command_attributes=attributes,
    )
    request = RespondWorkflowTaskCompletedRequest(task_token=task.task_token, commands=[command])
    await client.call(request, RespondWorkflowTaskCompletedResponse)


async def last_event_type(client: Client) -> int:
    """The type of the newest recorded event, but for those of a workflow task."""
    events = (await client.history()).history.events
    return [event.event_type for event in events if not 5 <= event.event_type <= 9][-1]


async def test_a_workflow_task_brings_the_whole_history_and_names_its_workflow(
    client: Client,
) -> None:
    run_id = await client.start()
    task = await client.poll_workflow_task()
    assert task.workflow_execution.workflow_id == WORKFLOW_ID
    assert task.workflow_execution.run_id == run_id
    assert task.workflow_type.name == "Type"
    assert [event.event_id for event in task.history.events] == [1, 2, 3]
    assert (task.previous_started_event_id, task.started_event_id, task.attempt) == (0, 3, 1)
    assert task.workflow_execution_task_queue == TaskQueue(
        name=QUEUE, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    )
    assert task.scheduled_time.ToNanoseconds() <= task.started_time.ToNanoseconds()
    assert not task.next_page_token


async def test_a_completion_can_close_the_workflow(client: Client) -> None:
    await client.start()
    task = await client.poll_workflow_task()
    command = Command(
        command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes=(
            CompleteWorkflowExecutionCommandAttributes(result=HELLO)
        ),
    )
    request = RespondWorkflowTaskCompletedRequest(task_token=task.task_token, commands=[command])
    await client.call(request, RespondWorkflowTaskCompletedResponse)
    assert await last_event_type(client) == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED


async def test_a_second_completion_is_not_found(client: Client) -> None:
    await client.start()
    task = await client.poll_workflow_task()
    request = RespondWorkflowTaskCompletedRequest(task_token=task.task_token)
    await client.call(request, RespondWorkflowTaskCompletedResponse)
    failure = await client.refusal(request)
    assert failure.code is Code.NOT_FOUND
    assert detail_of(failure) == NotFoundFailure()


async def test_a_completion_that_asks_for_the_next_task_gets_it(client: Client) -> None:
    await client.start()
    task = await client.poll_workflow_task()
    await client.signal("while the task is started")
    request = RespondWorkflowTaskCompletedRequest(
        task_token=task.task_token, return_new_workflow_task=True
    )
    response = await client.call(request, RespondWorkflowTaskCompletedResponse)
    following = response.workflow_task
    assert following.started_event_id > task.started_event_id
    assert following.history.events[-1].event_id == following.started_event_id


async def test_an_eager_activity_comes_with_the_completion(client: Client) -> None:
    await client.start()
    task = await client.poll_workflow_task()
    command = Command(
        command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
        schedule_activity_task_command_attributes=ScheduleActivityTaskCommandAttributes(
            activity_id="one",
            activity_type=ActivityType(name="Activity"),
            task_queue=TaskQueue(name=QUEUE),
            start_to_close_timeout=Duration(seconds=30),
            request_eager_execution=True,
            input=HELLO,
        ),
    )
    request = RespondWorkflowTaskCompletedRequest(task_token=task.task_token, commands=[command])
    response = await client.call(request, RespondWorkflowTaskCompletedResponse)
    [activity] = response.activity_tasks
    assert (activity.activity_id, activity.input) == ("one", HELLO)


async def test_an_activity_task_brings_everything_that_its_worker_needs(client: Client) -> None:
    await schedule_activity(client)
    task = await client.poll_activity_task()
    assert (task.workflow_namespace, task.workflow_type.name) == ("default", "Type")
    assert task.workflow_execution.workflow_id == WORKFLOW_ID
    assert (task.activity_id, task.activity_type.name, task.attempt) == ("one", "Activity", 1)
    assert task.input == HELLO
    assert task.header.fields["h"].data == b"1"
    assert task.start_to_close_timeout.seconds == 30
    assert task.heartbeat_timeout.seconds == 20
    assert task.HasField("schedule_to_close_timeout")
    assert task.retry_policy.initial_interval.seconds == 1
    assert task.priority.priority_key == 2
    assert task.scheduled_time == task.current_attempt_scheduled_time


async def test_what_an_activity_reported_reaches_its_next_attempt(client: Client) -> None:
    await schedule_activity(client)
    task = await client.poll_activity_task()
    beat = RecordActivityTaskHeartbeatRequest(task_token=task.task_token, details=HELLO)
    answer = await client.call(beat, RecordActivityTaskHeartbeatResponse)
    assert not answer.cancel_requested
    failure = Failure(
        message="again",
        application_failure_info=ApplicationFailureInfo(next_retry_delay=Duration(nanos=1)),
    )
    failed = RespondActivityTaskFailedRequest(task_token=task.task_token, failure=failure)
    await client.call(failed, RespondActivityTaskFailedResponse)
    again = await client.poll_activity_task()
    assert (again.attempt, again.heartbeat_details) == (2, HELLO)


async def test_an_activity_can_be_completed_by_its_id(client: Client) -> None:
    await schedule_activity(client)
    await client.poll_activity_task()
    request = RespondActivityTaskCompletedByIdRequest(
        namespace="default", workflow_id=WORKFLOW_ID, activity_id="one", result=HELLO
    )
    await client.call(request, RespondActivityTaskCompletedByIdResponse)
    assert await last_event_type(client) == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED


async def test_a_result_that_is_too_large_fails_the_activity(client: Client) -> None:
    await schedule_activity(client)
    task = await client.poll_activity_task()
    request = RespondActivityTaskCompletedRequest(task_token=task.task_token, result=LARGE)
    await client.call(request, RespondActivityTaskCompletedResponse)
    events = (await client.history()).history.events
    [failed] = [
        event for event in events if event.HasField("activity_task_failed_event_attributes")
    ]
    failure = failed.activity_task_failed_event_attributes.failure
    assert failure.message == "Complete result exceeds size limit."
    assert failure.server_failure_info.non_retryable


async def test_heartbeat_details_that_are_too_large_end_the_activity(client: Client) -> None:
    await schedule_activity(client)
    task = await client.poll_activity_task()
    beat = RecordActivityTaskHeartbeatRequest(task_token=task.task_token, details=LARGE)
    answer = await client.call(beat, RecordActivityTaskHeartbeatResponse)
    assert answer.cancel_requested
    assert await last_event_type(client) == EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED


async def test_a_failure_must_be_one_of_the_application(client: Client) -> None:
    await schedule_activity(client)
    task = await client.poll_activity_task()
    failure = await client.refusal(
        RespondActivityTaskFailedRequest(task_token=task.task_token, failure=Failure(message="m"))
    )
    assert failure.message == "Failure must have ApplicationFailureInfo."


async def test_an_activity_cannot_cancel_without_being_asked_to(client: Client) -> None:
    await schedule_activity(client)
    task = await client.poll_activity_task()
    failure = await client.refusal(RespondActivityTaskCanceledRequest(task_token=task.task_token))
    assert failure.code is Code.INVALID_ARGUMENT
    assert failure.message == (
        "unable to mark activity as canceled without activity being request canceled first"
    )


@pytest.mark.parametrize(
    "method", [*BY_TOKEN, "RespondWorkflowTaskCompleted", "RespondWorkflowTaskFailed"]
)
async def test_a_missing_or_broken_token_is_refused(client: Client, method: str) -> None:
    missing = await client.refusal(request_of(method, namespace="default"))
    broken = await client.refusal(request_of(method, namespace="default", task_token=b"zz"))
    assert (missing.code, broken.code) == (Code.INVALID_ARGUMENT, Code.INVALID_ARGUMENT)
    assert missing.message == "Task token not set on request."
    assert broken.message == "Error deserializing task token."


async def test_a_token_of_another_namespace_is_refused(client: Client) -> None:
    register = RegisterNamespaceRequest(
        namespace="other", workflow_execution_retention_period=Duration(seconds=86400)
    )
    await client.call(register, RegisterNamespaceResponse)
    await client.start()
    task = await client.poll_workflow_task()
    failure = await client.refusal(
        RespondWorkflowTaskCompletedRequest(namespace="other", task_token=task.task_token)
    )
    assert failure.code is Code.INVALID_ARGUMENT
    assert failure.message == "Operation requested with a token from a different namespace."


@pytest.mark.parametrize("method", [f"{name}ById" for name in BY_TOKEN])
async def test_activities_named_by_id_are_validated_and_looked_up(
    client: Client, method: str
) -> None:
    await client.start()
    cases: list[tuple[dict[str, object], Code, str]] = [
        ({}, Code.INVALID_ARGUMENT, "ActivityId is not set on request."),
        ({"activity_id": "one"}, Code.NOT_FOUND, "activity not found for ID: one"),
        (
            {"activity_id": "one", "workflow_id": WORKFLOW_ID, "run_id": "zz"},
            Code.INVALID_ARGUMENT,
            "RunId is not valid UUID.",
        ),
        (
            {"activity_id": "one", "workflow_id": "nobody"},
            Code.NOT_FOUND,
            "workflow not found for ID: nobody",
        ),
        (
            {"activity_id": "one", "workflow_id": WORKFLOW_ID},
            Code.NOT_FOUND,
            (
                "cannot find pending activity with ActivityID one,"
                " check workflow execution history for more details"
            ),
        ),
    ]
    for fields, code, text in cases:
        failure = await client.refusal(request_of(method, namespace="default", **fields))
        assert (failure.code, failure.message) == (code, text)


STICKY_WITHOUT_NORMAL = (
    "NormalName must be set on sticky queue when UseVersioning is true"
    " or DeploymentOptions are set."
)
POLL_REFUSALS: list[tuple[dict[str, object], Code, str]] = [
    ({"namespace": "nope"}, Code.NOT_FOUND, "Namespace nope is not found."),
    ({"task_queue": None}, Code.INVALID_ARGUMENT, "taskQueue is not set"),
    ({"task_queue": TaskQueue()}, Code.INVALID_ARGUMENT, "missing task queue name"),
    ({"identity": "x" * 1001}, Code.INVALID_ARGUMENT, "Identity length exceeds limit."),
    (
        {"worker_version_capabilities": WorkerVersionCapabilities(build_id="x" * 256)},
        Code.INVALID_ARGUMENT,
        "Build ID exceeds configured limit.workerBuildIdSize, use a shorter build ID.",
    ),
    (
        {
            "deployment_options": WorkerDeploymentOptions(
                worker_versioning_mode=WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED
            )
        },
        Code.INVALID_ARGUMENT,
        "Deployment name and build id must be set together.",
    ),
    (
        {
            "task_queue": TaskQueue(name="s", kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY),
            "deployment_options": WorkerDeploymentOptions(),
        },
        Code.INVALID_ARGUMENT,
        STICKY_WITHOUT_NORMAL,
    ),
]


@pytest.mark.parametrize("kind", [PollWorkflowTaskQueueRequest, PollActivityTaskQueueRequest])
@pytest.mark.parametrize(
    ("fields", "code", "text"), POLL_REFUSALS, ids=[text for _, _, text in POLL_REFUSALS]
)
async def test_a_wrong_poll_is_refused_in_the_words_of_the_real_server(
    client: Client, kind: type[Message], fields: dict[str, object], code: Code, text: str
) -> None:
    usual: dict[str, object] = {"namespace": "default", "task_queue": TaskQueue(name=QUEUE)}
    failure = await client.refusal(kind(**{**usual, **fields}))
    assert (failure.code, failure.message) == (code, text)


async def test_a_worker_that_is_versioned_in_the_old_way_is_told_of_the_new_one(
    client: Client,
) -> None:
    failure = await client.refusal(
        PollWorkflowTaskQueueRequest(
            namespace="default",
            task_queue=TaskQueue(name=QUEUE),
            worker_version_capabilities=WorkerVersionCapabilities(
                build_id="b", use_versioning=True
            ),
        )
    )
    assert failure.code is Code.UNIMPLEMENTED


async def test_a_poll_must_have_enough_time(client: Client) -> None:
    request = PollWorkflowTaskQueueRequest(namespace="default", task_queue=TaskQueue(name=QUEUE))
    short = await client.refusal(request, timeout_seconds=1.5)
    endless = await client.refusal(request, timeout_seconds=None)
    assert (short.code, short.message) == (
        Code.FAILED_PRECONDITION,
        "Context timeout is too short.",
    )
    assert (endless.code, endless.message) == (
        Code.INVALID_ARGUMENT,
        "Context timeout is not set.",
    )


async def test_the_polls_of_a_worker_that_shuts_down_are_answered_with_nothing(
    client: Client,
) -> None:
    workflow_poll = PollWorkflowTaskQueueRequest(
        namespace="default", task_queue=TaskQueue(name=QUEUE), worker_instance_key="me"
    )
    activity_poll = PollActivityTaskQueueRequest(
        namespace="default", task_queue=TaskQueue(name=QUEUE), worker_instance_key="me"
    )
    async with asyncio.TaskGroup() as group:
        polls = (
            group.create_task(client.call(workflow_poll, PollWorkflowTaskQueueResponse)),
            group.create_task(client.call(activity_poll, PollActivityTaskQueueResponse)),
        )
        while not all(poll.done() for poll in polls):
            shutdown = ShutdownWorkerRequest(namespace="default", worker_instance_key="me")
            await client.call(shutdown, ShutdownWorkerResponse)
            await asyncio.sleep(0)
    assert polls[0].result() == PollWorkflowTaskQueueResponse()
    assert polls[1].result() == PollActivityTaskQueueResponse()


@pytest.mark.parametrize(("time_left", "waits"), [(70.0, 60.0), (61.0, 60.0), (60.0, 59.0)])
def test_a_poll_without_a_task_is_answered_after_60_s(time_left: float, waits: float) -> None:
    assert long_poll_seconds(time_left, DEFAULT_LIMITS.task_poll_ns_max / SECOND_NS) == waits
