"""DescribeWorkflowExecution and ListWorkflowExecutions."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.command.v1 import (
    Command,
    ModifyWorkflowPropertiesCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.common.v1 import (
    Memo,
    Payload,
    Payloads,
    Priority,
    SearchAttributes,
    WorkflowExecution,
)
from temporalio.api.enums.v1 import (
    CommandType,
    EventType,
    PendingActivityState,
    PendingWorkflowTaskState,
    WorkflowExecutionStatus,
)
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
    RespondActivityTaskFailedRequest,
    RespondActivityTaskFailedResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
)

from perdure.server.frontend.listing import RUNS_WITHOUT_PAUSE
from perdure.transport import Code
from tests.frontend.client import QUEUE, WORKFLOW_ID, Client
from tests.frontend.test_tasks import schedule_activity

HELLO = Payloads(payloads=[Payload(data=b"hello")])


async def describe(client: Client) -> DescribeWorkflowExecutionResponse:
    """The description of the workflow."""
    request = DescribeWorkflowExecutionRequest(
        namespace="default", execution=WorkflowExecution(workflow_id=WORKFLOW_ID)
    )
    return await client.call(request, DescribeWorkflowExecutionResponse)


async def test_a_run_is_described_with_what_it_was_started_with(client: Client) -> None:
    metadata = UserMetadata(summary=Payload(data=b"summary"))
    run_id = await client.start(
        request_id="the-request",
        workflow_execution_timeout=Duration(seconds=100),
        memo=Memo(fields={"m": Payload(data=b"1")}),
        priority=Priority(priority_key=2),
        user_metadata=metadata,
        workflow_start_delay=Duration(seconds=7),
    )
    described = await describe(client)
    config, info = described.execution_config, described.workflow_execution_info
    extended = described.workflow_extended_info
    assert config.task_queue.name == QUEUE
    assert config.workflow_execution_timeout.seconds == 100
    assert config.workflow_run_timeout.seconds == 100
    assert config.default_workflow_task_timeout.seconds == 10
    assert config.user_metadata == metadata
    assert (info.execution.run_id, info.first_run_id) == (run_id, run_id)
    assert info.root_execution == info.execution
    assert info.type.name == "Type"
    assert info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
    assert info.memo.fields["m"].data == b"1"
    assert info.priority.priority_key == 2
    assert info.history_length == 1
    assert info.history_size_bytes > 0
    delay = info.execution_time.ToNanoseconds() - info.start_time.ToNanoseconds()
    assert delay == 7_000_000_000
    assert extended.original_start_time == info.start_time
    assert extended.execution_expiration_time.seconds >= info.start_time.seconds + 100
    assert extended.HasField("run_expiration_time")
    [(request_id, noted)] = extended.request_id_infos.items()
    assert request_id == "the-request"
    assert noted.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
    assert noted.event_id == 1
    assert not described.HasField("pending_workflow_task")


async def test_a_timeout_that_was_set_to_none_is_shown(client: Client) -> None:
    await client.start(workflow_execution_timeout=Duration(), workflow_run_timeout=Duration())
    config = (await describe(client)).execution_config
    assert config.HasField("workflow_execution_timeout")
    assert config.HasField("workflow_run_timeout")
    await client.terminate()
    await client.start(request_id="other")
    config = (await describe(client)).execution_config
    assert not config.HasField("workflow_execution_timeout")
    assert not config.HasField("workflow_run_timeout")


async def test_where_there_is_no_run_timeout_the_zero_time_stands(client: Client) -> None:
    await client.start()
    extended = (await describe(client)).workflow_extended_info
    assert extended.run_expiration_time == Timestamp(seconds=-62_135_596_800)
    assert not extended.HasField("execution_expiration_time")


async def test_the_workflow_task_is_described_as_scheduled_then_as_started(
    client: Client,
) -> None:
    await client.start()
    scheduled = (await describe(client)).pending_workflow_task
    await client.poll_workflow_task()
    started = (await describe(client)).pending_workflow_task
    assert scheduled.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
    assert not scheduled.HasField("started_time")
    assert started.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED
    assert started.HasField("started_time")
    assert (scheduled.attempt, started.attempt) == (1, 1)


async def test_pending_activities_are_described_through_their_attempts(client: Client) -> None:
    await schedule_activity(client)
    [scheduled] = (await describe(client)).pending_activities
    task = await client.poll_activity_task()
    beat = RecordActivityTaskHeartbeatRequest(task_token=task.task_token, details=HELLO)
    await client.call(beat, RecordActivityTaskHeartbeatResponse)
    [started] = (await describe(client)).pending_activities
    failure = Failure(
        message="no",
        application_failure_info=ApplicationFailureInfo(next_retry_delay=Duration(seconds=100)),
    )
    failed = RespondActivityTaskFailedRequest(
        task_token=task.task_token, failure=failure, identity="worker"
    )
    await client.call(failed, RespondActivityTaskFailedResponse)
    [waiting] = (await describe(client)).pending_activities
    assert [activity.state for activity in (scheduled, started, waiting)] == [
        PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
        PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
        PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED,
    ]
    assert [activity.attempt for activity in (scheduled, started, waiting)] == [1, 1, 2]
    assert (scheduled.activity_id, scheduled.activity_type.name) == ("one", "Activity")
    assert scheduled.activity_options.start_to_close_timeout.seconds == 30
    assert scheduled.activity_options.retry_policy.initial_interval.seconds == 1
    assert scheduled.priority.priority_key == 2
    assert started.last_worker_identity == "worker"
    assert started.HasField("last_started_time")
    assert started.heartbeat_details == HELLO
    assert started.HasField("last_heartbeat_time")
    assert waiting.last_failure.message == "no"
    assert waiting.last_worker_identity == "worker"
    assert waiting.current_retry_interval.seconds == 100
    assert waiting.HasField("next_attempt_schedule_time")
    assert waiting.HasField("last_attempt_complete_time")


async def test_a_closed_run_is_described_with_its_end(client: Client) -> None:
    await client.start()
    await client.terminate()
    info = (await describe(client)).workflow_execution_info
    assert info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED
    lasted = info.close_time.ToNanoseconds() - info.start_time.ToNanoseconds()
    assert info.execution_duration.ToNanoseconds() == lasted
    assert info.history_length == 3


async def list_page(
    client: Client, page_size: int = 0, token: bytes = b""
) -> ListWorkflowExecutionsResponse:
    """One page of the list."""
    request = ListWorkflowExecutionsRequest(
        namespace="default", page_size=page_size, next_page_token=token
    )
    return await client.call(request, ListWorkflowExecutionsResponse)


CHANGES = Payload(metadata={"encoding": b"json/plain"}, data=b'["x"]')


async def test_a_list_shows_open_runs_first_and_the_newest_first(client: Client) -> None:
    for name in ("one", "two", "three", "four"):
        await client.start(name)
    await client.terminate("four")
    await client.terminate("two")
    seen: list[str] = []
    token = b""
    while True:
        page = await list_page(client, 1, token)
        seen += [info.execution.workflow_id for info in page.executions]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["three", "one", "two", "four"]


async def test_a_list_shows_sizes_of_closed_runs_only(client: Client) -> None:
    await client.start("open")
    await client.start("closed")
    await client.terminate("closed")
    still_open, closed = (await list_page(client)).executions
    assert still_open.history_length == 0
    assert closed.history_length == 3
    assert closed.HasField("close_time")
    assert (still_open.type.name, still_open.task_queue) == ("Type", QUEUE)


async def test_a_list_shows_memo_and_search_attributes_as_they_are_now(client: Client) -> None:
    await client.start(memo=Memo(fields={"kept": Payload(data=b"1"), "new": Payload(data=b"2")}))
    task = await client.poll_workflow_task()
    commands = [
        Command(
            command_type=CommandType.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES,
            modify_workflow_properties_command_attributes=(
                ModifyWorkflowPropertiesCommandAttributes(
                    upserted_memo=Memo(fields={"new": Payload(data=b"3")})
                )
            ),
        ),
        Command(
            command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
            upsert_workflow_search_attributes_command_attributes=(
                UpsertWorkflowSearchAttributesCommandAttributes(
                    search_attributes=SearchAttributes(
                        indexed_fields={"TemporalChangeVersion": CHANGES}
                    )
                )
            ),
        ),
    ]
    await client.call(
        RespondWorkflowTaskCompletedRequest(
            namespace="default", task_token=task.task_token, commands=commands
        ),
        RespondWorkflowTaskCompletedResponse,
    )
    [info] = (await list_page(client)).executions
    assert {key: value.data for key, value in info.memo.fields.items()} == {
        "kept": b"1",
        "new": b"3",
    }
    changes = info.search_attributes.indexed_fields["TemporalChangeVersion"]
    assert (changes.data, changes.metadata["type"]) == (b'["x"]', b"KeywordList")
    assert "BuildIds" in info.search_attributes.indexed_fields


async def test_a_long_page_has_every_run_once(client: Client) -> None:
    names = [f"run-{number}" for number in range(2 * RUNS_WITHOUT_PAUSE + 7)]
    for name in names:
        await client.start(name)
    page = await list_page(client)
    assert [info.execution.workflow_id for info in page.executions] == names[::-1]


async def test_a_broken_list_token_is_refused(client: Client) -> None:
    failure = await client.refusal(
        ListWorkflowExecutionsRequest(namespace="default", next_page_token=b"zz")
    )
    assert (failure.code, failure.message) == (
        Code.INVALID_ARGUMENT,
        "Invalid NextPageToken.",
    )
