"""Cron schedules of workflows: when the next run is due.

Five fields (minute, hour, day of month, month, day of week), `@every 90m`, or one of `@hourly`,
`@daily`...; before any of these optionally a time zone (`CRON_TZ=Europe/Berlin `), else UTC. The
meaning is that of the library which the real server uses:

* a field is a list of `*`, `?`, values, names (`jan`, `mon`), ranges `a-b`, each with a step `/n`;
  `a/n` means from a to the end;
* when both days are restricted, either may match; when one is a star, the other alone decides;
* in a zone, hours that a change of the clock skips do not match, and hours that it repeats match
  twice (where that library loses days, because a change of the clock skips midnight or is one of
  half an hour, this does not).
"""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from typing import NamedTuple

from perdure.server.machines.durations import DURATION_SECONDS_MAX
from perdure.server.machines.schedule.calendar import Calendar, next_second, year_of
from perdure.server.machines.wire import SECOND_NS

LENGTH_MAX = 1000
"""Characters of a schedule: reading one must cost no more than a decision may."""
SEARCH_YEARS_MAX = 5
"""A schedule that has no time within so many years (30 February) has none."""
INVALID = "invalid CronSchedule."
NEVER_DUE = "invalid CronSchedule, no time can be found to satisfy the schedule"

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class Bounds(NamedTuple):
    """What a field can be."""

    first: int
    last: int
    names: dict[str, int]


_BOUNDS = (
    Bounds(0, 59, {}),
    Bounds(0, 23, {}),
    Bounds(1, 31, {}),
    Bounds(1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    Bounds(0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_DURATION_PART = re.compile(r"(?=\.?[0-9])([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_INTEGER = re.compile(r"\+?[0-9]+")


class Field(NamedTuple):
    """The values that match, and whether the field was a star: then it restricts no day."""

    values: frozenset[int]
    is_star: bool


class Every(NamedTuple):
    """A schedule by intervals."""

    seconds: int


class _Malformed(ValueError):
    """The schedule cannot be read."""


def cron_backoff_ns(schedule: str, start_ns: int, close_ns: int) -> int | None:
    """How long after `close_ns` the next run begins, in whole seconds as nanoseconds; None when
    never.

    `start_ns` is when the run that closed was due; the next one is due after that, and not before
    `close_ns`.
    """
    try:
        parsed = parse(schedule)
    except _Malformed:
        return None
    if close_ns < start_ns:
        next_ns = start_ns
    elif isinstance(parsed, Every):
        next_ns = _next_interval(parsed, start_ns, close_ns)
    else:
        seconds = next_time(parsed, max(start_ns, close_ns - 1) // SECOND_NS)
        if seconds is None:
            return None
        next_ns = seconds * SECOND_NS
    return -((close_ns - next_ns) // SECOND_NS) * SECOND_NS


def validate(schedule: str) -> str | None:
    """What is wrong with a schedule, in the words of the real server; None when nothing is, or
    there is no schedule.
    """
    if not schedule:
        return None
    try:
        parsed = parse(schedule)
    except _Malformed:
        return INVALID
    if isinstance(parsed, Calendar) and next_time(parsed, 0) is None:
        return NEVER_DUE
    return None


def parse(schedule: str) -> Calendar | Every:
    """Read a schedule; intervals are cut to a hundred years. Raises ValueError when it is none."""
    if len(schedule) > LENGTH_MAX:
        raise _Malformed(f"longer than {LENGTH_MAX} characters")
    zone: tzinfo = UTC
    if schedule.startswith(("TZ=", "CRON_TZ=")):
        setting, space, schedule = schedule.partition(" ")
        if not space:
            raise _Malformed("a time zone and no schedule")
        zone = _zone(setting.partition("=")[2])
        schedule = schedule.strip()
    if schedule.startswith("@every "):
        seconds = duration_ns_of(schedule.removeprefix("@every ")) // SECOND_NS
        return Every(min(max(1, seconds), DURATION_SECONDS_MAX))
    if schedule.startswith("@"):
        if schedule not in _DESCRIPTORS:
            raise _Malformed(f"unrecognized descriptor {schedule}")
        schedule = _DESCRIPTORS[schedule]
    fields = schedule.split()
    if len(fields) != len(_BOUNDS):
        raise _Malformed(f"expected 5 fields, found {len(fields)}")
    minute, hour, day, month, weekday = map(_field, fields, _BOUNDS)
    return Calendar(
        second=frozenset((0,)),
        minute=minute.values,
        hour=hour.values,
        day=day.values,
        month=month.values,
        year=None,
        weekday=weekday.values,
        zone=zone,
        is_either_day=not (day.is_star or weekday.is_star),
    )


def next_time(calendar: Calendar, after: int) -> int | None:
    """The first matching second later than `after`; None when there is none in five years."""
    return next_second(calendar, after, year_of(after + 1, calendar.zone) + SEARCH_YEARS_MAX)


def _next_interval(every: Every, start_ns: int, close_ns: int) -> int:
    """The first of start + interval, + interval..., in whole seconds, not before `close_ns`."""
    interval_ns = every.seconds * SECOND_NS
    first_ns = start_ns // SECOND_NS * SECOND_NS + interval_ns
    if first_ns >= close_ns:
        return first_ns
    return first_ns - (first_ns - close_ns) // interval_ns * interval_ns


def _field(text: str, bounds: Bounds) -> Field:
    values: set[int] = set()
    is_star = False
    for part in filter(None, text.split(",")):
        part_values, part_is_star = _range(part, bounds)
        values |= part_values
        is_star |= part_is_star
    return Field(frozenset(values), is_star)


def _range(text: str, bounds: Bounds) -> tuple[set[int], bool]:
    """One element of a list: its values, and whether it is a star (one with a step above 1 is
    none).
    """
    span, *steps = text.split("/")
    low, *high = span.split("-")
    if len(steps) > 1 or len(high) > 1:
        raise _Malformed(f"too many slashes or hyphens: {text}")
    is_star = low in ("*", "?")
    if is_star:
        first, last = bounds.first, bounds.last
    else:
        first = _value(low, bounds)
        last = _value(high[0], bounds) if high else first
    step = 1
    if steps:
        step = _integer(steps[0])
        if not high:
            last = bounds.last
        is_star = is_star and step <= 1
    if not bounds.first <= first <= last <= bounds.last or step == 0:
        raise _Malformed(f"out of range: {text}")
    return set(range(first, last + 1, step)), is_star


def _value(text: str, bounds: Bounds) -> int:
    named = bounds.names.get(text.lower())
    return _integer(text) if named is None else named


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise _Malformed(f"not a number: {text}")
    return int(text)


def _zone(name: str) -> tzinfo:
    if name in ("", "UTC", "Local"):  # The server's own zone is UTC.
        return UTC
    from zoneinfo import ZoneInfo  # With all it brings, for schedules in such a zone.

    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise _Malformed(f"bad location {name}") from error


def duration_ns_of(text: str) -> int:
    """A length such as 1h30m or 1.5s, in nanoseconds; negative ones are allowed (and then rounded
    up to a second).
    """
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0
    total, position = 0, 0
    while position < len(unsigned):
        part = _DURATION_PART.match(unsigned, position)
        if part is None:
            raise _Malformed(f"not a duration: {text}")
        whole, fraction, unit = part[1], part[2] or "", _UNITS_NS[part[3]]
        total += int(whole or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        position = part.end()
    if not unsigned or total >= 2**63:
        raise _Malformed(f"not a duration: {text}")
    return -total if text.startswith("-") else total
