"""What operators set of a task queue: rate limits, and the weights of fairness keys."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import task_queue_pb2
from temporalio.api.taskqueue.v1 import RateLimitConfig, TaskQueueConfig
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest

from perdure.server.machines.errors import InvalidArgument

TEXT_LENGTH_MAX = 1000
FAIRNESS_KEY_BYTES_MAX = 64
OVERRIDES_MAX = 1000  # matching.maxFairnessKeyWeightOverrides
MILLISECOND_NS = 1_000_000

_RateLimitUpdate = UpdateTaskQueueConfigRequest.RateLimitUpdate


_RATE_LIMITS = (
    ("update_queue_rate_limit", "UpdateQueueRateLimit", "rate limit"),
    (
        "update_fairness_key_rate_limit_default",
        "UpdateFairnessKeyRateLimitDefault",
        "fairness key rate limit",
    ),
)
"""The limits that a request may set: field, name and what it is called in refusals."""


def check_type(request: UpdateTaskQueueConfigRequest) -> None:
    """Raises InvalidArgument when workflow tasks are to be limited."""
    if request.task_queue_type != task_queue_pb2.TASK_QUEUE_TYPE_WORKFLOW:
        return
    for field, _, what in _RATE_LIMITS:
        update: _RateLimitUpdate = getattr(request, field)
        if update.HasField("rate_limit"):
            raise InvalidArgument(f"Setting {what} on workflow task queues is not allowed.")


def check_update(request: UpdateTaskQueueConfigRequest) -> None:
    """Raises InvalidArgument, in the words of the real server, when a request asks for what cannot
    be."""
    check_type(request)
    _check_text(request.identity, "Identity")
    for field, name, _ in _RATE_LIMITS:
        update: _RateLimitUpdate = getattr(request, field)
        if update.rate_limit.requests_per_second < 0:
            raise InvalidArgument(f"RequestsPerSecond for {name} rate limit must be non-negative.")
        _check_text(update.reason, f"{name}.Reason")
    _check_weights(request)


def updated(
    config: TaskQueueConfig | None, request: UpdateTaskQueueConfigRequest, now_ns: int
) -> TaskQueueConfig:
    """The whole of what is set after a request. Raises InvalidArgument."""
    result = TaskQueueConfig()
    if config is not None:
        result.CopyFrom(config)
    if request.HasField("update_queue_rate_limit"):
        update = request.update_queue_rate_limit
        result.queue_rate_limit.CopyFrom(_limit(update, request.identity, now_ns))
    if request.HasField("update_fairness_key_rate_limit_default"):
        update = request.update_fairness_key_rate_limit_default
        limit = _limit(update, request.identity, now_ns)
        result.fairness_keys_rate_limit_default.CopyFrom(limit)
    for key in request.unset_fairness_weight_overrides:
        result.fairness_weight_overrides.pop(key, None)
    for key, weight in request.set_fairness_weight_overrides.items():
        result.fairness_weight_overrides[key] = weight
    if len(result.fairness_weight_overrides) > OVERRIDES_MAX:
        raise InvalidArgument(
            f"fairness weight overrides exceed the maximum of {OVERRIDES_MAX} entries"
        )
    return result


def rate_of(config: TaskQueueConfig | None) -> float | None:
    """What a queue is limited to; None when nothing is set."""
    if config is None or not config.queue_rate_limit.HasField("rate_limit"):
        return None
    return float(config.queue_rate_limit.rate_limit.requests_per_second)


def _limit(update: _RateLimitUpdate, identity: str, now_ns: int) -> RateLimitConfig:
    limit = RateLimitConfig()
    if update.HasField("rate_limit"):
        limit.rate_limit.CopyFrom(update.rate_limit)
    limit.metadata.reason = update.reason
    limit.metadata.update_identity = identity
    milliseconds = now_ns // MILLISECOND_NS
    limit.metadata.update_time.CopyFrom(
        Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * MILLISECOND_NS)
    )
    return limit


def _check_text(text: str, name: str) -> None:
    if len(text.encode()) > TEXT_LENGTH_MAX:
        raise InvalidArgument(f"{name} field too long (max {TEXT_LENGTH_MAX} characters).")


def _check_weights(request: UpdateTaskQueueConfigRequest) -> None:
    count = len(request.set_fairness_weight_overrides)
    if count > OVERRIDES_MAX:
        raise InvalidArgument(
            f"too many fairness weight overrides in request: got {count}, maximum {OVERRIDES_MAX}"
        )
    unset = set(request.unset_fairness_weight_overrides)
    for key, weight in request.set_fairness_weight_overrides.items():
        if not key:
            raise InvalidArgument("fairness weight override key must not be empty")
        if len(key.encode()) > FAIRNESS_KEY_BYTES_MAX:
            raise InvalidArgument("fairness key length exceeds limit")
        if weight <= 0:
            raise InvalidArgument(
                f'invalid fairness weight weight for key "{key}": must be greater than zero'
            )
        if key in unset:
            raise InvalidArgument(
                f'fairness weight override key "{key}" present in both set and unset lists'
            )
