"""Failures that the service makes itself, and how long one may be that it keeps."""

from __future__ import annotations

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import TimeoutType, workflow_pb2
from temporalio.api.failure.v1 import Failure, ServerFailureInfo, TimeoutFailureInfo

from perdure.server.machines.activity.retry import TIMEOUT_NAMES
from perdure.server.machines.ports import DEFAULT_LIMITS

SOURCE = "Server"
NO_TIME_LEFT = (
    "Not enough time to schedule next retry before activity ScheduleToClose timeout,"
    " giving up retrying"
)
WORKER_LOST = "the worker that ran the activity was lost"
TOO_LONG = "Failure exceeds size limit."
DEPTH_MAX = DEFAULT_LIMITS.failure_depth_max
WRAPPED_CAUSES_MAX = DEPTH_MAX - 2
"""Causes that a failure keeps which is itself the cause of another one."""

_STRING_OVERHEAD = 4
_APPLICATION_OVERHEAD = 8
_SERVER_OVERHEAD = 4
_CAUSE_OVERHEAD = 4


def timed_out(timeout_type: TimeoutType.ValueType) -> Failure:
    """The failure of an attempt that exceeded a timeout."""
    return Failure(
        message=f"activity {TIMEOUT_NAMES[timeout_type]} timeout",
        source=SOURCE,
        timeout_failure_info=TimeoutFailureInfo(timeout_type=timeout_type),
    )


def lost() -> Failure:
    """The failure of an attempt whose worker died with it."""
    return Failure(
        message=WORKER_LOST,
        source=SOURCE,
        timeout_failure_info=TimeoutFailureInfo(
            timeout_type=workflow_pb2.TIMEOUT_TYPE_START_TO_CLOSE
        ),
    )


def no_time_left() -> Failure:
    """The failure of an activity whose next attempt would begin after its schedule-to-close
    timeout.
    """
    return Failure(
        message=NO_TIME_LEFT,
        source=SOURCE,
        timeout_failure_info=TimeoutFailureInfo(
            timeout_type=workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
        ),
    )


def complete_timeout(failure: Failure, heartbeat_details: bytes, last_failure: bytes) -> Failure:
    """Add to a timeout, in place, what the activity had reported and why its attempt before had
    failed.
    """
    if heartbeat_details:
        failure.timeout_failure_info.last_heartbeat_details.CopyFrom(
            Payloads.FromString(heartbeat_details)
        )
    if last_failure:
        failure.cause.CopyFrom(Failure.FromString(last_failure))
        cut_causes(failure, DEPTH_MAX)
    return failure


def cut_causes(failure: Failure, depth_max: int) -> None:
    """Keep, in place, no more than `depth_max` failures of a chain of causes: protobuf serialises
    chains so deep that nobody can parse the event which has them.
    """
    for _ in range(depth_max - 1):
        if not failure.HasField("cause"):
            return
        failure = failure.cause
    failure.ClearField("cause")


def kept(failure: Failure, size_max: int) -> bytes:
    """A failure as it is kept for the next attempt, serialised: itself, or what of it fits into
    `size_max` bytes.
    """
    if failure.ByteSize() <= size_max:
        return failure.SerializeToString(deterministic=True)
    shortened = Failure(
        message=TOO_LONG,
        server_failure_info=ServerFailureInfo(),
        cause=truncated(failure, size_max),
    )
    return shortened.SerializeToString(deterministic=True)


def truncated(failure: Failure, size_max: int, causes_max: int = WRAPPED_CAUSES_MAX) -> Failure:
    """The most important parts of a failure, in about `size_max` bytes: kind, source, message,
    stack trace, causes.
    """
    left = size_max
    result = Failure()
    if failure.HasField("application_failure_info"):
        info = failure.application_failure_info
        result.application_failure_info.non_retryable = info.non_retryable
        result.application_failure_info.type, left = _cut(info.type, left)
        left -= _APPLICATION_OVERHEAD
    elif failure.HasField("server_failure_info"):
        result.server_failure_info.SetInParent()
        result.server_failure_info.non_retryable = failure.server_failure_info.non_retryable
        left -= _SERVER_OVERHEAD
    result.source, left = _cut(failure.source, left)
    result.message, left = _cut(failure.message, left)
    result.stack_trace, left = _cut(failure.stack_trace, left)
    if failure.HasField("cause") and left > _CAUSE_OVERHEAD and causes_max > 0:
        result.cause.CopyFrom(truncated(failure.cause, left - _CAUSE_OVERHEAD, causes_max - 1))
    return result


def _cut(text: str, left: int) -> tuple[str, int]:
    """As much of a text as fits, and the bytes that are left after it."""
    encoded = text.encode()
    if len(encoded) > left:
        encoded = encoded[: max(left, 0)]
        text = encoded.decode(errors="ignore")
        encoded = text.encode()
    return text, left - len(encoded) - (_STRING_OVERHEAD if text else 0)
