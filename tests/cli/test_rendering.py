"""How times, payloads, failures and events read."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType, RetryState, TimeoutType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from perdure.cli.parameters import duration
from perdure.cli.rendering.events import MACHINERY, Story, event_words, line_of
from perdure.cli.rendering.failures import failure_lines
from perdure.cli.rendering.payloads import brief, json_value
from perdure.cli.rendering.timeline import TONES, print_timeline
from perdure.cli.rendering.times import took


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("2d", 172_800), ("1.5s", 1.5)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5 m", "-5s", "5x", "5s!", "9" * 30 + "w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (-0.1, "0 ms"),
        (0.0123, "12 ms"),
        (0.9999, "1 s"),
        (1.25, "1.25 s"),
        (59.999, "1 m"),
        (61, "1 m 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 m"),
        (30 * 86_400, "30 d"),
        (86_400 + 60, "1 d"),
    ],
)
def test_a_time_is_told_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert took(seconds) == text


def payload(encoding: str, data: bytes) -> Payload:
    return Payload(metadata={"encoding": encoding.encode()}, data=data)


@pytest.mark.parametrize(
    ("encoding", "data", "text", "value"),
    [
        ("json/plain", b'{"a": 1}', '{"a": 1}', {"a": 1}),
        ("json/protobuf", b'{"a":1}', '{"a": 1}', {"a": 1}),
        ("binary/null", b"", "null", None),
        ("binary/plain", b"\x00\x01", "<2 bytes>", None),
        ("binary/encrypted", b"secret", "<binary/encrypted, 6 bytes>", None),
        ("json/plain", b"broken", "broken", None),
    ],
)
def test_a_payload_is_shown_as_far_as_it_can_be_read(
    encoding: str, data: bytes, text: str, value: object
) -> None:
    one = payload(encoding, data)
    assert brief(one) == text
    if value is None and encoding != "binary/null":
        assert set(json_value(one)) == {"metadata", "data"}
    else:
        assert json_value(one) == value


def test_a_long_payload_is_cut() -> None:
    text = brief(payload("json/plain", b'"' + b"x" * 500 + b'"'), length_max=20)
    assert len(text) == 20
    assert text.endswith("…")


def test_a_failure_is_told_with_its_kind_and_causes() -> None:
    failure = Failure(message="Activity task timed out")
    failure.activity_failure_info.activity_type.name = "pay"
    failure.activity_failure_info.retry_state = RetryState.RETRY_STATE_TIMEOUT
    failure.cause.message = "activity ScheduleToClose timeout"
    timeout = failure.cause.timeout_failure_info
    timeout.timeout_type = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
    failure.cause.cause.message = "no answer"
    failure.cause.cause.application_failure_info.type = "BankDown"
    failure.cause.cause.application_failure_info.non_retryable = True
    assert failure_lines(failure) == [
        "activity pay: Activity task timed out (timeout)",
        "caused by timeout (schedule to close): activity ScheduleToClose timeout",
        "caused by BankDown: no answer (not to be retried)",
    ]


def test_an_endless_chain_of_causes_ends() -> None:
    failure = inner = Failure(message="0")
    for number in range(1, 100):
        inner = inner.cause
        inner.message = str(number)
    assert len(failure_lines(failure)) == 20


EVENT_TYPES = [number for number in EventType.values() if number]


def event_of(event_type: int, event_id: int = 1) -> HistoryEvent:
    """An event with nothing in its attributes."""
    name = EventType.Name(EventType.ValueType(event_type))
    field = name.removeprefix("EVENT_TYPE_").lower() + "_event_attributes"
    event = HistoryEvent(event_id=event_id, event_type=EventType.ValueType(event_type))
    if field in event.DESCRIPTOR.fields_by_name:
        getattr(event, field).SetInParent()
    return event


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=event_words)
def test_every_kind_of_event_can_be_told(event_type: int) -> None:
    event = event_of(event_type)
    line = line_of(event, Story([event]), everything=True)
    assert line is not None
    assert line.tone in TONES
    assert line.what
    shown = line_of(event, Story([event]), everything=False)
    assert shown == (None if event_type in MACHINERY else line)


def test_an_attempt_tells_how_the_one_before_failed() -> None:
    scheduled = event_of(EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, 1)
    scheduled.activity_task_scheduled_event_attributes.activity_type.name = "pay"
    scheduled.event_time.CopyFrom(Timestamp(seconds=10))
    started = event_of(EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED, 2)
    started.event_time.CopyFrom(Timestamp(seconds=11))
    started.activity_task_started_event_attributes.attempt = 2
    started.activity_task_started_event_attributes.last_failure.message = "no answer"
    completed = event_of(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, 3)
    completed.event_time.CopyFrom(Timestamp(seconds=12, nanos=500_000_000))
    completed.activity_task_completed_event_attributes.scheduled_event_id = 1
    completed.activity_task_completed_event_attributes.started_event_id = 2
    text = io.StringIO()
    print_timeline(Console(file=text, width=100), [scheduled, started, completed])
    assert text.getvalue().splitlines() == [
        "1  +0.000 s  · activity scheduled         pay()",
        "3  +2.500 s  ✔ activity completed  2.5 s  pay",
        "                                          attempt 2; the one before: no answer",
    ]
