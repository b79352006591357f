"""The errors that programs raise and catch: what failed, and in `cause` why.

Each class that a server can report mirrors one kind of `temporal.api.failure.v1.Failure`; the
failure converter translates in both directions. This module knows nothing of payloads.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Any

from temporalio.api.enums.v1 import common_pb2, workflow_pb2
from temporalio.api.failure.v1 import Failure


class PerdureError(Exception):
    """Base of every error of this package."""

    @property
    def cause(self) -> BaseException | None:
        """What this error was raised from: its `__cause__`."""
        return self.__cause__


TemporalError = PerdureError
"""The name of the base class in the mirrored package."""


def _restored(
    kind: type[FailureError],
    args: tuple[Any, ...],
    state: dict[str, Any],
    cause: BaseException | None,
) -> FailureError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    error.__cause__ = cause
    return error


class FailureError(PerdureError):
    """A failure of a workflow, of an activity, or of what they called."""

    def __init__(
        self,
        message: str,
        *,
        failure: Failure | None = None,
        exc_args: tuple[Any, ...] | None = None,
    ) -> None:
        super().__init__(*((message,) if exc_args is None else exc_args))
        self._message = message
        self._failure = failure

    @property
    def message(self) -> str:
        """The message alone, without the type that `str()` puts before it."""
        return self._message

    @property
    def failure(self) -> Failure | None:
        """What this error was decoded from; None when it was made in this process."""
        return self._failure

    def __reduce__(self) -> tuple[Any, ...]:
        # An activity in a process pool raises across the process boundary. The default would call
        # the class with `args`, which most of the classes below refuse, and would lose the cause.
        return _restored, (type(self), self.args, self.__dict__, self.__cause__)


class WorkflowAlreadyStartedError(FailureError):
    """A workflow with this id exists and the policies of the start do not allow another.

    `run_id` and `first_run_id` are known to clients only.
    """

    def __init__(
        self,
        workflow_id: str,
        workflow_type: str,
        *,
        run_id: str | None = None,
        first_run_id: str | None = None,
    ) -> None:
        super().__init__("Workflow execution already started")
        self.workflow_id = workflow_id
        self.workflow_type = workflow_type
        self.run_id = run_id
        self.first_run_id = first_run_id


class InvalidVersioningOverrideError(FailureError):
    """A child workflow was not started, since its versioning override is invalid."""

    def __init__(self) -> None:
        super().__init__("Invalid versioning override")


class ActivityAlreadyStartedError(FailureError):
    """An activity with this id exists and the policies of the start do not allow another."""

    def __init__(self, activity_id: str, activity_type: str, *, run_id: str | None = None) -> None:
        super().__init__("Activity execution already started")
        self.activity_id = activity_id
        self.activity_type = activity_type
        self.run_id = run_id


class NexusOperationAlreadyStartedError(FailureError):
    """A Nexus operation with this id exists and the policies of the start do not allow another."""

    def __init__(self, operation_id: str, *, run_id: str | None = None) -> None:
        super().__init__("Nexus operation execution already started")
        self.operation_id = operation_id
        self.run_id = run_id


class ApplicationErrorCategory(IntEnum):
    """How much attention an application error deserves in logs and metrics."""

    UNSPECIFIED = common_pb2.APPLICATION_ERROR_CATEGORY_UNSPECIFIED
    BENIGN = common_pb2.APPLICATION_ERROR_CATEGORY_BENIGN
    """Expected: logged at DEBUG, not counted as a failure."""


class ApplicationError(FailureError):
    """User code failed. What user code raises, apart from `FailureError`s, arrives as this.

    `type` is what retry policies name in `non_retryable_error_types`; `details` are any values that
    the data converter can encode. `next_retry_delay` replaces the retry policy's next interval.
    """

    def __init__(
        self,
        message: str,
        *details: Any,
        type: str | None = None,  # noqa: A002 -- the mirrored name
        non_retryable: bool = False,
        next_retry_delay: timedelta | None = None,
        category: ApplicationErrorCategory = ApplicationErrorCategory.UNSPECIFIED,
    ) -> None:
        super().__init__(message, exc_args=(f"{type}: {message}" if type else message,))
        self._details = details
        self._type = type
        self._non_retryable = non_retryable
        self._next_retry_delay = next_retry_delay
        self._category = category

    @property
    def details(self) -> Sequence[Any]:
        """The values passed along with the error."""
        return self._details

    @property
    def type(self) -> str | None:
        """The name by which retry policies and handlers tell this kind of error."""
        return self._type

    @property
    def non_retryable(self) -> bool:
        """Whether the raiser forbade a retry; a retry policy may forbid it besides."""
        return self._non_retryable

    @property
    def next_retry_delay(self) -> timedelta | None:
        """When to try again, instead of what the retry policy says."""
        return self._next_retry_delay

    @property
    def category(self) -> ApplicationErrorCategory:
        """How much attention the error deserves."""
        return self._category


class CancelledError(FailureError):
    """A workflow or an activity was cancelled, and let itself be cancelled."""

    def __init__(self, message: str = "Cancelled", *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """The values that the cancelled party left behind."""
        return self._details


class TerminatedError(FailureError):
    """A workflow was terminated: it was stopped from outside and could not react."""

    def __init__(self, message: str, *details: Any) -> None:
        super().__init__(message)
        self._details = details

    @property
    def details(self) -> Sequence[Any]:
        """The values that whoever terminated it gave as details."""
        return self._details


class TimeoutType(IntEnum):
    """Which of the timeouts ran out."""

    START_TO_CLOSE = workflow_pb2.TIMEOUT_TYPE_START_TO_CLOSE
    SCHEDULE_TO_START = workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START
    SCHEDULE_TO_CLOSE = workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
    HEARTBEAT = workflow_pb2.TIMEOUT_TYPE_HEARTBEAT


class TimeoutError(FailureError):  # noqa: A001 -- the mirrored name
    """A workflow or an activity took longer than one of its timeouts allows."""

    def __init__(
        self,
        message: str,
        *,
        type: TimeoutType | None,  # noqa: A002 -- the mirrored name
        last_heartbeat_details: Sequence[Any],
    ) -> None:
        super().__init__(message)
        self._type = type
        self._last_heartbeat_details = last_heartbeat_details

    @property
    def type(self) -> TimeoutType | None:
        """Which timeout ran out."""
        return self._type

    @property
    def last_heartbeat_details(self) -> Sequence[Any]:
        """What the activity last reported, so that another attempt can go on from there."""
        return self._last_heartbeat_details


class ServerError(FailureError):
    """The service itself failed to do what was asked."""

    def __init__(self, message: str, *, non_retryable: bool = False) -> None:
        super().__init__(message)
        self._non_retryable = non_retryable

    @property
    def non_retryable(self) -> bool:
        """Whether trying again is pointless."""
        return self._non_retryable


class RetryState(IntEnum):
    """Why there is no further attempt."""

    IN_PROGRESS = workflow_pb2.RETRY_STATE_IN_PROGRESS
    NON_RETRYABLE_FAILURE = workflow_pb2.RETRY_STATE_NON_RETRYABLE_FAILURE
    TIMEOUT = workflow_pb2.RETRY_STATE_TIMEOUT
    MAXIMUM_ATTEMPTS_REACHED = workflow_pb2.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED
    RETRY_POLICY_NOT_SET = workflow_pb2.RETRY_STATE_RETRY_POLICY_NOT_SET
    INTERNAL_SERVER_ERROR = workflow_pb2.RETRY_STATE_INTERNAL_SERVER_ERROR
    CANCEL_REQUESTED = workflow_pb2.RETRY_STATE_CANCEL_REQUESTED


class ActivityError(FailureError):
    """An activity failed for good. `cause` says how: an application error, a timeout, a cancel."""

    def __init__(
        self,
        message: str,
        *,
        scheduled_event_id: int,
        started_event_id: int,
        identity: str,
        activity_type: str,
        activity_id: str,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self.scheduled_event_id = scheduled_event_id
        self.started_event_id = started_event_id
        self.identity = identity
        self.activity_type = activity_type
        self.activity_id = activity_id
        self.retry_state = retry_state


class ChildWorkflowError(FailureError):
    """A child workflow did not complete. `cause` says how it ended."""

    def __init__(
        self,
        message: str,
        *,
        namespace: str,
        workflow_id: str,
        run_id: str,
        workflow_type: str,
        initiated_event_id: int,
        started_event_id: int,
        retry_state: RetryState | None,
    ) -> None:
        super().__init__(message)
        self.namespace = namespace
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.workflow_type = workflow_type
        self.initiated_event_id = initiated_event_id
        self.started_event_id = started_event_id
        self.retry_state = retry_state


class NexusOperationError(FailureError):
    """A Nexus operation that a workflow called failed. `cause` says how."""

    def __init__(
        self,
        message: str,
        *,
        scheduled_event_id: int,
        endpoint: str,
        service: str,
        operation: str,
        operation_token: str,
    ) -> None:
        super().__init__(message)
        self.scheduled_event_id = scheduled_event_id
        self.endpoint = endpoint
        self.service = service
        self.operation = operation
        self.operation_token = operation_token


_CARRIERS: tuple[builtins.type[BaseException], ...] = (
    ActivityError,
    ChildWorkflowError,
    NexusOperationError,
)


def is_cancelled_exception(exception: BaseException) -> bool:
    """Whether an error means that something was cancelled.

    That is asyncio's own cancellation, ours, and the error of an activity, child workflow or Nexus
    operation whose cause is ours.
    """
    if isinstance(exception, (asyncio.CancelledError, CancelledError)):
        return True
    return isinstance(exception, _CARRIERS) and isinstance(exception.__cause__, CancelledError)
