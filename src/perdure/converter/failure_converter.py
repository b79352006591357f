"""Exceptions to failures and back, with their causes.

A failure of a kind that has a class in `perdure.exceptions` becomes that class; an exception that
is none of those becomes an application failure that carries the name of its class.
"""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from temporalio.api.common.v1 import ActivityType as ActivityTypeMessage
from temporalio.api.common.v1 import Payloads, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import common_pb2, workflow_pb2
from temporalio.api.failure.v1 import Failure

from perdure import exceptions
from perdure.converter.handler_errors import (
    as_handler_error,
    decode_handler_error,
    describe_handler_error,
)
from perdure.converter.payload_converter import PayloadConverter

_ENCODED_MESSAGE = "Encoded failure"
"""Stands where the message was, when message and stack trace are hidden in a payload."""


class FailureConverter(ABC):
    """Converts exceptions. Runs inside workflows, so it is deterministic and does not block."""

    default: ClassVar[FailureConverter]
    """A `DefaultFailureConverter` that hides nothing."""

    @abstractmethod
    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        """Describe the exception in an empty failure."""

    @abstractmethod
    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """The exception that a failure describes. The failure itself stays as it is."""


class DefaultFailureConverter(FailureConverter):
    """Converts by the tables below.

    With `encode_common_attributes`, message and stack trace travel in a payload, where a codec can
    encrypt them.
    """

    def __init__(self, *, encode_common_attributes: bool = False) -> None:
        self._encode_common_attributes = encode_common_attributes

    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        """Describe the exception, its causes and its stack trace.

        What an error of this SDK was raised in the handling of is its cause too, unless it was
        raised `from` something else. Of other exceptions only `__cause__` counts.

        What was decoded from a failure is described by that failure again, unchanged.
        """
        self._describe(exception, payload_converter, failure)
        if not self._encode_common_attributes:
            return
        common = {"message": failure.message, "stack_trace": failure.stack_trace}
        failure.encoded_attributes.CopyFrom(payload_converter.to_payload(common))
        failure.message = _ENCODED_MESSAGE
        failure.stack_trace = ""

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        """The exception, with its causes as `__cause__`."""
        failure = _with_common_attributes(failure, payload_converter)
        kind = failure.WhichOneof("failure_info") or ""
        decode = _DECODERS.get(kind, _decode_other)
        error = decode(failure, payload_converter)
        if isinstance(error, exceptions.FailureError):
            error._failure = failure
        if failure.HasField("cause"):
            error.__cause__ = self.from_failure(failure.cause, payload_converter)
        return error

    def _describe(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        known = isinstance(exception, exceptions.FailureError)
        handler_error = None if known else as_handler_error(exception)
        if handler_error is not None:
            describe_handler_error(
                handler_error,
                failure,
                lambda cause, described: self.to_failure(cause, payload_converter, described),
            )
            return
        if isinstance(exception, exceptions.FailureError) and exception.failure is not None:
            failure.CopyFrom(exception.failure)
            return
        failure.message = exception.message if known else str(exception)  # type: ignore[attr-defined]
        if exception.__traceback__ is not None:
            failure.stack_trace = "\n".join(traceback.format_tb(exception.__traceback__))
        cause = exception.__cause__
        if cause is None and known and not exception.__suppress_context__:
            cause = exception.__context__
        if cause is not None:
            self.to_failure(cause, payload_converter, failure.cause)
        if not known:
            failure.application_failure_info.type = type(exception).__name__
            return
        for kind, encode in _ENCODERS.items():
            if isinstance(exception, kind):
                encode(exception, payload_converter, failure)
                return


class DefaultFailureConverterWithEncodedAttributes(DefaultFailureConverter):
    """The default one, with message and stack trace in a payload."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


FailureConverter.default = DefaultFailureConverter()


def _with_common_attributes(failure: Failure, payload_converter: PayloadConverter) -> Failure:
    """The failure, or a copy with the message and stack trace that its payload holds."""
    if not failure.HasField("encoded_attributes"):
        return failure
    common: Any = payload_converter.from_payload(failure.encoded_attributes)
    if not isinstance(common, dict):
        return failure  # not ours: what some other SDK's user hid there
    decoded = Failure()
    decoded.CopyFrom(failure)
    for name in ("message", "stack_trace"):
        if isinstance(common.get(name), str):
            setattr(decoded, name, common[name])
    return decoded


def _apply_details(values: Any, payload_converter: PayloadConverter, details: Payloads) -> None:
    if values:
        details.CopyFrom(payload_converter.to_payloads_wrapper(values))


# --- exceptions to failures


def _encode_application(
    error: exceptions.ApplicationError, payload_converter: PayloadConverter, failure: Failure
) -> None:
    info = failure.application_failure_info
    info.SetInParent()
    info.type = error.type or ""
    info.non_retryable = error.non_retryable
    info.category = common_pb2.ApplicationErrorCategory.ValueType(int(error.category))
    if error.details:
        _apply_details(error.details, payload_converter, info.details)
    if error.next_retry_delay is not None:
        info.next_retry_delay.FromTimedelta(error.next_retry_delay)


def _encode_cancelled(
    error: exceptions.CancelledError, payload_converter: PayloadConverter, failure: Failure
) -> None:
    failure.canceled_failure_info.SetInParent()
    if error.details:
        _apply_details(error.details, payload_converter, failure.canceled_failure_info.details)


def _encode_terminated(
    error: exceptions.TerminatedError, payload_converter: PayloadConverter, failure: Failure
) -> None:
    failure.terminated_failure_info.SetInParent()


def _encode_timeout(
    error: exceptions.TimeoutError, payload_converter: PayloadConverter, failure: Failure
) -> None:
    info = failure.timeout_failure_info
    info.SetInParent()
    info.timeout_type = workflow_pb2.TimeoutType.ValueType(int(error.type or 0))
    if error.last_heartbeat_details:
        _apply_details(error.last_heartbeat_details, payload_converter, info.last_heartbeat_details)


def _encode_server(
    error: exceptions.ServerError, payload_converter: PayloadConverter, failure: Failure
) -> None:
    failure.server_failure_info.SetInParent()
    failure.server_failure_info.non_retryable = error.non_retryable


def _encode_activity(
    error: exceptions.ActivityError, payload_converter: PayloadConverter, failure: Failure
) -> None:
    info = failure.activity_failure_info
    info.SetInParent()
    info.scheduled_event_id = error.scheduled_event_id
    info.started_event_id = error.started_event_id
    info.identity = error.identity
    info.activity_type.CopyFrom(ActivityTypeMessage(name=error.activity_type))
    info.activity_id = error.activity_id
    info.retry_state = workflow_pb2.RetryState.ValueType(int(error.retry_state or 0))


def _encode_child_workflow(
    error: exceptions.ChildWorkflowError, payload_converter: PayloadConverter, failure: Failure
) -> None:
    info = failure.child_workflow_execution_failure_info
    info.SetInParent()
    info.namespace = error.namespace
    info.workflow_execution.CopyFrom(
        WorkflowExecution(workflow_id=error.workflow_id, run_id=error.run_id)
    )
    info.workflow_type.CopyFrom(WorkflowType(name=error.workflow_type))
    info.initiated_event_id = error.initiated_event_id
    info.started_event_id = error.started_event_id
    info.retry_state = workflow_pb2.RetryState.ValueType(int(error.retry_state or 0))


def _encode_nexus_operation(
    error: exceptions.NexusOperationError, payload_converter: PayloadConverter, failure: Failure
) -> None:
    info = failure.nexus_operation_execution_failure_info
    info.SetInParent()
    info.scheduled_event_id = error.scheduled_event_id
    info.endpoint = error.endpoint
    info.service = error.service
    info.operation = error.operation
    info.operation_token = error.operation_token


_ENCODERS: dict[type[exceptions.FailureError], Callable[[Any, PayloadConverter, Failure], None]] = {
    exceptions.ApplicationError: _encode_application,
    exceptions.TimeoutError: _encode_timeout,
    exceptions.CancelledError: _encode_cancelled,
    exceptions.TerminatedError: _encode_terminated,
    exceptions.ServerError: _encode_server,
    exceptions.ActivityError: _encode_activity,
    exceptions.ChildWorkflowError: _encode_child_workflow,
    exceptions.NexusOperationError: _encode_nexus_operation,
}
"""What a failure says besides message, stack trace and cause; other classes say nothing more."""


# --- failures to exceptions


def _values(info: Any, field: str, payload_converter: PayloadConverter) -> list[Any]:
    if not info.HasField(field):
        return []
    return payload_converter.from_payloads_wrapper(getattr(info, field))


def _decode_application(
    failure: Failure, payload_converter: PayloadConverter
) -> exceptions.FailureError:
    info = failure.application_failure_info
    delayed = info.HasField("next_retry_delay")
    return exceptions.ApplicationError(
        failure.message or "Application error",
        *_values(info, "details", payload_converter),
        type=info.type or None,
        non_retryable=info.non_retryable,
        next_retry_delay=info.next_retry_delay.ToTimedelta() if delayed else None,
        category=_known(exceptions.ApplicationErrorCategory, info.category)
        or exceptions.ApplicationErrorCategory.UNSPECIFIED,
    )


def _decode_timeout(
    failure: Failure, payload_converter: PayloadConverter
) -> exceptions.FailureError:
    info = failure.timeout_failure_info
    return exceptions.TimeoutError(
        failure.message or "Timeout",
        type=_known(exceptions.TimeoutType, info.timeout_type),
        last_heartbeat_details=_values(info, "last_heartbeat_details", payload_converter),
    )


def _decode_cancelled(
    failure: Failure, payload_converter: PayloadConverter
) -> exceptions.FailureError:
    details = _values(failure.canceled_failure_info, "details", payload_converter)
    return exceptions.CancelledError(failure.message or "Cancelled", *details)


def _decode_terminated(
    failure: Failure, payload_converter: PayloadConverter
) -> exceptions.FailureError:
    return exceptions.TerminatedError(failure.message or "Terminated")


def _decode_server(
    failure: Failure, payload_converter: PayloadConverter
) -> exceptions.FailureError:
    return exceptions.ServerError(
        failure.message or "Server error",
        non_retryable=failure.server_failure_info.non_retryable,
    )


def _decode_activity(
    failure: Failure, payload_converter: PayloadConverter
) -> exceptions.FailureError:
    info = failure.activity_failure_info
    return exceptions.ActivityError(
        failure.message or "Activity error",
        scheduled_event_id=info.scheduled_event_id,
        started_event_id=info.started_event_id,
        identity=info.identity,
        activity_type=info.activity_type.name,
        activity_id=info.activity_id,
        retry_state=_known(exceptions.RetryState, info.retry_state),
    )


def _decode_child_workflow(
    failure: Failure, payload_converter: PayloadConverter
) -> exceptions.FailureError:
    info = failure.child_workflow_execution_failure_info
    return exceptions.ChildWorkflowError(
        failure.message or "Child workflow error",
        namespace=info.namespace,
        workflow_id=info.workflow_execution.workflow_id,
        run_id=info.workflow_execution.run_id,
        workflow_type=info.workflow_type.name,
        initiated_event_id=info.initiated_event_id,
        started_event_id=info.started_event_id,
        retry_state=_known(exceptions.RetryState, info.retry_state),
    )


def _decode_nexus_operation(
    failure: Failure, payload_converter: PayloadConverter
) -> exceptions.FailureError:
    info = failure.nexus_operation_execution_failure_info
    return exceptions.NexusOperationError(
        failure.message or "Nexus operation error",
        scheduled_event_id=info.scheduled_event_id,
        endpoint=info.endpoint,
        service=info.service,
        operation=info.operation,
        operation_token=info.operation_token,
    )


def _decode_nexus_handler(failure: Failure, payload_converter: PayloadConverter) -> Exception:
    return decode_handler_error(failure)


def _decode_other(failure: Failure, payload_converter: PayloadConverter) -> exceptions.FailureError:
    """Kinds without a class of their own (a reset) keep their failure."""
    return exceptions.FailureError(failure.message or "Failure error")


def _known(kind: Any, value: int) -> Any:
    """The member of an enumeration; None for 0, and for what a newer server may send."""
    return kind(value) if value in kind._value2member_map_ else None


_DECODERS: dict[str, Callable[[Failure, PayloadConverter], Exception]] = {
    "application_failure_info": _decode_application,
    "timeout_failure_info": _decode_timeout,
    "canceled_failure_info": _decode_cancelled,
    "terminated_failure_info": _decode_terminated,
    "server_failure_info": _decode_server,
    "activity_failure_info": _decode_activity,
    "child_workflow_execution_failure_info": _decode_child_workflow,
    "nexus_operation_execution_failure_info": _decode_nexus_operation,
    "nexus_handler_failure_info": _decode_nexus_handler,
}
"""What becomes of a failure, by the kind of its info."""
