"""Calling local activities from workflow code: short ones, run by the workflow's own worker.

They are recorded with the workflow task that asked for them, without a task of their own, so they
are quick and cheap. The worker holds its workflow task until they are done; one that is lost with
its worker runs again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Concatenate, TypedDict, TypeVar, Unpack, overload

from perdure._replay.activities import ActivityHandle
from perdure._replay.arguments import UNSET, arguments
from perdure._replay.context import current
from perdure._replay.event_groups import EventGroup
from perdure._replay.local_activities import LocalActivityRequest
from perdure._replay.local_activities import start_local_activity as ask
from perdure.common import RetryPolicy
from perdure.types import (
    CallableAsyncNoParam,
    CallableAsyncSingleParam,
    CallableSyncNoParam,
    CallableSyncSingleParam,
)
from perdure.workflow._activities import ActivityCancellationType, target_of

_Self = TypeVar("_Self")
_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


class LocalActivityConfig(TypedDict, total=False):
    """The options of a local activity call, to be kept and passed as keyword arguments."""

    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    local_retry_threshold: timedelta | None
    cancellation_type: ActivityCancellationType
    activity_id: str | None
    summary: str | None
    event_groups: Sequence[EventGroup] | None


@overload
def start_local_activity(
    activity: Callable[[], Awaitable[_Result]], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity(
    activity: Callable[[], _Result], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity(
    activity: Callable[[_Argument], Awaitable[_Result]],
    arg: _Argument,
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity(
    activity: Callable[[_Argument], _Result], arg: _Argument, **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity(
    activity: Callable[..., Awaitable[_Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity(
    activity: Callable[..., _Result], *, args: Sequence[Any], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity(
    activity: str,
    arg: Any = ...,
    *,
    args: Sequence[Any] = ...,
    result_type: type | None = ...,
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[Any]: ...


def start_local_activity(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    result_type: type | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    local_retry_threshold: timedelta | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
) -> ActivityHandle[Any]:
    """Runs an activity here, by its function or its name, and returns its handle.

    At least one of `start_to_close_timeout` (one attempt) and `schedule_to_close_timeout` (all of
    them) is required. A retry that is further off than `local_retry_threshold` (a minute, without
    one) waits for a timer of the workflow, and no longer holds its task.
    """
    context = current()
    name, declared = target_of(activity, result_type)
    return ask(
        context,
        LocalActivityRequest(
            activity=name,
            args=arguments(arg, args),
            result_type=declared,
            schedule_to_close_timeout=schedule_to_close_timeout,
            schedule_to_start_timeout=schedule_to_start_timeout,
            start_to_close_timeout=start_to_close_timeout,
            retry_policy=retry_policy,
            local_retry_threshold=local_retry_threshold,
            cancellation_type=cancellation_type,
            activity_id=activity_id,
            summary=summary,
            event_groups=event_groups,
        ),
    )


@overload
async def execute_local_activity(
    activity: Callable[[], Awaitable[_Result]], **options: Unpack[LocalActivityConfig]
) -> _Result: ...


@overload
async def execute_local_activity(
    activity: Callable[[], _Result], **options: Unpack[LocalActivityConfig]
) -> _Result: ...


@overload
async def execute_local_activity(
    activity: Callable[[_Argument], Awaitable[_Result]],
    arg: _Argument,
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...


@overload
async def execute_local_activity(
    activity: Callable[[_Argument], _Result], arg: _Argument, **options: Unpack[LocalActivityConfig]
) -> _Result: ...


@overload
async def execute_local_activity(
    activity: Callable[..., Awaitable[_Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...


@overload
async def execute_local_activity(
    activity: Callable[..., _Result], *, args: Sequence[Any], **options: Unpack[LocalActivityConfig]
) -> _Result: ...


@overload
async def execute_local_activity(
    activity: str,
    arg: Any = ...,
    *,
    args: Sequence[Any] = ...,
    result_type: type | None = ...,
    **options: Unpack[LocalActivityConfig],
) -> Any: ...


async def execute_local_activity(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    result_type: type | None = None,
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    local_retry_threshold: timedelta | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
) -> Any:
    """Runs an activity here and waits for its result; see `start_local_activity`."""
    await current().hold_evicted()
    return await start_local_activity(
        activity,
        arg,
        args=args,
        result_type=result_type,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        retry_policy=retry_policy,
        local_retry_threshold=local_retry_threshold,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        summary=summary,
        event_groups=event_groups,
    )


@overload
def start_local_activity_class(
    activity: type[CallableAsyncNoParam[_Result]], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity_class(
    activity: type[CallableSyncNoParam[_Result]], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity_class(
    activity: type[CallableAsyncSingleParam[_Argument, _Result]],
    arg: _Argument,
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity_class(
    activity: type[CallableSyncSingleParam[_Argument, _Result]],
    arg: _Argument,
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity_class(
    activity: type[Callable[..., Awaitable[_Result]]],
    *,
    args: Sequence[Any],
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity_class(
    activity: type[Callable[..., _Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...


def start_local_activity_class(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    local_retry_threshold: timedelta | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
) -> ActivityHandle[Any]:
    """`start_local_activity` for an activity that is a class with a `__call__`."""
    return start_local_activity(
        activity,
        arg,
        args=args,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        retry_policy=retry_policy,
        local_retry_threshold=local_retry_threshold,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        summary=summary,
        event_groups=event_groups,
    )


@overload
async def execute_local_activity_class(
    activity: type[CallableAsyncNoParam[_Result]], **options: Unpack[LocalActivityConfig]
) -> _Result: ...


@overload
async def execute_local_activity_class(
    activity: type[CallableSyncNoParam[_Result]], **options: Unpack[LocalActivityConfig]
) -> _Result: ...


@overload
async def execute_local_activity_class(
    activity: type[CallableAsyncSingleParam[_Argument, _Result]],
    arg: _Argument,
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...


@overload
async def execute_local_activity_class(
    activity: type[CallableSyncSingleParam[_Argument, _Result]],
    arg: _Argument,
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...


@overload
async def execute_local_activity_class(
    activity: type[Callable[..., Awaitable[_Result]]],
    *,
    args: Sequence[Any],
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...


@overload
async def execute_local_activity_class(
    activity: type[Callable[..., _Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...


async def execute_local_activity_class(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    local_retry_threshold: timedelta | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
) -> Any:
    """`execute_local_activity` for an activity that is a class with a `__call__`."""
    await current().hold_evicted()
    return await start_local_activity(
        activity,
        arg,
        args=args,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        retry_policy=retry_policy,
        local_retry_threshold=local_retry_threshold,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        summary=summary,
        event_groups=event_groups,
    )


@overload
def start_local_activity_method(
    activity: Callable[[_Self], Awaitable[_Result]], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity_method(
    activity: Callable[[_Self], _Result], **options: Unpack[LocalActivityConfig]
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity_method(
    activity: Callable[[_Self, _Argument], Awaitable[_Result]],
    arg: _Argument,
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity_method(
    activity: Callable[[_Self, _Argument], _Result],
    arg: _Argument,
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity_method(
    activity: Callable[Concatenate[_Self, ...], Awaitable[_Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...


@overload
def start_local_activity_method(
    activity: Callable[Concatenate[_Self, ...], _Result],
    *,
    args: Sequence[Any],
    **options: Unpack[LocalActivityConfig],
) -> ActivityHandle[_Result]: ...


def start_local_activity_method(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    local_retry_threshold: timedelta | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
) -> ActivityHandle[Any]:
    """`start_local_activity` for a method named through its class, as `Mailer.send`."""
    return start_local_activity(
        activity,
        arg,
        args=args,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        retry_policy=retry_policy,
        local_retry_threshold=local_retry_threshold,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        summary=summary,
        event_groups=event_groups,
    )


@overload
async def execute_local_activity_method(
    activity: Callable[[_Self], Awaitable[_Result]], **options: Unpack[LocalActivityConfig]
) -> _Result: ...


@overload
async def execute_local_activity_method(
    activity: Callable[[_Self], _Result], **options: Unpack[LocalActivityConfig]
) -> _Result: ...


@overload
async def execute_local_activity_method(
    activity: Callable[[_Self, _Argument], Awaitable[_Result]],
    arg: _Argument,
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...


@overload
async def execute_local_activity_method(
    activity: Callable[[_Self, _Argument], _Result],
    arg: _Argument,
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...


@overload
async def execute_local_activity_method(
    activity: Callable[Concatenate[_Self, ...], Awaitable[_Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...


@overload
async def execute_local_activity_method(
    activity: Callable[Concatenate[_Self, ...], _Result],
    *,
    args: Sequence[Any],
    **options: Unpack[LocalActivityConfig],
) -> _Result: ...


async def execute_local_activity_method(
    activity: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    schedule_to_close_timeout: timedelta | None = None,
    schedule_to_start_timeout: timedelta | None = None,
    start_to_close_timeout: timedelta | None = None,
    retry_policy: RetryPolicy | None = None,
    local_retry_threshold: timedelta | None = None,
    cancellation_type: ActivityCancellationType = ActivityCancellationType.TRY_CANCEL,
    activity_id: str | None = None,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
) -> Any:
    """`execute_local_activity` for a method named through its class, as `Mailer.send`."""
    await current().hold_evicted()
    return await start_local_activity(
        activity,
        arg,
        args=args,
        schedule_to_close_timeout=schedule_to_close_timeout,
        schedule_to_start_timeout=schedule_to_start_timeout,
        start_to_close_timeout=start_to_close_timeout,
        retry_policy=retry_policy,
        local_retry_threshold=local_retry_threshold,
        cancellation_type=cancellation_type,
        activity_id=activity_id,
        summary=summary,
        event_groups=event_groups,
    )
