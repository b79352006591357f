"""What workflow code asks about itself, and what it waits for."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar, overload

from perdure._replay.arguments import UNSET
from perdure._replay.context import current
from perdure._replay.event_groups import EventGroup
from perdure._replay.info import Info, UpdateInfo
from perdure._replay.loop import running_loop
from perdure._replay.search_attributes import upsert_search_attributes as upsert
from perdure._replay.updates import CURRENT_UPDATE
from perdure.common import MetricMeter, SearchAttributes, SearchAttributeUpdate
from perdure.converter import PayloadConverter

_Value = TypeVar("_Value")

_EPOCH = datetime.fromtimestamp(0, UTC)
"""Floats do not hold all microseconds."""


def in_workflow() -> bool:
    """Whether the calling code is that of a workflow."""
    return running_loop() is not None


def info() -> Info:
    """What is known of the running workflow."""
    context = current()
    return context.info if context.outbound is None else context.outbound.info()


def instance() -> Any:
    """The object of the running workflow's class."""
    return current().instance


def current_update_info() -> UpdateInfo | None:
    """The update that the calling task handles, if it handles one."""
    return CURRENT_UPDATE.get()


def extern_functions() -> Mapping[str, Callable[..., Any]]:
    """Functions that interceptors of the worker offer to workflow code."""
    return current().options.extern_functions


def cancellation_reason() -> str | None:
    """Why the cancellation of the workflow was asked for; None when it was not."""
    return current().cancel_reason


def is_failure_exception(err: BaseException) -> bool:
    """Whether the exception would fail the workflow, not only its task."""
    return current().is_failure_exception(err)


def now() -> datetime:
    """The time of the workflow: when its current task was started."""
    return _EPOCH + timedelta(microseconds=time_ns() // 1000)


def time() -> float:
    """`now()` in seconds since 1970."""
    return time_ns() / 1e9


def time_ns() -> int:
    """`now()` in nanoseconds since 1970."""
    return current().machine.time_ns


def random() -> Random:
    """Random numbers that come out the same on replay."""
    return current().random


def random_seed() -> int:
    """What `random()` was seeded with; it changes when the workflow is reset."""
    return current().seed


def register_random_seed_callback(callback: Callable[[int], None]) -> None:
    """Calls back with each new seed."""
    context = current()
    context.check_not_read_only("register random seed callback")
    context.seed_callbacks.append(callback)


def new_random(name: str | None = None) -> Random:
    """Random numbers of a stream of their own, named or not, that survive replay."""

    def seed_for(seed: int) -> int | str:
        return seed if name is None else f"{seed}:{name}"

    context = current()
    context.check_not_read_only("register random seed callback")
    generator = Random(seed_for(context.seed))
    register_random_seed_callback(lambda seed: generator.seed(seed_for(seed)))
    return generator


def uuid4() -> uuids.UUID:
    """A random UUID that comes out the same on replay."""
    return uuids.UUID(bytes=random().getrandbits(128).to_bytes(16, "big"), version=4)


def uuid7() -> uuids.UUID:
    """A UUID that sorts by the time of the workflow and comes out the same on replay."""
    milliseconds = time_ns() // 1_000_000
    generator = random()
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76
    value |= generator.getrandbits(12) << 64
    value |= 0b10 << 62
    value |= generator.getrandbits(62)
    return uuids.UUID(int=value)


def payload_converter() -> PayloadConverter:
    """The payload converter of the workflow."""
    return current().payload_converter


def memo() -> Mapping[str, Any]:
    """The memo, decoded without type hints."""
    return current().memo


@overload
def memo_value(key: str, default: Any = ...) -> Any: ...


@overload
def memo_value(key: str, default: Any = ..., *, type_hint: type[_Value]) -> _Value: ...


def memo_value(key: str, default: Any = UNSET, *, type_hint: type | None = None) -> Any:
    """One value of the memo. Raises KeyError when it is not there and no default is given."""
    context = current()
    payload = context.info.raw_memo.get(key)
    if payload is not None:
        return context.payload_converter.from_payload(payload, type_hint)
    if default is UNSET:
        raise KeyError(f"Memo does not have a value for key {key}")
    return default


def upsert_memo(
    updates: Mapping[str, Any], *, event_groups: Sequence[EventGroup] | None = None
) -> None:
    """Adds, replaces and (by None) removes values of the memo."""
    current().upsert_memo(updates, event_groups)


def upsert_search_attributes(
    attributes: SearchAttributes | Sequence[SearchAttributeUpdate[Any]],
    *,
    event_groups: Sequence[EventGroup] | None = None,
) -> None:
    """Adds, replaces and removes search attributes."""
    if attributes:
        upsert(current(), attributes, event_groups)


def has_last_completion_result() -> bool:
    """Whether an earlier run of this chain (of a cron schedule) had a result."""
    started = current().started.workflow_execution_started_event_attributes
    return len(started.last_completion_result.payloads) > 0


@overload
def get_last_completion_result() -> Any: ...


@overload
def get_last_completion_result(type_hint: type[_Value]) -> _Value | None: ...


def get_last_completion_result(type_hint: type | None = None) -> Any:
    """The result of the last run of this chain that completed; None when there was none."""
    context = current()
    attributes = context.started.workflow_execution_started_event_attributes
    payloads = attributes.last_completion_result.payloads
    if len(payloads) != 1:
        return None
    return context.payload_converter.from_payload(payloads[0], type_hint)


def get_last_failure() -> BaseException | None:
    """How the previous run of this chain failed, if it did."""
    context = current()
    attributes = context.started.workflow_execution_started_event_attributes
    if not attributes.HasField("continued_failure"):
        return None
    return context.error_of(attributes.continued_failure)


def get_current_details() -> str:
    """What `set_current_details` last set."""
    return current().details


def set_current_details(description: str) -> None:
    """Describes, for people, where the workflow stands. Markdown."""
    context = current()
    context.check_not_read_only("set the current details")
    context.details = description


def patched(
    id: str,  # noqa: A002 -- the mirrored name
    *,
    event_groups: Sequence[EventGroup] | None = None,
) -> bool:
    """Whether the run is to take the newer branch of changed code.

    True for runs that reach it for the first time now, and for those that took it; false for those
    that went by before the change.
    """
    return current().patch(id, deprecated=False, groups=event_groups)


def deprecate_patch(
    id: str,  # noqa: A002 -- the mirrored name
    *,
    event_groups: Sequence[EventGroup] | None = None,
) -> None:
    """Says that no run on the older branch is left; only the newer branch remains in the code."""
    current().patch(id, deprecated=True, groups=event_groups)


def metric_meter() -> MetricMeter:
    """The meter of the run, whose metrics take nothing while it replays."""
    return current().metric_meter


async def sleep(
    duration: float | timedelta,
    *,
    summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
) -> None:
    """Waits for a durable timer. `summary` labels it for the UI."""
    await current().sleep(_seconds(duration), summary=summary, groups=event_groups)


async def wait_condition(
    fn: Callable[[], bool],
    *,
    timeout: timedelta | float | None = None,
    timeout_summary: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
) -> None:
    """Waits until the callable returns true; it is called whenever the workflow has come to rest.

    Raises TimeoutError when the timeout, a durable timer, comes first.
    """
    await current().wait_condition(
        fn,
        timeout=None if timeout is None else _seconds(timeout),
        timeout_summary=timeout_summary,
        groups=event_groups,
    )


def _seconds(duration: float | timedelta) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
