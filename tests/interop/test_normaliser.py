"""Only the named differences vanish; whatever is dropped, added or moved is seen."""

from __future__ import annotations

import uuid

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import (
    GrpcStatus,
    Memo,
    Payload,
    Payloads,
    RetryPolicy,
    WorkflowType,
)
from temporalio.api.enums.v1 import EventType
from temporalio.api.errordetails.v1 import WorkflowExecutionAlreadyStartedFailure
from temporalio.api.history.v1 import (
    HistoryEvent,
    MarkerRecordedEventAttributes,
    WorkflowExecutionContinuedAsNewEventAttributes,
    WorkflowExecutionStartedEventAttributes,
    WorkflowTaskCompletedEventAttributes,
    WorkflowTaskStartedEventAttributes,
)
from temporalio.api.sdk.v1 import WorkflowTaskCompletedMetadata
from temporalio.api.workflow.v1 import PendingActivityInfo, WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryResponse

from tests.interop.normaliser import Normaliser

RUN = "01a20bbe-dde4-74b9-8629-57b17451d8f6"
OTHER = "01a20bbe-ddfe-7e42-844c-f933568f475d"
Started = WorkflowExecutionStartedEventAttributes
TaskStarted = WorkflowTaskStartedEventAttributes


def normalised(*messages: Message, nonces: tuple[str, ...] = ()) -> list[dict[str, object]]:
    return Normaliser(nonces).messages(messages)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(Started(), Started(attempt=1), id="number"),
        pytest.param(Started(), Started(identity="x"), id="string"),
        pytest.param(Started(), Started(original_execution_run_id=RUN), id="id"),
        pytest.param(Started(), Started(workflow_type=WorkflowType()), id="empty message"),
        pytest.param(Started(), Started(workflow_run_timeout=Duration()), id="zero duration"),
        pytest.param(HistoryEvent(), HistoryEvent(event_time=Timestamp()), id="zero time"),
        pytest.param(
            HistoryEvent(event_time=Timestamp()),
            HistoryEvent(event_time=Timestamp(seconds=1)),
            id="zero time and a time",
        ),
        pytest.param(HistoryEvent(), HistoryEvent(task_id=1), id="task id"),
        pytest.param(HistoryEvent(), HistoryEvent(worker_may_ignore=True), id="boolean"),
        pytest.param(
            HistoryEvent(), HistoryEvent(event_type=EventType.EVENT_TYPE_TIMER_FIRED), id="enum"
        ),
        pytest.param(TaskStarted(), TaskStarted(history_size_bytes=1), id="measured size"),
        pytest.param(
            WorkflowExecutionInfo(),
            WorkflowExecutionInfo(execution_duration=Duration()),
            id="measured duration",
        ),
        pytest.param(
            GetWorkflowExecutionHistoryResponse(),
            GetWorkflowExecutionHistoryResponse(next_page_token=b"x"),
            id="token",
        ),
        pytest.param(Payloads(), Payloads(payloads=[Payload()]), id="element"),
        pytest.param(Memo(), Memo(fields={"a": Payload()}), id="map entry"),
    ],
)
def test_an_unset_field_differs_from_a_set_one(one: Message, other: Message) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(
            Payloads(payloads=[Payload(data=b"1"), Payload(data=b"2")]),
            Payloads(payloads=[Payload(data=b"2"), Payload(data=b"1")]),
            id="messages",
        ),
        pytest.param(
            RetryPolicy(non_retryable_error_types=["a", "b"]),
            RetryPolicy(non_retryable_error_types=["b", "a"]),
            id="strings",
        ),
    ],
)
def test_order_counts(one: Message, other: Message) -> None:
    assert normalised(one) != normalised(other)


def test_the_order_of_messages_counts() -> None:
    one, two = HistoryEvent(event_id=1), HistoryEvent(event_id=2)
    assert normalised(one, two) != normalised(two, one)


def test_the_order_of_map_entries_does_not_count() -> None:
    one = Memo(fields={"a": Payload(data=b"1"), "b": Payload(data=b"2")})
    other = Memo(fields={"b": Payload(data=b"2"), "a": Payload(data=b"1")})
    assert normalised(one) == normalised(other)


def test_a_duration_is_kept_to_the_nanosecond() -> None:
    one = Started(first_workflow_task_backoff=Duration(seconds=1, nanos=1))
    other = Started(first_workflow_task_backoff=Duration(seconds=1, nanos=2))
    assert normalised(one) != normalised(other)


