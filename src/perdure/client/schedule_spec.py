"""When a schedule acts, and what happens when its actions overlap: values, and their messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import ScheduleOverlapPolicy as OverlapPolicyValue
from temporalio.api.schedule.v1 import BackfillRequest, IntervalSpec, Range, StructuredCalendarSpec
from temporalio.api.schedule.v1 import SchedulePolicies as SchedulePoliciesMessage
from temporalio.api.schedule.v1 import ScheduleSpec as ScheduleSpecMessage
from temporalio.api.schedule.v1 import ScheduleState as ScheduleStateMessage


class ScheduleOverlapPolicy(IntEnum):
    """What happens when an action is due while an earlier one is running."""

    SKIP = OverlapPolicyValue.SCHEDULE_OVERLAP_POLICY_SKIP
    """Nothing."""
    BUFFER_ONE = OverlapPolicyValue.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE
    """It waits; others that are due meanwhile are skipped."""
    BUFFER_ALL = OverlapPolicyValue.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL
    """It waits, and so do others."""
    CANCEL_OTHER = OverlapPolicyValue.SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER
    """The running one is asked to stop; this one begins when it has."""
    TERMINATE_OTHER = OverlapPolicyValue.SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER
    """The running one is terminated."""
    ALLOW_ALL = OverlapPolicyValue.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL
    """They run side by side."""


@dataclass(frozen=True)
class ScheduleRange:
    """From `start` to `end`, both included, by `step`. Without an end, `start` alone."""

    start: int
    end: int = 0
    step: int = 0

    def __post_init__(self) -> None:
        if self.end < self.start:
            object.__setattr__(self, "end", self.start)
        if self.step == 0:
            object.__setattr__(self, "step", 1)


_ZERO = (ScheduleRange(0),)


@dataclass
class ScheduleCalendarSpec:
    """Times whose parts all match: midnight of each day, unless it is told otherwise.

    In `day_of_week`, 0 is Sunday. An empty `year` matches every one.
    """

    second: Sequence[ScheduleRange] = _ZERO
    minute: Sequence[ScheduleRange] = _ZERO
    hour: Sequence[ScheduleRange] = _ZERO
    day_of_month: Sequence[ScheduleRange] = (ScheduleRange(1, 31),)
    month: Sequence[ScheduleRange] = (ScheduleRange(1, 12),)
    year: Sequence[ScheduleRange] = ()
    day_of_week: Sequence[ScheduleRange] = (ScheduleRange(0, 6),)
    comment: str | None = None

    def _to_proto(self) -> StructuredCalendarSpec:
        parts = {name: _range_messages(getattr(self, name)) for name in _CALENDAR_PARTS}
        return StructuredCalendarSpec(**parts, comment=self.comment or "")

    @staticmethod
    def _from_proto(message: StructuredCalendarSpec) -> ScheduleCalendarSpec:
        parts: dict[str, Any] = {
            name: tuple(
                ScheduleRange(one.start, one.end, one.step) for one in getattr(message, name)
            )
            for name in _CALENDAR_PARTS
        }
        return ScheduleCalendarSpec(**parts, comment=message.comment or None)


_CALENDAR_PARTS = ("second", "minute", "hour", "day_of_month", "month", "year", "day_of_week")


@dataclass
class ScheduleIntervalSpec:
    """Times that are `offset` after a multiple of `every` since 1970."""

    every: timedelta
    offset: timedelta | None = None


@dataclass
class ScheduleSpec:
    """When a schedule acts: at all times that any of these matches, but for those of `skip`.

    Cron expressions come back from the service as calendars. Up to `jitter` is added to each time.
    """

    calendars: Sequence[ScheduleCalendarSpec] = field(default_factory=list)
    intervals: Sequence[ScheduleIntervalSpec] = field(default_factory=list)
    cron_expressions: Sequence[str] = field(default_factory=list)
    skip: Sequence[ScheduleCalendarSpec] = field(default_factory=list)
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter: timedelta | None = None
    time_zone_name: str | None = None

    def _to_proto(self) -> ScheduleSpecMessage:
        message = ScheduleSpecMessage(
            structured_calendar=[one._to_proto() for one in self.calendars],
            exclude_structured_calendar=[one._to_proto() for one in self.skip],
            cron_string=self.cron_expressions,
            timezone_name=self.time_zone_name or "",
        )
        for interval in self.intervals:
            added = message.interval.add()
            added.interval.FromTimedelta(interval.every)
            if interval.offset is not None:
                added.phase.FromTimedelta(interval.offset)
        if self.start_at is not None:
            message.start_time.FromDatetime(self.start_at)
        if self.end_at is not None:
            message.end_time.FromDatetime(self.end_at)
        if self.jitter is not None:
            message.jitter.FromTimedelta(self.jitter)
        return message

    @staticmethod
    def _from_proto(message: ScheduleSpecMessage) -> ScheduleSpec:
        calendar = ScheduleCalendarSpec._from_proto
        return ScheduleSpec(
            calendars=[calendar(one) for one in message.structured_calendar],
            intervals=[_interval_of(one) for one in message.interval],
            cron_expressions=list(message.cron_string),
            skip=[calendar(one) for one in message.exclude_structured_calendar],
            start_at=time_of(message.start_time) if message.HasField("start_time") else None,
            end_at=time_of(message.end_time) if message.HasField("end_time") else None,
            jitter=message.jitter.ToTimedelta() if message.HasField("jitter") else None,
            time_zone_name=message.timezone_name or None,
        )


@dataclass
class SchedulePolicy:
    """What happens when actions overlap, were missed, or fail.

    Actions that were due while the service was down are made up for when they are not older than
    `catchup_window` (a year, without one).
    """

    overlap: ScheduleOverlapPolicy = ScheduleOverlapPolicy.SKIP
    catchup_window: timedelta | None = None
    pause_on_failure: bool = False

    def _to_proto(self) -> SchedulePoliciesMessage:
        message = SchedulePoliciesMessage(
            overlap_policy=overlap_value(self.overlap), pause_on_failure=self.pause_on_failure
        )
        if self.catchup_window is not None:
            message.catchup_window.FromTimedelta(self.catchup_window)
        return message

    @staticmethod
    def _from_proto(message: SchedulePoliciesMessage) -> SchedulePolicy:
        has_window = message.HasField("catchup_window")
        return SchedulePolicy(
            overlap=ScheduleOverlapPolicy(int(message.overlap_policy)),
            catchup_window=message.catchup_window.ToTimedelta() if has_window else None,
            pause_on_failure=message.pause_on_failure,
        )


@dataclass
class ScheduleState:
    """Whether a schedule acts, and how often it still does when that is limited."""

    note: str | None = None
    paused: bool = False
    limited_actions: bool = False
    remaining_actions: int = 0

    def _to_proto(self) -> ScheduleStateMessage:
        return ScheduleStateMessage(
            notes=self.note or "",
            paused=self.paused,
            limited_actions=self.limited_actions,
            remaining_actions=self.remaining_actions,
        )

    @staticmethod
    def _from_proto(message: ScheduleStateMessage) -> ScheduleState:
        return ScheduleState(
            note=message.notes or None,
            paused=message.paused,
            limited_actions=message.limited_actions,
            remaining_actions=message.remaining_actions,
        )


@dataclass
class ScheduleBackfill:
    """A time for which the schedule is to act as if it had been there."""

    start_at: datetime
    end_at: datetime
    overlap: ScheduleOverlapPolicy | None = None

    def _to_proto(self) -> BackfillRequest:
        message = BackfillRequest()
        message.start_time.FromDatetime(self.start_at)
        message.end_time.FromDatetime(self.end_at)
        if self.overlap is not None:
            message.overlap_policy = overlap_value(self.overlap)
        return message


def overlap_value(policy: ScheduleOverlapPolicy) -> OverlapPolicyValue.ValueType:
    """The number of a policy, as messages have it."""
    return OverlapPolicyValue.ValueType(int(policy))


def time_of(timestamp: Timestamp) -> datetime:
    """The time of a message, in UTC."""
    return timestamp.ToDatetime(UTC)


def _range_messages(ranges: Iterable[ScheduleRange]) -> list[Range]:
    return [Range(start=one.start, end=one.end, step=one.step) for one in ranges]


def _interval_of(message: IntervalSpec) -> ScheduleIntervalSpec:
    has_phase = message.HasField("phase") and message.phase.ToTimedelta() != timedelta()
    return ScheduleIntervalSpec(
        every=message.interval.ToTimedelta(),
        offset=message.phase.ToTimedelta() if has_phase else None,
    )
