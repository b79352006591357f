"""Calling activities from workflow code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Any, Concatenate, TypedDict, TypeVar, Unpack, overload

from perdure._definitions import (
    ACTIVITY_ATTRIBUTE,
    ActivityDefinition,
    activity_name_and_result_type,
)
from perdure._replay.activities import ActivityHandle, ActivityRequest
from perdure._replay.activities import start_activity as schedule
from perdure._replay.arguments import UNSET, arguments
from perdure._replay.context import current
from perdure._replay.event_groups import EventGroup
from perdure.common import Priority, RetryPolicy
from perdure.types import (
    CallableAsyncNoParam,
    CallableAsyncSingleParam,
    CallableSyncNoParam,
    CallableSyncSingleParam,
)
from perdure.workflow._versioning import VersioningIntent

_Self = TypeVar("_Self")
_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")
_NO_PRIORITY = Priority()


class ActivityCancellationType(IntEnum):
    """What the cancellation of an activity's handle does."""

    TRY_CANCEL = 0
    """Ask for the cancellation and go on at once."""
    WAIT_CANCELLATION_COMPLETED = 1
    """Ask for the cancellation and wait for what comes of it."""
    ABANDON = 2
    """Go on at once and ask nobody."""


class ActivityConfig(TypedDict, total=False):
    """The options of an activity call, to be kept and passed as keyword arguments."""

    task_queue: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    cancellation_type: ActivityCancellationType
    activity_id: str | None
    versioning_intent: VersioningIntent | None
    summary: str | None
    event_groups: Sequence[EventGroup] | None
    priority: Priority


def target_of(activity: Any, result_type: Any) -> tuple[str, Any]:
    """The type of an activity, and the hint of its result."""
    definition = getattr(activity, ACTIVITY_ATTRIBUTE, None)
    if isinstance(definition, ActivityDefinition) and definition.name is not None:
        return definition.name, definition.ret_type
    name, declared = activity_name_and_result_type(activity)
    return name, result_type if result_type is not None else declared


