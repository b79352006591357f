"""The calls of a Nexus operation: its table, enumerated, and what it promises."""

from __future__ import annotations

import typing

import pytest
from temporalio.api.failure.v1 import Failure

from perdure.server.machines.backoff import backoff_ns
from perdure.server.machines.nexus.outcomes import (
    AsyncStarted,
    CancelAccepted,
    HandlerFailed,
    OperationFailed,
    SyncSuccess,
    Unreachable,
)
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.workflow.nexus import attempts, timing
from perdure.server.machines.workflow.nexus.state import (
    Calls,
    CallState,
    Cancellation,
    CancelState,
    Operation,
    PendingOperation,
)

NOW = 1_000 * SECOND_NS
HAPPENINGS: tuple[type, ...] = typing.get_args(attempts.Happening)
EXAMPLES: dict[type, attempts.Happening] = {
    attempts.StartAnswered: attempts.StartAnswered(2, AsyncStarted("token")),
    attempts.Completed: attempts.Completed(SyncSuccess(b"x"), "token", 0),
    attempts.BackoffOver: attempts.BackoffOver(),
    attempts.CallBegun: attempts.CallBegun(NOW + 12),
    attempts.CallsLost: attempts.CallsLost(),
    attempts.TimedOut: attempts.TimedOut(1),
    attempts.CancelRequested: attempts.CancelRequested(7),
    attempts.CancelBackoffOver: attempts.CancelBackoffOver(),
    attempts.CancelCallBegun: attempts.CancelCallBegun(NOW + 12),
    attempts.CancelAnswered: attempts.CancelAnswered(1, CancelAccepted()),
}
"""For operations of which one call is over, and of whose cancellation none."""
SCHEDULED, BACKING_OFF, STARTED, BUFFERED = CallState
# fmt: off
RESULTS: dict[type, dict[CallState, type | None]] = {
    attempts.StartAnswered: {
        SCHEDULED: attempts.Started, BACKING_OFF: None, STARTED: None, BUFFERED: None,
    },
    attempts.Completed: {
        SCHEDULED: attempts.Succeeded, BACKING_OFF: attempts.Succeeded,
        STARTED: attempts.Succeeded, BUFFERED: None,
    },
    attempts.BackoffOver: {
        SCHEDULED: None, BACKING_OFF: Calls, STARTED: None, BUFFERED: None,
    },
    attempts.CallBegun: {
        SCHEDULED: Calls, BACKING_OFF: None, STARTED: None, BUFFERED: None,
    },
    attempts.CallsLost: {
        SCHEDULED: Calls, BACKING_OFF: None, STARTED: None, BUFFERED: None,
    },
    attempts.TimedOut: {
        SCHEDULED: attempts.Failed, BACKING_OFF: attempts.Failed,
        STARTED: attempts.Failed, BUFFERED: None,
    },
    attempts.CancelRequested: {
        SCHEDULED: Calls, BACKING_OFF: Calls, STARTED: Calls, BUFFERED: None,
    },
    attempts.CancelBackoffOver: dict.fromkeys(CallState, None),
    attempts.CancelCallBegun: dict.fromkeys(CallState, None),
    attempts.CancelAnswered: dict.fromkeys(CallState, None),
}
CANCEL_RESULTS: dict[type, dict[CancelState, type | None]] = {
    attempts.CancelRequested: dict.fromkeys(CancelState, None),
    attempts.CancelBackoffOver: {
        **dict.fromkeys(CancelState, None), CancelState.BACKING_OFF: Calls,
    },
    attempts.CancelCallBegun: {
        **dict.fromkeys(CancelState, None), CancelState.SCHEDULED: Calls,
    },
    attempts.CallsLost: {
        **dict.fromkeys(CancelState, None), CancelState.SCHEDULED: Calls,
    },
    attempts.CancelAnswered: {
        **dict.fromkeys(CancelState, None), CancelState.SCHEDULED: attempts.CancelEnded,
    },
}
"""Of a started operation, by where its cancellation stands."""
# fmt: on


def calls(state: CallState, cancel: CancelState | None = None) -> Calls:
    cancellation = None if cancel is None else Cancellation(7, cancel)
    return Calls(state, due_ns=NOW, attempt=1, cancellation=cancellation)


def step(before: Calls, happening: attempts.Happening) -> attempts.Result | None:
    return attempts.step(before, happening, NOW)


def test_the_table_has_a_row_for_each_pair_and_no_other() -> None:
    assert set(attempts.TABLE) == {(state, kind) for state in CallState for kind in HAPPENINGS}
    assert set(RESULTS) == set(EXAMPLES) == set(HAPPENINGS)


@pytest.mark.parametrize("kind", HAPPENINGS)
@pytest.mark.parametrize("state", CallState)
def test_the_pair_comes_to_what_the_table_says(state: CallState, kind: type) -> None:
    expected = RESULTS[kind][state]
    result = step(calls(state), EXAMPLES[kind])
    assert (None if result is None else type(result)) is expected


