"""How calls fail and are tried again, and what comes of their answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from temporalio.api.common.v1 import GrpcStatus, WorkflowExecution
from temporalio.api.errordetails.v1 import (
    QueryFailedFailure,
    WorkflowExecutionAlreadyStartedFailure,
)
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.query.v1 import QueryRejected
from temporalio.api.update.v1 import Outcome
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryResponse,
    ListWorkflowExecutionsResponse,
    PollWorkflowExecutionUpdateResponse,
    PollWorkflowTaskQueueResponse,
    QueryWorkflowResponse,
    RecordActivityTaskHeartbeatResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    UpdateWorkflowExecutionResponse,
)

from perdure.client import (
    AsyncActivityCancelledError,
    Client,
    RetryConfig,
    RPCError,
    RPCStatusCode,
    WorkflowContinuedAsNewError,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from perdure.converter import PayloadConverter
from perdure.exceptions import (
    ApplicationError,
    CancelledError,
    TerminatedError,
    WorkflowAlreadyStartedError,
)
from perdure.exceptions import TimeoutError as WorkflowTimeoutError
from perdure.service import PASSING, _Attempts
from perdure.transport import CallFailed, Code
from tests.sdk.recording_service import RecordingService

AT_ONCE = RetryConfig(initial_interval_millis=0, max_retries=3)
STARTED = StartWorkflowExecutionResponse(run_id="run", started=True)


def _client(service: RecordingService, retry_config: RetryConfig = AT_ONCE) -> Client:
    return Client._over(service.in_process(), retry_config=retry_config)


@pytest.mark.parametrize(
    "code", sorted(PASSING - {Code.RESOURCE_EXHAUSTED}), ids=lambda code: code.name
)
async def test_what_may_pass_is_tried_again_with_the_same_request_id(code: Code) -> None:
    failed = CallFailed(code, "for now")
    service = RecordingService({"StartWorkflowExecution": [failed, failed, STARTED]})
    await _client(service).start_workflow("Type", id="w", task_queue="q")
    first, *others = service.named("StartWorkflowExecution")
    assert len(others) == 2
    assert all(other == first for other in others)
    assert first.request_id


@pytest.mark.parametrize(
    "code", sorted(frozenset(Code) - PASSING - {Code.OK}), ids=lambda code: code.name
)
async def test_what_will_not_pass_is_not_tried_again(code: Code) -> None:
    service = RecordingService({"StartWorkflowExecution": CallFailed(code, "for ever")})
    with pytest.raises(RPCError, match="for ever") as caught:
        await _client(service).start_workflow("Type", id="w", task_queue="q")
    assert caught.value.status == RPCStatusCode(int(code))
    assert caught.value.grpc_status.code == int(code)
    assert len(service.requests) == 1


async def test_retries_come_to_an_end() -> None:
    service = RecordingService({"StartWorkflowExecution": CallFailed(Code.UNAVAILABLE, "down")})
    with pytest.raises(RPCError, match="down"):
        await _client(service).start_workflow("Type", id="w", task_queue="q")
    assert len(service.requests) == 1 + AT_ONCE.max_retries


def _attempts(**options: Any) -> _Attempts:
    arguments: dict[str, Any] = {"retry": True, "timeout": None, "long_poll": False, **options}
    return _Attempts(RetryConfig(randomization_factor=0), **arguments)


def test_waits_grow_up_to_a_limit_and_then_the_call_gives_up() -> None:
    attempts = _Attempts(
        RetryConfig(
            randomization_factor=0,
            max_interval_millis=200,
            max_elapsed_time_millis=None,
            max_retries=4,
        ),
        True,
        None,
        False,
    )
    waits: list[float] = []
    while attempts.go_on_after(CallFailed(Code.UNAVAILABLE, "")):
        waits.append(attempts.wait_seconds)
    assert waits == pytest.approx([0.1, 0.15, 0.2, 0.2])


def test_a_service_short_of_resources_is_given_more_time() -> None:
    attempts = _attempts()
    assert attempts.go_on_after(CallFailed(Code.RESOURCE_EXHAUSTED, "rate limit"))
    assert attempts.wait_seconds >= 0.8
    too_large = "grpc: received message larger than max (9 vs. 4)"
    assert not attempts.go_on_after(CallFailed(Code.RESOURCE_EXHAUSTED, too_large))


def test_no_wait_goes_beyond_the_callers_timeout() -> None:
    attempts = _attempts(timeout=timedelta(milliseconds=50))
    assert 0 < attempts.time_left() <= 0.05
    assert not attempts.go_on_after(CallFailed(Code.UNAVAILABLE, ""))


def test_only_a_long_poll_without_a_timeout_is_begun_anew_when_its_time_is_over() -> None:
    over = CallFailed(Code.DEADLINE_EXCEEDED, "")
    assert _attempts(long_poll=True).go_on_after(over)
    assert not _attempts(long_poll=True, timeout=timedelta(seconds=9)).go_on_after(over)
    assert not _attempts().go_on_after(over)
    assert not _attempts(long_poll=True, retry=False).go_on_after(over)


async def test_a_refusal_of_a_service_that_is_down_names_the_connection() -> None:
    with pytest.raises(RuntimeError, match="Failed client connect: UNAVAILABLE"):
        await Client.connect("127.0.0.1:1")


async def test_a_lazy_client_connects_with_its_first_call() -> None:
    client = await Client.connect("127.0.0.1:1", lazy=True, retry_config=RetryConfig(max_retries=0))
    try:
        with pytest.raises(RPCError) as caught:
            await client.count_workflows()
        assert caught.value.status is RPCStatusCode.UNAVAILABLE
    finally:
        await client.service_client.close()


def _status(code: Code, message: str, detail: Any) -> CallFailed:
    packed = AnyMessage()
    packed.Pack(detail)
    status = GrpcStatus(code=int(code), message=message, details=[packed])
    return CallFailed(code, message, status.SerializeToString())


async def test_details_of_a_refusal_cross_the_wire() -> None:
    refusal = _status(
        Code.ALREADY_EXISTS,
        "already started",
        WorkflowExecutionAlreadyStartedFailure(run_id="other", first_execution_run_id="first"),
    )
    service = RecordingService({"StartWorkflowExecution": refusal})
    async with service.over_grpc() as address:
        client = await Client.connect(address)
        try:
            with pytest.raises(WorkflowAlreadyStartedError) as caught:
                await client.start_workflow("Type", id="w", task_queue="q")
        finally:
            await client.service_client.close()
    error = caught.value
    assert (error.workflow_id, error.workflow_type) == ("w", "Type")
    assert (error.run_id, error.first_run_id) == ("other", "first")


def _closed(kind: str, **attributes: Any) -> GetWorkflowExecutionHistoryResponse:
    name = f"workflow_execution_{kind}"
    event_types = {
        "completed": 2, "failed": 3, "timed_out": 4, "canceled": 21, "terminated": 27,
        "continued_as_new": 28,
    }  # fmt: skip
    event = HistoryEvent(event_id=9, event_type=event_types[kind])  # type: ignore[arg-type]
    holder = getattr(event, f"{name}_event_attributes")
    holder.SetInParent()
    for field, value in attributes.items():
        if isinstance(value, str):
            setattr(holder, field, value)
        else:
            getattr(holder, field).CopyFrom(value)
    return GetWorkflowExecutionHistoryResponse(history=History(events=[event]))


def _payloads(*values: Any) -> Any:
    return PayloadConverter.default.to_payloads_wrapper(values)


async def _result(*answers: GetWorkflowExecutionHistoryResponse, **options: Any) -> Any:
    service = RecordingService({"GetWorkflowExecutionHistory": list(answers)})
    return await _client(service).get_workflow_handle("w", run_id="r").result(**options)


async def test_a_result_is_that_of_the_last_run() -> None:
    service = RecordingService(
        {
            "GetWorkflowExecutionHistory": [
                GetWorkflowExecutionHistoryResponse(next_page_token=b"still running"),
                _closed("continued_as_new", new_execution_run_id="second"),
                _closed("failed", new_execution_run_id="third"),
                _closed("completed", result=_payloads([1])),
            ]
        }
    )
    handle = _client(service).get_workflow_handle("w", run_id="r", result_type=list[int])
    assert await handle.result() == [1]
    asked = service.named("GetWorkflowExecutionHistory")
    assert [one.execution.run_id for one in asked] == ["r", "r", "second", "third"]
    assert asked[1].next_page_token == b"still running"


async def test_a_workflow_without_a_result_gives_none() -> None:
    assert await _result(_closed("completed")) is None


async def test_runs_that_are_not_followed_end_as_they_did() -> None:
    with pytest.raises(WorkflowContinuedAsNewError) as caught:
        await _result(_closed("continued_as_new", new_execution_run_id="second"), follow_runs=False)
    assert caught.value.new_execution_run_id == "second"
    with pytest.raises(WorkflowFailureError):
        await _result(_closed("failed", new_execution_run_id="second"), follow_runs=False)
    kept = _closed("completed", new_execution_run_id="next", result=_payloads(1))
    assert await _result(kept, follow_runs=False) == 1


async def test_a_workflow_that_did_not_complete_raises_the_reason() -> None:
    failure = HistoryEvent().workflow_execution_failed_event_attributes.failure
    failure.message = "went wrong"
    failure.application_failure_info.type = "Kind"
    causes: list[Any] = []
    for answer in (
        _closed("failed", failure=failure),
        _closed("canceled", details=_payloads("detail")),
        _closed("terminated", reason="enough", details=_payloads(1)),
        _closed("timed_out"),
    ):
        with pytest.raises(WorkflowFailureError) as caught:
            await _result(answer)
        causes.append(caught.value.cause)
    failed, cancelled, terminated, timed_out = causes
    assert isinstance(failed, ApplicationError)
    assert failed.type == "Kind"
    assert isinstance(cancelled, CancelledError)
    assert list(cancelled.details) == ["detail"]
    assert isinstance(terminated, TerminatedError)
    assert (terminated.message, list(terminated.details)) == ("enough", [1])
    assert isinstance(timed_out, WorkflowTimeoutError)


async def test_a_query_that_is_not_answered_says_why() -> None:
    rejected = QueryWorkflowResponse(query_rejected=QueryRejected(status=2))  # type: ignore[arg-type]
    failed = _status(Code.INVALID_ARGUMENT, "no such query", QueryFailedFailure())
    answered = QueryWorkflowResponse(query_result=_payloads({"a": 1}))
    service = RecordingService({"QueryWorkflow": [rejected, failed, answered]})
    handle = _client(service).get_workflow_handle("w")
    with pytest.raises(WorkflowQueryRejectedError) as rejection:
        await handle.query("q")
    assert rejection.value.status is WorkflowExecutionStatus.COMPLETED
    with pytest.raises(WorkflowQueryFailedError, match="no such query"):
        await handle.query("q")
    assert await handle.query("q", result_type=dict[str, int]) == {"a": 1}


async def test_an_update_is_sent_until_it_is_accepted_and_polled_until_it_is_done() -> None:
    admitted, accepted = (UpdateWorkflowExecutionResponse(stage=stage) for stage in (1, 2))  # type: ignore[arg-type]
    pending = PollWorkflowExecutionUpdateResponse()
    done = PollWorkflowExecutionUpdateResponse(outcome=Outcome(success=_payloads(7)))
    service = RecordingService(
        {
            "UpdateWorkflowExecution": [admitted, accepted],
            "PollWorkflowExecutionUpdate": [pending, done],
        }
    )
    handle = _client(service).get_workflow_handle("w")
    assert await handle.execute_update("u", 1) == 7
    first, second = service.named("UpdateWorkflowExecution")
    assert first == second
    assert len(service.named("PollWorkflowExecutionUpdate")) == 2


async def test_an_update_that_fails_raises_its_cause() -> None:
    outcome = Outcome()
    outcome.failure.message = "rejected"
    outcome.failure.application_failure_info.SetInParent()
    failed = UpdateWorkflowExecutionResponse(stage=3, outcome=outcome)  # type: ignore[arg-type]
    service = RecordingService({"UpdateWorkflowExecution": [failed]})
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await _client(service).get_workflow_handle("w").execute_update("u")
    assert isinstance(caught.value.cause, ApplicationError)
    late = RecordingService({"UpdateWorkflowExecution": CallFailed(Code.CANCELLED, "late")})
    with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
        await _client(late).get_workflow_handle("w").execute_update("u")


async def test_workflows_are_listed_page_by_page_up_to_the_limit() -> None:
    def page(*ids: str, token: bytes = b"") -> ListWorkflowExecutionsResponse:
        executions = [
            WorkflowExecutionInfo(execution=WorkflowExecution(workflow_id=one, run_id="r"))
            for one in ids
        ]
        return ListWorkflowExecutionsResponse(executions=executions, next_page_token=token)

    pages = [page("a", "b", token=b"1"), page(token=b"2"), page("c", "d", token=b"3"), page("e")]
    for limit, expected in ((None, "abcde"), (3, "abc"), (2, "ab"), (0, "")):
        service = RecordingService({"ListWorkflowExecutions": list(pages)})
        found = _client(service).list_workflows(limit=limit)
        assert "".join([one.id async for one in found]) == expected


async def test_the_histories_of_listed_workflows_are_fetched_one_by_one() -> None:
    info = WorkflowExecutionInfo(execution=WorkflowExecution(workflow_id="w", run_id="r"))
    service = RecordingService(
        {
            "ListWorkflowExecutions": ListWorkflowExecutionsResponse(executions=[info]),
            "GetWorkflowExecutionHistory": _closed("completed"),
        }
    )
    histories = [one async for one in _client(service).list_workflows().map_histories()]
    assert [(one.workflow_id, len(one.events)) for one in histories] == [("w", 1)]
    assert service.named("GetWorkflowExecutionHistory")[0].execution.run_id == "r"


@pytest.mark.parametrize("reason", ["cancel_requested", "activity_paused", "activity_reset"])
async def test_a_heartbeat_tells_when_the_activity_should_stop(reason: str) -> None:
    response = RecordActivityTaskHeartbeatResponse(**{reason: True})
    service = RecordingService({"RecordActivityTaskHeartbeat": response})
    handle = _client(service).get_async_activity_handle(task_token=b"t")
    with pytest.raises(AsyncActivityCancelledError) as caught:
        await handle.heartbeat()
    assert getattr(caught.value.details, reason.removeprefix("activity_"))


class Slot:
    def __init__(self) -> None:
        self.filled: list[PollWorkflowTaskQueueResponse] = []
        self.released = False

    def fill(self, task: PollWorkflowTaskQueueResponse) -> None:
        self.filled.append(task)

    def release(self) -> None:
        self.released = True


async def test_an_eager_start_hands_its_first_task_to_a_worker_of_the_connection() -> None:
    task = PollWorkflowTaskQueueResponse(task_token=b"t")
    eager = StartWorkflowExecutionResponse(run_id="r", eager_workflow_task=task)
    failed = CallFailed(Code.NOT_FOUND, "no namespace")
    service = RecordingService({"StartWorkflowExecution": [eager, STARTED, failed]})
    client = _client(service)
    slots = [Slot() for _ in range(3)]
    given = iter(slots)
    client.service_client.eager_workflow_slots["default", "q"] = lambda: next(given)
    handles = [
        await client.start_workflow("Type", id="w", task_queue="q", request_eager_start=True)
        for _ in range(2)
    ]
    assert [getattr(one, "__temporal_eagerly_started") for one in handles] == [True, False]
    with pytest.raises(RPCError):
        await client.start_workflow("Type", id="w", task_queue="q", request_eager_start=True)
    assert [slot.filled for slot in slots] == [[task], [], []]
    assert [slot.released for slot in slots] == [False, True, True]
    assert all(one.request_eager_execution for one in service.named("StartWorkflowExecution"))


async def test_no_eager_start_is_asked_for_without_a_worker_that_has_room() -> None:
    service = RecordingService({"StartWorkflowExecution": STARTED})
    client = _client(service)
    await client.start_workflow("Type", id="w", task_queue="q", request_eager_start=True)
    client.service_client.eager_workflow_slots["default", "q"] = lambda: None
    await client.start_workflow("Type", id="w", task_queue="q", request_eager_start=True)
    asked = service.named("StartWorkflowExecution")
    assert [one.request_eager_execution for one in asked] == [False, False]


async def test_any_rpc_can_be_called_by_its_name() -> None:
    service = RecordingService({"StartWorkflowExecution": STARTED})
    rpcs = _client(service).workflow_service
    request = StartWorkflowExecutionRequest(workflow_id="w")
    assert await rpcs.start_workflow_execution(request) == STARTED
    with pytest.raises(AttributeError, match="no method"):
        _ = rpcs.start_everything


async def test_a_client_of_a_closed_connection_connects_anew() -> None:
    service = RecordingService()
    async with service.over_grpc() as address:
        client = await Client.connect(address)
        await client.service_client.close()
        assert (await client.count_workflows()).count == 0
        await client.service_client.close()
