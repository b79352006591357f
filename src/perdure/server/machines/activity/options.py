"""The options of an activity as a message: what describe shows, and what an update merges."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from google.protobuf.message import Message
from temporalio.api.activity.v1 import ActivityOptions as OptionsMessage
from temporalio.api.common.v1 import Priority
from temporalio.api.common.v1 import RetryPolicy as RetryPolicyMessage

from perdure.server.machines import durations
from perdure.server.machines.activity import retry
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.wire import duration, set_duration
from perdure.server.machines.workflow.state import Activity, ActivityOptions, RetryPolicy


def policy_message(policy: RetryPolicy) -> RetryPolicyMessage:
    """A policy as it was recorded; what an operator has left out stays out."""
    message = RetryPolicyMessage()
    message.backoff_coefficient = policy.backoff_coefficient
    message.maximum_attempts = policy.attempts_max
    message.non_retryable_error_types.extend(policy.non_retryable_types)
    if policy.initial_interval_ns:
        set_duration(message.initial_interval, policy.initial_interval_ns)
    if policy.interval_ns_max:
        set_duration(message.maximum_interval, policy.interval_ns_max)
    return message


def options_message(options: Activity | ActivityOptions) -> OptionsMessage:
    """The options, with the name of their queue and no more of it."""
    message = OptionsMessage(
        schedule_to_close_timeout=duration(options.schedule_to_close_ns),
        schedule_to_start_timeout=duration(options.schedule_to_start_ns),
        start_to_close_timeout=duration(options.start_to_close_ns),
        heartbeat_timeout=duration(options.heartbeat_ns),
        retry_policy=policy_message(options.retry_policy),
    )
    message.task_queue.name = options.task_queue
    if options.priority is not None:
        message.priority.CopyFrom(Priority.FromString(options.priority))
    return message


def merge(into: OptionsMessage, update: OptionsMessage, paths: Iterable[str]) -> None:
    """Take over what a field mask names, in place; paths that name nothing are ignored, as on the
    real server. Raises InvalidArgument for a part of something that the update does not have, or
    a policy that is wrong."""
    named = {_snake_case(path) for path in paths}
    for path, taker in _TAKERS.items():
        if path in named:
            taker(into, update, path)
    if any(path.startswith("retry_policy.") for path in named):
        problem = retry.validate(into.retry_policy)
        if problem is not None:
            raise InvalidArgument(problem)


def check_paths(paths: Iterable[str]) -> None:
    """Raises InvalidArgument for a path that names nothing that can be updated."""
    for path in paths:
        if _snake_case(path) not in _TAKERS:
            raise InvalidArgument(f'unsupported update_mask path: "{path}"')


def options_of(message: OptionsMessage, current: Activity | ActivityOptions) -> ActivityOptions:
    """What is kept of merged options. Which types of failure are not retried cannot be changed."""
    policy = message.retry_policy
    return ActivityOptions(
        task_queue=message.task_queue.name,
        schedule_to_close_ns=durations.capped_ns(message.schedule_to_close_timeout),
        schedule_to_start_ns=durations.capped_ns(message.schedule_to_start_timeout),
        start_to_close_ns=durations.capped_ns(message.start_to_close_timeout),
        heartbeat_ns=durations.capped_ns(message.heartbeat_timeout),
        retry_policy=RetryPolicy(
            initial_interval_ns=max(0, durations.capped_ns(policy.initial_interval)),
            backoff_coefficient=policy.backoff_coefficient,
            interval_ns_max=max(0, durations.capped_ns(policy.maximum_interval)),
            attempts_max=policy.maximum_attempts,
            non_retryable_types=current.retry_policy.non_retryable_types,
        ),
        priority=message.priority.SerializeToString() if message.HasField("priority") else None,
    )


def _take_whole(into: Message, update: Message, path: str) -> None:
    if update.HasField(path):
        getattr(into, path).CopyFrom(getattr(update, path))
    else:
        into.ClearField(path)


def _take_policy(into: Message, update: Message, path: str) -> None:
    _require(update, path)
    _take_whole(into, update, path)


def _take_part(into: Message, update: Message, path: str) -> None:
    whole, _, part = path.partition(".")
    _require(update, whole)
    source, target = getattr(update, whole), getattr(into, whole)
    target.SetInParent()
    if isinstance(value := getattr(source, part), Message):
        _take_whole(target, source, part)
    else:
        setattr(target, part, value)


def _require(update: Message, field: str) -> None:
    if not update.HasField(field):
        name = "".join(word.capitalize() for word in field.split("_"))
        raise InvalidArgument(f"{name} is not provided")


def _snake_case(path: str) -> str:
    """`scheduleToCloseTimeout`, which is allowed too, as `schedule_to_close_timeout`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in path)


_TAKERS: dict[str, Callable[[Message, Message, str], None]] = {
    "task_queue.name": _take_part,
    "schedule_to_close_timeout": _take_whole,
    "schedule_to_start_timeout": _take_whole,
    "start_to_close_timeout": _take_whole,
    "heartbeat_timeout": _take_whole,
    "priority": _take_whole,
    "priority.priority_key": _take_part,
    "priority.fairness_key": _take_part,
    "priority.fairness_weight": _take_part,
    "retry_policy": _take_policy,
    "retry_policy.initial_interval": _take_part,
    "retry_policy.backoff_coefficient": _take_part,
    "retry_policy.maximum_interval": _take_part,
    "retry_policy.maximum_attempts": _take_part,
    "start_delay": _take_whole,
}
"""What can be updated, in the order in which the real server takes it over."""