@pytest.mark.parametrize("kind", CANCEL_RESULTS)
@pytest.mark.parametrize("state", CancelState)
def test_a_request_to_cancel_goes_its_own_way(state: CancelState, kind: type) -> None:
    expected = CANCEL_RESULTS[kind][state]
    result = step(calls(STARTED, state), EXAMPLES[kind])
    assert (None if result is None else type(result)) is expected


@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_only_the_newest_call_is_heard_of(attempt: int) -> None:
    assert step(calls(SCHEDULED), attempts.StartAnswered(attempt, SyncSuccess(b""))) is None
    answered = attempts.CancelAnswered(attempt if attempt != 1 else 2, CancelAccepted())
    assert step(calls(STARTED, CancelState.SCHEDULED), answered) is None


def test_a_lost_call_is_due_at_once_and_does_not_count() -> None:
    begun = Calls(SCHEDULED, due_ns=NOW + 12, attempt=1)
    assert step(begun, attempts.CallsLost()) == Calls(SCHEDULED, due_ns=NOW, attempt=1)
    cancelling = Cancellation(7, CancelState.SCHEDULED, attempt=1, due_ns=NOW + 12)
    lost = step(Calls(STARTED, 0, cancellation=cancelling), attempts.CallsLost())
    assert isinstance(lost, Calls)
    again = Cancellation(7, CancelState.SCHEDULED, attempt=1, due_ns=NOW)
    assert lost == Calls(STARTED, 0, cancellation=again)


def failed(*, is_retryable: bool) -> HandlerFailed:
    return HandlerFailed(Failure(message="no").SerializeToString(), "INTERNAL", is_retryable)


@pytest.mark.parametrize(
    ("outcome", "is_canceled"),
    [
        (OperationFailed(b"why"), False),
        (OperationFailed(b"why", is_canceled=True), True),
        (failed(is_retryable=False), False),
        (Unreachable("nobody", is_retryable=False), False),
    ],
)
def test_an_answer_that_nothing_follows_ends_the_operation(
    outcome: OperationFailed | HandlerFailed | Unreachable, is_canceled: bool
) -> None:
    result = step(calls(SCHEDULED), attempts.StartAnswered(2, outcome))
    assert isinstance(result, attempts.Failed)
    assert result.is_canceled is is_canceled
    assert result.cause


@pytest.mark.parametrize("outcome", [failed(is_retryable=True), Unreachable("nobody")])
def test_a_call_in_vain_is_followed_by_another(outcome: HandlerFailed | Unreachable) -> None:
    result = step(calls(SCHEDULED), attempts.StartAnswered(2, outcome))
    assert isinstance(result, Calls)
    assert (result.state, result.attempt) == (BACKING_OFF, 2)
    assert result.due_ns == NOW + backoff_ns(2, str(NOW))
    again = step(calls(STARTED, CancelState.SCHEDULED), attempts.CancelAnswered(1, outcome))
    assert isinstance(again, Calls)
    assert again.cancellation is not None
    assert again.cancellation.state == CancelState.BACKING_OFF
    assert again.cancellation.due_ns == NOW + backoff_ns(1, str(NOW))


def test_what_is_asked_to_end_before_it_has_begun_is_told_so_then() -> None:
    waiting = step(calls(SCHEDULED), attempts.CancelRequested(7))
    assert isinstance(waiting, Calls)
    assert waiting.cancellation == Cancellation(7, CancelState.WAITING)
    started = step(waiting, attempts.StartAnswered(2, AsyncStarted("token")))
    assert isinstance(started, attempts.Started)
    assert started.calls.cancellation == Cancellation(7, CancelState.SCHEDULED, NOW, due_ns=NOW)


def test_a_completion_that_overtakes_the_start_brings_it_along() -> None:
    began = attempts.Completed(OperationFailed(b"why"), "token", NOW - 5, (b"link",))
    result = step(calls(BACKING_OFF), began)
    assert isinstance(result, attempts.Failed)
    assert result.started is not None
    assert result.started.time_ns == NOW - 5
    assert result.started.links == (b"link",)
    assert result.started.calls.operation_token == "token"


def pending(state: CallState, **changed: int) -> PendingOperation:
    lengths = {"schedule_to_close_ns": 30, "schedule_to_start_ns": 20, "start_to_close_ns": 10}
    lengths.update(changed)
    operation = Operation(
        5, "endpoint", "id", "service", "operation", "request", 100, *lengths.values()
    )
    return PendingOperation(operation, Calls(state, due_ns=0, started_ns=115))


@pytest.mark.parametrize(
    ("state", "expected"), [(SCHEDULED, 120), (BACKING_OFF, 120), (STARTED, 125), (BUFFERED, 0)]
)
def test_the_earliest_timeout_of_a_state_is_its_deadline(state: CallState, expected: int) -> None:
    assert timing.operation_deadline(pending(state)) == expected


def test_timeouts_that_are_not_set_are_none() -> None:
    nothing = {"schedule_to_close_ns": 0, "schedule_to_start_ns": 0, "start_to_close_ns": 0}
    for state in CallState:
        assert timing.timeouts_of(pending(state, **nothing)) == []