@overload
def start_activity(
    activity: Callable[[], Awaitable[_Result]], **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_activity(
    activity: Callable[[], _Result], **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_activity(
    activity: Callable[[_Argument], Awaitable[_Result]],
    arg: _Argument,
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_activity(
    activity: Callable[[_Argument], _Result], arg: _Argument, **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_activity(
    activity: Callable[..., Awaitable[_Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_activity(
    activity: Callable[..., _Result], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_activity(
    activity: str,
    arg: Any = ...,
    *,
    args: Sequence[Any] = ...,
    result_type: type | None = ...,
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[Any]: ...


def start_activity(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    result_type: type | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    versioning_intent: VersioningIntent | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
    priority: Priority = _NO_PRIORITY,
) -> ActivityHandle[Any]:
    """Schedules an activity, by its function or its name, and returns its handle.

    At least one of `start_to_close_timeout` (one attempt) and `schedule_to_close_timeout` (all of
    them) is required.
    """
    context = current()
    name, declared = target_of(activity, result_type)
    return schedule(
        context,
        ActivityRequest(
            activity=name,
            args=arguments(arg, args),
            result_type=declared,
            task_queue=task_queue,
            schedule_to_close_timeout=schedule_to_close_timeout,
            schedule_to_start_timeout=schedule_to_start_timeout,
            start_to_close_timeout=start_to_close_timeout,
            heartbeat_timeout=heartbeat_timeout,
            retry_policy=retry_policy,
            cancellation_type=cancellation_type,
            activity_id=activity_id,
            versioning_intent=versioning_intent,
            summary=summary,
            event_groups=event_groups,
            priority=priority,
        ),
    )


@overload
async def execute_activity(
    activity: Callable[[], Awaitable[_Result]], **options: Unpack[ActivityConfig]
) -> _Result: ...


@overload
async def execute_activity(
    activity: Callable[[], _Result], **options: Unpack[ActivityConfig]
) -> _Result: ...


@overload
async def execute_activity(
    activity: Callable[[_Argument], Awaitable[_Result]],
    arg: _Argument,
    **options: Unpack[ActivityConfig],
) -> _Result: ...


@overload
async def execute_activity(
    activity: Callable[[_Argument], _Result], arg: _Argument, **options: Unpack[ActivityConfig]
) -> _Result: ...


@overload
async def execute_activity(
    activity: Callable[..., Awaitable[_Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> _Result: ...


@overload
async def execute_activity(
    activity: Callable[..., _Result], *, args: Sequence[Any], **options: Unpack[ActivityConfig]
) -> _Result: ...


@overload
async def execute_activity(
    activity: str,
    arg: Any = ...,
    *,
    args: Sequence[Any] = ...,
    result_type: type | None = ...,
    **options: Unpack[ActivityConfig],
) -> Any: ...


async def execute_activity(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    result_type: type | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    versioning_intent: VersioningIntent | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
    priority: Priority = _NO_PRIORITY,
) -> Any:
    """Schedules an activity and waits for its result; see `start_activity`."""
    await current().hold_evicted()
    return await start_activity(
        activity,
        arg,
        args=args,
        task_queue=task_queue,
        result_type=result_type,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        heartbeat_timeout=heartbeat_timeout,
        retry_policy=retry_policy,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        versioning_intent=versioning_intent,
        summary=summary,
        event_groups=event_groups,
        priority=priority,
    )


@overload
def start_activity_class(
    activity: type[CallableAsyncNoParam[_Result]], **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_activity_class(
    activity: type[CallableSyncNoParam[_Result]], **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_activity_class(
    activity: type[CallableAsyncSingleParam[_Argument, _Result]],
    arg: _Argument,
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_activity_class(
    activity: type[CallableSyncSingleParam[_Argument, _Result]],
    arg: _Argument,
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_activity_class(
    activity: type[Callable[..., Awaitable[_Result]]],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_activity_class(
    activity: type[Callable[..., _Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...


def start_activity_class(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    versioning_intent: VersioningIntent | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
    priority: Priority = _NO_PRIORITY,
) -> ActivityHandle[Any]:
    """`start_activity` for an activity that is a class with a `__call__`."""
    return start_activity(
        activity,
        arg,
        args=args,
        task_queue=task_queue,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        heartbeat_timeout=heartbeat_timeout,
        retry_policy=retry_policy,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        versioning_intent=versioning_intent,
        summary=summary,
        event_groups=event_groups,
        priority=priority,
    )


@overload
async def execute_activity_class(
    activity: type[CallableAsyncNoParam[_Result]], **options: Unpack[ActivityConfig]
) -> _Result: ...


@overload
async def execute_activity_class(
    activity: type[CallableSyncNoParam[_Result]], **options: Unpack[ActivityConfig]
) -> _Result: ...


@overload
async def execute_activity_class(
    activity: type[CallableAsyncSingleParam[_Argument, _Result]],
    arg: _Argument,
    **options: Unpack[ActivityConfig],
) -> _Result: ...


@overload
async def execute_activity_class(
    activity: type[CallableSyncSingleParam[_Argument, _Result]],
    arg: _Argument,
    **options: Unpack[ActivityConfig],
) -> _Result: ...


@overload
async def execute_activity_class(
    activity: type[Callable[..., Awaitable[_Result]]],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> _Result: ...


@overload
async def execute_activity_class(
    activity: type[Callable[..., _Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> _Result: ...


async def execute_activity_class(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    versioning_intent: VersioningIntent | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
    priority: Priority = _NO_PRIORITY,
) -> Any:
    """`execute_activity` for an activity that is a class with a `__call__`."""
    await current().hold_evicted()
    return await start_activity(
        activity,
        arg,
        args=args,
        task_queue=task_queue,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        heartbeat_timeout=heartbeat_timeout,
        retry_policy=retry_policy,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        versioning_intent=versioning_intent,
        summary=summary,
        event_groups=event_groups,
        priority=priority,
    )


@overload
def start_activity_method(
    activity: Callable[[_Self], Awaitable[_Result]], **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_activity_method(
    activity: Callable[[_Self], _Result], **options: Unpack[ActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_activity_method(
    activity: Callable[[_Self, _Argument], Awaitable[_Result]],
    arg: _Argument,
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_activity_method(
    activity: Callable[[_Self, _Argument], _Result],
    arg: _Argument,
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_activity_method(
    activity: Callable[Concatenate[_Self, ...], Awaitable[_Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_activity_method(
    activity: Callable[Concatenate[_Self, ...], _Result],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> ActivityHandle[_Result]: ...


def start_activity_method(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    versioning_intent: VersioningIntent | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
    priority: Priority = _NO_PRIORITY,
) -> ActivityHandle[Any]:
    """`start_activity` for a method named through its class, as `Mailer.send`."""
    return start_activity(
        activity,
        arg,
        args=args,
        task_queue=task_queue,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        heartbeat_timeout=heartbeat_timeout,
        retry_policy=retry_policy,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        versioning_intent=versioning_intent,
        summary=summary,
        event_groups=event_groups,
        priority=priority,
    )


@overload
async def execute_activity_method(
    activity: Callable[[_Self], Awaitable[_Result]], **options: Unpack[ActivityConfig]
) -> _Result: ...


@overload
async def execute_activity_method(
    activity: Callable[[_Self], _Result], **options: Unpack[ActivityConfig]
) -> _Result: ...


@overload
async def execute_activity_method(
    activity: Callable[[_Self, _Argument], Awaitable[_Result]],
    arg: _Argument,
    **options: Unpack[ActivityConfig],
) -> _Result: ...


@overload
async def execute_activity_method(
    activity: Callable[[_Self, _Argument], _Result],
    arg: _Argument,
    **options: Unpack[ActivityConfig],
) -> _Result: ...


@overload
async def execute_activity_method(
    activity: Callable[Concatenate[_Self, ...], Awaitable[_Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> _Result: ...


@overload
async def execute_activity_method(
    activity: Callable[Concatenate[_Self, ...], _Result],
    *,
    args: Sequence[Any],
    **options: Unpack[ActivityConfig],
) -> _Result: ...


async def execute_activity_method(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    task_queue: str | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    heartbeat_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    versioning_intent: VersioningIntent | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
    priority: Priority = _NO_PRIORITY,
) -> Any:
    """`execute_activity` for a method named through its class, as `Mailer.send`."""
    await current().hold_evicted()
    return await start_activity(
        activity,
        arg,
        args=args,
        task_queue=task_queue,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        heartbeat_timeout=heartbeat_timeout,
        retry_policy=retry_policy,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        versioning_intent=versioning_intent,
        summary=summary,
        event_groups=event_groups,
        priority=priority,
    )
