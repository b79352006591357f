"""What one package encodes, the other decodes: payloads, failures, search attributes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Dict  # noqa: UP035 -- it differs from dict

import nexusrpc
import pytest
import temporalio.common
import temporalio.converter
import temporalio.exceptions
from google.protobuf import json_format
from temporalio.api.common.v1 import SearchAttributes
from temporalio.api.failure.v1 import Failure

import perdure.common
import perdure.converter
import perdure.exceptions
from tests.sdk.conversions import CONVERSIONS, UNSERIALISABLE, VALUES

pytestmark = pytest.mark.interop

OURS = perdure.converter.PayloadConverter.default
THEIRS = temporalio.converter.PayloadConverter.default
LOCAL = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
"""Of no time zone."""


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_both_encode_a_value_as_the_same_payload(value: Any) -> None:
    assert OURS.to_payloads([value]) == THEIRS.to_payloads([value])


@pytest.mark.parametrize("value", UNSERIALISABLE, ids=lambda value: type(value).__name__)
def test_both_refuse_what_cannot_be_encoded(value: Any) -> None:
    for converter in (OURS, THEIRS):
        with pytest.raises(TypeError):
            converter.to_payloads([value])


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")  # the other's
@pytest.mark.parametrize(("hint", "value"), CONVERSIONS, ids=repr)
def test_both_make_the_same_of_a_hint(hint: Any, value: Any) -> None:
    try:
        expected = temporalio.converter.value_to_type(hint, value)
    except Exception:
        with pytest.raises((TypeError, ValueError)):
            perdure.converter.value_to_type(hint, value)
        return
    made = perdure.converter.value_to_type(hint, value)
    assert made == expected
    assert type(made) is type(expected)


def _errors(of: Any) -> list[BaseException]:
    return [
        ValueError("plain"),
        ValueError("a", 2),
        KeyError("k"),
        ValueError(),
        KeyboardInterrupt(),
        asyncio.CancelledError("asyncio's"),
        ExceptionGroup("several", [ValueError(1)]),
        of.ApplicationError("bare"),
        of.ApplicationError(
            "full",
            1,
            {"two": [3]},
            type="Kind",
            non_retryable=True,
            next_retry_delay=timedelta(seconds=3, milliseconds=5),
            category=of.ApplicationErrorCategory.BENIGN,
        ),
        of.CancelledError(),
        of.CancelledError("cancelled", "detail"),
        of.TerminatedError("terminated", 5),
        of.TimeoutError("slow", type=of.TimeoutType.HEARTBEAT, last_heartbeat_details=[1, "x"]),
        of.TimeoutError("slow", type=None, last_heartbeat_details=[]),
        of.ServerError("server", non_retryable=True),
        of.ActivityError(
            "activity",
            scheduled_event_id=1,
            started_event_id=2,
            identity="i",
            activity_type="t",
            activity_id="a",
            retry_state=of.RetryState.MAXIMUM_ATTEMPTS_REACHED,
        ),
        of.ChildWorkflowError(
            "child",
            namespace="n",
            workflow_id="w",
            run_id="r",
            workflow_type="t",
            initiated_event_id=1,
            started_event_id=2,
            retry_state=None,
        ),
        of.NexusOperationError(
            "nexus",
            scheduled_event_id=1,
            endpoint="e",
            service="s",
            operation="o",
            operation_token="t",
        ),
        of.WorkflowAlreadyStartedError("w", "t"),
        of.FailureError("failure"),
    ]


PAIRS = list(zip(_errors(temporalio.exceptions), _errors(perdure.exceptions), strict=True))


def _raised(error: BaseException) -> BaseException:
    """The error with a stack trace and two causes."""
    error.__cause__ = error.__context__ = None
    try:
        try:
            try:
                raise RuntimeError("root")
            except RuntimeError as root:
                raise TypeError("middle") from root
        except TypeError as middle:
            raise error from middle
    except BaseException as raised:
        return raised


def _failure(of: Any, error: BaseException, converter: Any, encoded: bool) -> Failure:
    kind = (
        of.DefaultFailureConverterWithEncodedAttributes if encoded else (of.DefaultFailureConverter)
    )
    failure = Failure()
    kind().to_failure(error, converter, failure)
    return failure


def _facts(error: Any) -> dict[str, Any]:
    """What a program can read off an error, without what depends on the package."""
    names = [
        "message",
        "type",
        "details",
        "non_retryable",
        "next_retry_delay",
        "category",
        "last_heartbeat_details",
        "scheduled_event_id",
        "started_event_id",
        "identity",
        "activity_type",
        "activity_id",
        "retry_state",
        "namespace",
        "workflow_id",
        "run_id",
        "workflow_type",
        "initiated_event_id",
        "endpoint",
        "service",
        "operation",
        "operation_token",
    ]
    facts = {name: getattr(error, name) for name in names if hasattr(error, name)}
    cause = _facts(error.__cause__) if error.__cause__ is not None else None
    return {**facts, "class": type(error).__name__, "text": str(error), "cause": cause}


@pytest.mark.parametrize("encoded", [False, True], ids=["open", "encoded"])
@pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=repr)
def test_both_describe_an_error_by_the_same_failure(
    theirs: BaseException, ours: BaseException, encoded: bool
) -> None:
    expected = _failure(temporalio.converter, _raised(theirs), THEIRS, encoded)
    described = _failure(perdure.converter, _raised(ours), OURS, encoded)
    assert json_format.MessageToDict(described) == json_format.MessageToDict(expected)
    assert described.HasField("cause")


@pytest.mark.parametrize("encoded", [False, True], ids=["open", "encoded"])
@pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=repr)
def test_both_read_the_same_error_from_a_failure(
    theirs: BaseException, ours: BaseException, encoded: bool
) -> None:
    failure = _failure(temporalio.converter, _raised(theirs), THEIRS, encoded)
    expected: Any = temporalio.converter.FailureConverter.default.from_failure(failure, THEIRS)
    read: Any = perdure.converter.FailureConverter.default.from_failure(failure, OURS)
    assert _facts(read) == _facts(expected)
    assert read.failure == expected.failure
    again = Failure()
    perdure.converter.FailureConverter.default.to_failure(read, OURS, again)
    expected_again = Failure()
    temporalio.converter.FailureConverter.default.to_failure(expected, THEIRS, expected_again)
    assert again == expected_again


KINDS = [field.name for field in Failure.DESCRIPTOR.oneofs_by_name["failure_info"].fields]


@pytest.mark.parametrize("message", ["", "words"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_read_the_same_from_a_failure_that_says_nothing(kind: str, message: str) -> None:
    failure = Failure(message=message)
    getattr(failure, kind).SetInParent()
    expected = temporalio.converter.FailureConverter.default.from_failure(failure, THEIRS)
    read = perdure.converter.FailureConverter.default.from_failure(failure, OURS)
    assert _facts(read) == _facts(expected)


def _attributes(common: Any) -> Any:
    key, pair = common.SearchAttributeKey, common.SearchAttributePair
    return common.TypedSearchAttributes(
        [
            pair(key.for_text("t"), "x y"),
            pair(key.for_keyword("k"), "x"),
            pair(key.for_int("i"), 1),
            pair(key.for_float("f"), 1.5),
            pair(key.for_bool("b"), True),
            pair(key.for_datetime("d"), datetime(2026, 1, 1, 2, 3, 4, tzinfo=UTC)),
            pair(key.for_keyword_list("l"), ["a", "b"]),
        ]
    )


def _plain(attributes: Any) -> list[tuple[str, int, Any]]:
    return sorted(
        (pair.key.name, int(pair.key.indexed_value_type), pair.value) for pair in attributes
    )


def test_both_encode_search_attributes_alike_and_read_each_others() -> None:
    ours, theirs = SearchAttributes(), SearchAttributes()
    perdure.converter.encode_search_attributes(_attributes(perdure.common), ours)
    temporalio.converter.encode_search_attributes(_attributes(temporalio.common), theirs)
    assert ours == theirs
    read = perdure.converter.decode_typed_search_attributes(theirs)
    assert _plain(read) == _plain(temporalio.converter.decode_typed_search_attributes(ours))
    assert read == _attributes(perdure.common)
    untyped = perdure.converter.decode_search_attributes(theirs)
    assert untyped == temporalio.converter.decode_search_attributes(ours)


HANDLER_ERRORS = [
    nexusrpc.HandlerError(f"{kind.name} {retryable}", type=kind, retryable_override=retryable)
    for kind in nexusrpc.HandlerErrorType
    for retryable in (None, True, False)
]


@pytest.mark.parametrize("encoded", [False, True], ids=["open", "encoded"])
@pytest.mark.parametrize("error", HANDLER_ERRORS, ids=str)
def test_the_error_of_a_nexus_handler_is_described_and_read_alike(
    error: nexusrpc.HandlerError, encoded: bool
) -> None:
    raised = _raised(error)
    expected = _failure(temporalio.converter, raised, THEIRS, encoded)
    described = _failure(perdure.converter, raised, OURS, encoded)
    assert described == expected
    assert described.HasField("cause")
    read: Any = perdure.converter.FailureConverter.default.from_failure(described, OURS)
    theirs: Any = temporalio.converter.FailureConverter.default.from_failure(expected, THEIRS)
    for name in ("message", "type", "retryable_override", "stack_trace", "original_failure"):
        assert getattr(read, name) == getattr(theirs, name), name
    again = Failure()
    perdure.converter.FailureConverter.default.to_failure(read, OURS, again)
    expected_again = Failure()
    temporalio.converter.FailureConverter.default.to_failure(theirs, THEIRS, expected_again)
    assert again == expected_again


def test_the_failure_of_a_foreign_handler_is_kept_in_the_details() -> None:
    foreign = nexusrpc.Failure("foreign", metadata={"k": "v"}, details={"a": 1})
    error = nexusrpc.HandlerError(
        "bad", type=nexusrpc.HandlerErrorType.NOT_FOUND, original_failure=foreign
    )
    failure = Failure()
    perdure.converter.FailureConverter.default.to_failure(error, OURS, failure)
    assert failure.message == "foreign"
    assert failure.application_failure_info.type == "NexusFailure"
    assert failure.application_failure_info.non_retryable
    [details] = OURS.from_payloads(failure.application_failure_info.details.payloads)
    assert details["metadata"] == {"k": "v"}
    assert details["details"] == {"a": 1}


def test_an_unknown_kind_of_handler_error_is_the_handlers_own_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failure = Failure(message="new")
    failure.nexus_handler_failure_info.type = "NOT_INVENTED"
    read: Any = perdure.converter.FailureConverter.default.from_failure(failure, OURS)
    assert read.type is nexusrpc.HandlerErrorType.INTERNAL
    assert "NOT_INVENTED" in caplog.text


@pytest.mark.parametrize("kind", ["from nothing", "own", "other", "from another"])
def test_both_take_for_a_cause_what_was_being_handled(kind: str) -> None:
    def raised(of: Any) -> BaseException:
        try:
            try:
                raise of.ApplicationError("inner", type="Inner")
            except of.ApplicationError:
                match kind:
                    case "from nothing":
                        raise of.ApplicationError("outer") from None
                    case "own":
                        raise of.ApplicationError("outer")  # noqa: B904 -- that is the point
                    case "other":
                        raise ValueError("outer")  # noqa: B904 -- that is the point
                    case _:
                        raise of.ApplicationError("outer") from KeyError("another")
        except Exception as error:
            return error

    theirs = _failure(temporalio.converter, raised(temporalio.exceptions), THEIRS, False)
    ours = _failure(perdure.converter, raised(perdure.exceptions), OURS, False)
    assert ours.cause.message == theirs.cause.message
    assert ours.HasField("cause") == theirs.HasField("cause") == (kind in ("own", "from another"))


@pytest.mark.parametrize(
    "values",
    [[("a", "tuple")], ["a", 1], [1, 1.5], [LOCAL], "text", [None], [True, False]],
    ids=repr,
)
def test_both_refuse_the_same_values_of_search_attributes_without_a_type(values: Any) -> None:
    def told(encode: Any) -> Any:
        try:
            return encode(values)
        except (TypeError, ValueError) as error:
            return type(error), str(error)

    theirs = told(temporalio.converter.encode_search_attribute_values)
    assert told(perdure.converter.encode_search_attribute_values) == theirs


@pytest.mark.parametrize("hint", [dict[None, str], Dict[None, str]], ids=["dict", "Dict"])  # noqa: UP006 -- they differ
def test_both_read_keys_that_are_none_alike(hint: Any) -> None:
    value = {"null": "1"}
    ours = perdure.converter.value_to_type(hint, value)
    assert ours == temporalio.converter.value_to_type(hint, value)
