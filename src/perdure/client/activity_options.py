"""The options of an activity that runs, and how they are changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar

from google.protobuf.duration_pb2 import Duration
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.workflowservice.v1 import UpdateActivityExecutionOptionsRequest

from perdure.common import Priority, RetryPolicy

ValueType = TypeVar("ValueType")


@dataclass(frozen=True)
class ActivityOptionsKey(Generic[ValueType]):
    """One option: see `ActivityOptionsKeys`."""

    name: str

    def value_set(self, value: ValueType) -> ActivityOptionsUpdate[ValueType]:
        """The option gets a value."""
        return ActivityOptionsUpdate(self, value)

    def value_unset(self) -> ActivityOptionsUpdate[ValueType]:
        """The option loses its value."""
        return ActivityOptionsUpdate(self, None)


@dataclass(frozen=True)
class ActivityOptionsUpdate(Generic[ValueType]):
    """What becomes of one option."""

    key: ActivityOptionsKey[ValueType]
    value: ValueType | None


class ActivityOptionsKeys:
    """The options that can be changed."""

    task_queue: ClassVar[ActivityOptionsKey[str]] = ActivityOptionsKey("task_queue.name")
    schedule_to_close_timeout: ClassVar[ActivityOptionsKey[timedelta]] = ActivityOptionsKey(
        "schedule_to_close_timeout"
    )
    schedule_to_start_timeout: ClassVar[ActivityOptionsKey[timedelta]] = ActivityOptionsKey(
        "schedule_to_start_timeout"
    )
    start_to_close_timeout: ClassVar[ActivityOptionsKey[timedelta]] = ActivityOptionsKey(
        "start_to_close_timeout"
    )
    heartbeat_timeout: ClassVar[ActivityOptionsKey[timedelta]] = ActivityOptionsKey(
        "heartbeat_timeout"
    )
    start_delay: ClassVar[ActivityOptionsKey[timedelta]] = ActivityOptionsKey("start_delay")
    retry_policy: ClassVar[ActivityOptionsKey[RetryPolicy]] = ActivityOptionsKey("retry_policy")
    priority: ClassVar[ActivityOptionsKey[Priority]] = ActivityOptionsKey("priority")


@dataclass(frozen=True)
class ActivityExecutionOptions:
    """The options that hold; None for what is not set."""

    task_queue: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    start_delay: timedelta | None
    retry_policy: RetryPolicy | None
    priority: Priority | None

    @staticmethod
    def _from_proto(message: ActivityOptions) -> ActivityExecutionOptions:
        return ActivityExecutionOptions(
            task_queue=message.task_queue.name or None,
            schedule_to_close_timeout=length_of(message.schedule_to_close_timeout),
            schedule_to_start_timeout=length_of(message.schedule_to_start_timeout),
            start_to_close_timeout=length_of(message.start_to_close_timeout),
            heartbeat_timeout=length_of(message.heartbeat_timeout),
            start_delay=length_of(message.start_delay),
            retry_policy=(
                RetryPolicy.from_proto(message.retry_policy)
                if message.HasField("retry_policy")
                else None
            ),
            priority=Priority.from_proto(message.priority)
            if message.HasField("priority")
            else None,
        )


def length_of(message: Duration) -> timedelta | None:
    """A length of time; None for none."""
    return message.ToTimedelta() or None


def write_updates(
    updates: Sequence[ActivityOptionsUpdate[Any]], request: UpdateActivityExecutionOptionsRequest
) -> None:
    """Put changes of options into a request. Raises ValueError when there are none."""
    if not updates:
        raise ValueError("At least one update required")
    options = request.activity_options
    options.SetInParent()
    request.update_mask.SetInParent()
    for update in updates:
        name, value = update.key.name, update.value
        request.update_mask.paths.append(name)
        if name == "task_queue.name":
            options.task_queue.name = value or ""
        elif value is None:
            continue
        elif isinstance(value, timedelta):
            getattr(options, name).FromTimedelta(value)
        else:
            value.apply_to_proto(getattr(options, name))
