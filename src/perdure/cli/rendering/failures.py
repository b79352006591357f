"""Failures with their causes, one line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.failure.v1 import Failure

from perdure.cli.rendering.payloads import brief_all, shortened

CAUSES_MAX = 20
"""A chain of causes longer than this says nothing more to a person."""
MESSAGE_LENGTH_MAX = 400


def failure_lines(failure: Failure) -> list[str]:
    """What failed, then line by line what it was caused by."""
    chain = list(_chain(failure))
    return [_line(chain[0]), *(f"caused by {_line(cause)}" for cause in chain[1:])]


def enum_words(name: str, prefix: str) -> str:
    """`maximum attempts reached` of `RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED`."""
    return name.removeprefix(prefix).replace("_", " ").lower()


def _chain(failure: Failure) -> Iterator[Failure]:
    for _ in range(CAUSES_MAX):
        yield failure
        if not failure.HasField("cause"):
            return
        failure = failure.cause


def _line(failure: Failure) -> str:
    kind = failure.WhichOneof("failure_info")
    message = shortened(failure.message, MESSAGE_LENGTH_MAX)
    describe = _KINDS.get(kind or "")
    return message if describe is None else describe(getattr(failure, kind or ""), message)


def _application(info: Any, message: str) -> str:
    text = f"{info.type}: {message}" if info.type else message
    details = brief_all(info.details.payloads)
    text = f"{text} [{details}]" if details else text
    return f"{text} (not to be retried)" if info.non_retryable else text


def _timeout(info: Any, message: str) -> str:
    which = enum_words(TimeoutType.Name(info.timeout_type), "TIMEOUT_TYPE_")
    details = brief_all(info.last_heartbeat_details.payloads)
    last = f", last heartbeat [{details}]" if details else ""
    return f"timeout ({which}): {message}{last}"


def _activity(info: Any, message: str) -> str:
    return f"activity {info.activity_type.name}: {message}{_why_no_retry(info.retry_state)}"


def _child(info: Any, message: str) -> str:
    name, workflow_id = info.workflow_type.name, info.workflow_execution.workflow_id
    return f"child {name} ({workflow_id}): {message}{_why_no_retry(info.retry_state)}"


def _ended(how: str, why: str) -> str:
    return f"{how}: {why}" if why else how


def _why_no_retry(state: int) -> str:
    if state == RetryState.RETRY_STATE_UNSPECIFIED:
        return ""
    words = enum_words(RetryState.Name(RetryState.ValueType(state)), "RETRY_STATE_")
    return f" ({words})"


_KINDS = {
    "application_failure_info": _application,
    "timeout_failure_info": _timeout,
    "canceled_failure_info": lambda _, message: _ended("cancelled", message),
    "terminated_failure_info": lambda _, message: _ended("terminated", message),
    "server_failure_info": lambda _, message: f"the server: {message}",
    "activity_failure_info": _activity,
    "child_workflow_execution_failure_info": _child,
}
"""How each kind of failure is told; any other by its message."""
