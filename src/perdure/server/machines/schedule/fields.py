"""The texts of calendars and cron strings, as the real server reads them, in its words of refusal.

A field is a list of `*`, values, names and ranges `a-b`, each with a step `/n`; `a/n` means from a
to the end. There is no `?`, and months and weekdays may be named by three letters or more.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from temporalio.api.schedule.v1 import IntervalSpec, Range, StructuredCalendarSpec

from perdure.server.machines.schedule.cron import duration_ns_of
from perdure.server.machines.wire import duration

COMMENT_LENGTH_MAX = 200
YEAR_FIRST, YEAR_LAST = 2000, 2100
SUNDAY_TOO = 7
"""Another number for Sunday, in texts."""
NOT_CRON = "CronString does not have 5-7 fields"


class BadSpec(ValueError):
    """A schedule's specification makes no sense; the message says how."""


class Field(NamedTuple):
    """What a field of a calendar can be; `default` is its text when that is empty."""

    name: str
    title: str
    first: int
    last: int
    default: str
    names: tuple[str, ...] = ()

    @property
    def last_written(self) -> int:
        """The last value that a text may have."""
        return SUNDAY_TOO if self.name == "day_of_week" else self.last


_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
NAME_LENGTH_MIN = 3

FIELDS = (
    Field("second", "Second", 0, 59, "0"),
    Field("minute", "Minute", 0, 59, "0"),
    Field("hour", "Hour", 0, 23, "0"),
    Field("day_of_month", "DayOfMonth", 1, 31, "*"),
    Field("month", "Month", 1, 12, "*", _MONTHS),
    Field("year", "Year", YEAR_FIRST, YEAR_LAST, "*"),
    Field("day_of_week", "DayOfWeek", 0, 6, "*", _WEEKDAYS),
)
_ORDERS = {
    5: ("minute", "hour", "day_of_month", "month", "day_of_week"),
    6: ("minute", "hour", "day_of_month", "month", "day_of_week", "year"),
    7: ("second", "minute", "hour", "day_of_month", "month", "day_of_week", "year"),
}
"""What the fields of a cron string are, by their number."""
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DAYS = re.compile(r"([0-9]+)d")


class CronString(NamedTuple):
    """What a cron string says: a calendar or an interval, and a zone ("": none)."""

    calendar: StructuredCalendarSpec | None
    interval: IntervalSpec | None
    zone: str


def parse_cron(text: str) -> CronString:
    """Read a cron string. Raises BadSpec."""
    zone = ""
    schedule, _, comment = text.strip().partition("#")
    schedule = schedule.strip()
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        setting, space, schedule = schedule.partition(" ")
        if not space:
            raise BadSpec("CronString has time zone but missing fields")
        zone, schedule = setting.partition("=")[2], schedule.strip()
    if schedule.startswith("@every "):
        return CronString(None, _interval(schedule.removeprefix("@every ").strip()), "")
    words = _DESCRIPTORS.get(schedule, schedule).split()
    order = _ORDERS.get(len(words))
    if order is None:
        raise BadSpec(NOT_CRON)
    return CronString(
        calendar_of(dict(zip(order, words, strict=True)), comment.strip()), None, zone
    )


def calendar_of(texts: dict[str, str], comment: str) -> StructuredCalendarSpec:
    """The calendar of fields by their names; what is missing has its default. Raises BadSpec."""
    calendar = StructuredCalendarSpec(comment=comment)
    for field in FIELDS:
        ranges = _ranges(texts.get(field.name) or field.default, field)
        getattr(calendar, field.name).extend(ranges)
    return calendar


def check_calendar(calendar: StructuredCalendarSpec) -> None:
    """Refuse a calendar that makes no sense; fill in what ranges leave out. Raises BadSpec."""
    if len(calendar.comment.encode()) > COMMENT_LENGTH_MAX:
        raise BadSpec("comment is too long")
    for field in FIELDS:
        where = f"in range [{field.first}-{field.last}]"
        for part in getattr(calendar, field.name):
            if not field.first <= part.start <= field.last:
                raise BadSpec(f"{field.title} Start is not {where}")
            if part.end == 0:
                part.end = part.start
            if not part.start <= part.end <= field.last:
                raise BadSpec(f"{field.title} End is before Start or not {where}")
            if part.step < 0:
                raise BadSpec(f"{field.title} has invalid Step")
            part.step = part.step or 1


def _interval(text: str) -> IntervalSpec:
    length, _, phase = text.partition("/")
    return IntervalSpec(
        interval=duration(_duration_ns(length)),
        phase=duration(_duration_ns(phase)) if phase else None,
    )


def _duration_ns(text: str) -> int:
    try:
        # More digits than an integer may have are a ValueError too.
        hours = _DAYS.sub(lambda days: f"{int(days[1]) * 24}h", text)
        length_ns = duration_ns_of(hours)
    except ValueError as error:
        raise BadSpec(f'time: invalid duration "{text}"') from error
    return max(0, length_ns)


def _ranges(text: str, field: Field) -> list[Range]:
    text = text.strip()
    if field.name == "year" and text == "*":
        return []
    return [one for part in text.split(",") for one in _range(part, field)]


def _range(text: str, field: Field) -> list[Range]:
    """One element of a list; two ranges when Sunday is both first and last of the week."""
    span, *steps = text.split("/")
    if len(steps) > 1:
        raise BadSpec(f"{field.title} has too many slashes")
    step = _step(steps[0], field) if steps else 1
    last = field.last_written
    where = f"in range [{field.first}-{last}]"
    if span == "*":
        return [Range(start=field.first, end=field.last, step=step)]
    low, *high = span.split("-")
    if len(high) > 1:
        raise BadSpec(f"{field.title} has too many dashes")
    start = _value(low, field)
    if start is None or not field.first <= start <= last:
        raise BadSpec(f"{field.title}{' Start' if high else ''} is not {where}")
    end: int | None = start
    if high:
        end = _value(high[0], field)
    elif steps:
        end = field.last
    if end is None or not start <= end <= last:
        raise BadSpec(f"{field.title} End is before Start or not {where}")
    return _split_week(start, end, step, field)


def _split_week(start: int, end: int, step: int, field: Field) -> list[Range]:
    """The ranges of a span, in which Sunday is 0 even at the end of the week."""
    if end <= field.last:
        return [Range(start=start, end=end, step=step)]
    ranges = []
    if start and (end - start) % step == 0:
        ranges.append(Range(start=0, end=0, step=1))
    if start <= field.last:
        ranges.append(Range(start=start, end=field.last, step=step))
    return ranges


def _step(text: str, field: Field) -> int:
    if not text:
        raise BadSpec(f"{field.title} missing step value")
    if not _INTEGER.fullmatch(text) or not 0 < int(text) < 2**31:
        raise BadSpec(f"{field.title} has invalid Step")
    return int(text)


def _value(text: str, field: Field) -> int | None:
    word = text.lower()
    if len(word) >= NAME_LENGTH_MIN:
        for number, name in enumerate(field.names, field.first):
            if name.startswith(word):
                return number
    return int(text) if _INTEGER.fullmatch(text) else None
