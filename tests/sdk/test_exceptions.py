"""Errors say what failed and why, and cross process boundaries whole."""

from __future__ import annotations

import asyncio
import enum
import inspect
import pickle
from datetime import timedelta
from typing import Any

import pytest
import temporalio.exceptions
from temporalio.api.failure.v1 import Failure

from perdure import exceptions
from perdure.converter import FailureConverter, PayloadConverter
from perdure.service import RPCError, RPCStatusCode

ACTIVITY = exceptions.ActivityError(
    "activity",
    scheduled_event_id=1,
    started_event_id=2,
    identity="i",
    activity_type="t",
    activity_id="a",
    retry_state=exceptions.RetryState.TIMEOUT,
)


def test_the_text_of_an_application_error_begins_with_its_type() -> None:
    error = exceptions.ApplicationError("went wrong", 1, type="Kind")
    assert str(error) == "Kind: went wrong"
    assert error.message == "went wrong"
    assert list(error.details) == [1]
    assert str(exceptions.ApplicationError("went wrong")) == "went wrong"


def test_the_cause_of_an_error_is_what_it_was_raised_from() -> None:
    with pytest.raises(exceptions.TemporalError) as caught:
        raise exceptions.ServerError("server") from ValueError("root")
    assert isinstance(caught.value.cause, ValueError)


@pytest.mark.parametrize(
    ("error", "cause", "cancelled"),
    [
        (asyncio.CancelledError(), None, True),
        (exceptions.CancelledError(), None, True),
        (ACTIVITY, exceptions.CancelledError(), True),
        (ACTIVITY, exceptions.TerminatedError("t"), False),
        (exceptions.ApplicationError("a"), exceptions.CancelledError(), False),
        (ValueError(), None, False),
    ],
    ids=repr,
)
def test_what_counts_as_a_cancellation(
    error: BaseException, cause: BaseException | None, cancelled: bool
) -> None:
    error.__cause__ = cause
    assert exceptions.is_cancelled_exception(error) is cancelled


def test_an_error_crosses_a_process_boundary_with_all_that_it_knows() -> None:
    error = exceptions.ApplicationError(
        "went wrong", 1, type="Kind", next_retry_delay=timedelta(seconds=1)
    )
    error.__cause__ = ACTIVITY
    ACTIVITY.__cause__ = None
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.type, back.details) == ("Kind: went wrong", "Kind", (1,))
    assert back.next_retry_delay == timedelta(seconds=1)
    assert back.cause.activity_id == "a"
    assert back.cause.retry_state is exceptions.RetryState.TIMEOUT


def test_an_error_that_was_decoded_is_encoded_as_the_same_failure() -> None:
    failure = Failure(message="m", source="another SDK", stack_trace="theirs")
    failure.application_failure_info.type = "Kind"
    error = FailureConverter.default.from_failure(failure, PayloadConverter.default)
    again = Failure()
    FailureConverter.default.to_failure(error, PayloadConverter.default, again)
    assert again == failure


def test_a_status_without_details_still_names_its_code() -> None:
    error = RPCError("gone", RPCStatusCode.NOT_FOUND, b"\x08\x05")
    assert error.grpc_status.code == 5
    assert pickle.loads(pickle.dumps(error)).status is RPCStatusCode.NOT_FOUND


def _public_classes(module: object) -> dict[str, type]:
    return {
        name: kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if not name.startswith("_") and kind.__module__ == getattr(module, "__name__", "")
    }


def _parameters(kind: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(kind.__init__).parameters.values()
    return [(one.name, one.kind, one.default) for one in parameters]


@pytest.mark.interop
def test_every_mirrored_error_is_made_with_the_same_arguments() -> None:
    mirrored = _public_classes(temporalio.exceptions)
    for name, theirs in mirrored.items():
        ours = getattr(exceptions, name)
        if issubclass(theirs, enum.Enum):
            assert {one.name: one.value for one in ours} == {one.name: one.value for one in theirs}
            continue
        assert _parameters(ours) == _parameters(theirs), name
    assert len(mirrored) > 15