def test_a_field_of_a_later_schema_is_kept() -> None:
    # Field 999 as a varint.
    later = WorkflowType.FromString(WorkflowType(name="a").SerializeToString() + b"\xb8\x3e\x07")
    assert normalised(later) == [{"name": "a", "unknown field 999": ["7"]}]


def test_ids_times_and_task_ids_of_two_servers_are_equal() -> None:
    def event(run_id: str, seconds: int, task_id: int) -> HistoryEvent:
        return HistoryEvent(
            event_time=Timestamp(seconds=seconds),
            task_id=task_id,
            workflow_execution_started_event_attributes=Started(
                original_execution_run_id=run_id, first_execution_run_id=run_id
            ),
        )

    assert normalised(event(RUN, 5, 6)) == normalised(event(OTHER, 7, 8))


def test_the_same_id_has_the_same_placeholder_and_another_another() -> None:
    same = Started(original_execution_run_id=RUN, first_execution_run_id=RUN)
    different = Started(original_execution_run_id=RUN, first_execution_run_id=OTHER)
    assert normalised(same) != normalised(different)
    assert normalised(same) == [
        {"original_execution_run_id": "<run-1>", "first_execution_run_id": "<run-1>"}
    ]


def test_an_id_is_known_again_in_another_message_and_inside_a_text() -> None:
    closing = WorkflowExecutionContinuedAsNewEventAttributes(new_execution_run_id=RUN)
    text = WorkflowType(name=f"RunId: {RUN}.")
    assert normalised(closing, text) == [
        {"new_execution_run_id": "<run-1>"},
        {"name": "RunId: <run-1>."},
    ]


def test_a_text_that_is_no_uuid_is_compared_as_it_is() -> None:
    assert normalised(Started(first_execution_run_id="1")) != normalised(
        Started(first_execution_run_id="2")
    )


def test_only_the_nonce_of_a_chosen_id_is_replaced() -> None:
    one = normalised(Started(workflow_id="a-123"), nonces=("123",))
    assert one == normalised(Started(workflow_id="a-456"), nonces=("456",))
    assert one != normalised(Started(workflow_id="b-456"), nonces=("456",))


def test_identities_are_compared() -> None:
    assert normalised(TaskStarted(identity="a")) != normalised(TaskStarted(identity="b"))


def test_a_packed_message_is_opened() -> None:
    def packed(run_id: str, request_id: str = "r") -> GrpcStatus:
        detail = AnyMessage()
        detail.Pack(
            WorkflowExecutionAlreadyStartedFailure(run_id=run_id, start_request_id=request_id)
        )
        return GrpcStatus(details=[detail])

    assert normalised(packed(RUN)) == normalised(packed(OTHER))
    assert normalised(packed(RUN)) != normalised(packed(OTHER, "s"))


def test_the_flags_that_a_worker_shuffles_are_a_set() -> None:
    def completed(*flags: int) -> WorkflowTaskCompletedEventAttributes:
        metadata = WorkflowTaskCompletedMetadata(core_used_flags=flags)
        return WorkflowTaskCompletedEventAttributes(sdk_metadata=metadata)

    assert normalised(completed(1, 2)) == normalised(completed(2, 1))
    assert normalised(completed(1, 2)) != normalised(completed(1, 2, 3))


def test_only_the_times_of_the_marker_of_a_local_activity_are_replaced() -> None:
    def marker(attempt: int, nanos: int) -> MarkerRecordedEventAttributes:
        data = f'{{"attempt":{attempt},"complete_time":{{"seconds":1,"nanos":{nanos}}}}}'
        details = {"data": Payloads(payloads=[Payload(data=data.encode())])}
        return MarkerRecordedEventAttributes(details=details)

    assert normalised(marker(1, 5)) == normalised(marker(1, 6))
    assert normalised(marker(1, 5)) != normalised(marker(2, 5))


def test_a_retry_interval_read_from_two_clocks_is_compared_to_ten_milliseconds() -> None:
    def pending(nanos: int) -> PendingActivityInfo:
        return PendingActivityInfo(current_retry_interval=Duration(seconds=3, nanos=nanos))

    assert normalised(pending(1_000)) == normalised(pending(4_000_000))
    assert normalised(pending(1_000)) != normalised(pending(20_000_000))


def test_bytes_that_are_no_text_are_compared_as_they_are() -> None:
    assert normalised(Payload(data=b"\xff\x01")) != normalised(Payload(data=b"\xff\x02"))


def test_an_id_without_hyphens_is_one_too() -> None:
    one, other = uuid.uuid4().hex, uuid.uuid4().hex
    assert normalised(WorkflowType(name=f"sticky-{one}")) == normalised(
        WorkflowType(name=f"sticky-{other}")
    )
