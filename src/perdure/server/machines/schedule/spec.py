"""When a schedule acts: the union of calendars, cron strings and intervals, less what is excluded,
between a start and an end, a little later by chance that is always the same.

`normalise` reads what a client sent, and refuses what makes no sense; `Times` answers what comes
next. Times are whole seconds; jitter adds milliseconds.
"""

from __future__ import annotations

import struct
from datetime import UTC, tzinfo
from typing import NamedTuple

import msgspec
from temporalio.api.schedule.v1 import CalendarSpec, ScheduleSpec, StructuredCalendarSpec

from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.schedule.calendar import Calendar, after_match, next_second
from perdure.server.machines.schedule.farmhash import fingerprint32
from perdure.server.machines.schedule.fields import (
    FIELDS,
    YEAR_LAST,
    BadSpec,
    calendar_of,
    check_calendar,
    parse_cron,
)
from perdure.server.machines.schedule.zones import is_within_a_day
from perdure.server.machines.wire import duration_ns, is_timestamp, timestamp_ns

PARTS_MAX = 250
"""Calendars and intervals of one schedule: finding the next time looks at each."""
CANDIDATES_MAX = 5_000
"""Excluded times in a row after which a schedule counts as having no further one: a search must
cost no more than a decision may."""
SECONDS_MAX = 253_402_300_799
"""The last second of the year 9999."""
JITTER_MILLISECONDS_MAX = 2**32 - 1
MILLISECOND_NS = 1_000_000
LENGTH_SECONDS_MAX = 315_576_000_000
"""Of a duration: ten thousand years."""
SECONDS_BEFORE_EPOCH = 62_135_596_800
"""From the beginning of the year 1 to the epoch: the times that are hashed count from there."""


def normalise(spec: ScheduleSpec) -> ScheduleSpec:
    """The same with calendars and cron strings as structured calendars and intervals. Raises
    BadSpec."""
    normal = ScheduleSpec()
    normal.CopyFrom(spec)
    for name in ("calendar", "cron_string", "exclude_calendar"):
        normal.ClearField(name)
    if len(spec.calendar) + len(spec.cron_string) + len(spec.exclude_calendar) > PARTS_MAX:
        raise BadSpec("too many calendars")
    normal.structured_calendar.extend(map(_structured, spec.calendar))
    zones: set[str] = set()
    for text in spec.cron_string:
        cron = parse_cron(text)
        zones.add(cron.zone)
        if cron.interval is not None:
            normal.interval.append(cron.interval)
        else:
            assert cron.calendar is not None, "a cron string is one or the other"
            normal.structured_calendar.append(cron.calendar)
    named = zones - {""}
    if len(zones) > 1 or (named and spec.timezone_name and named != {spec.timezone_name}):
        raise BadSpec("conflicting timezone names")
    if named:
        normal.timezone_name = named.pop()
    normal.exclude_structured_calendar.extend(map(_structured, spec.exclude_calendar))
    _check(normal)
    return normal


def _structured(calendar: CalendarSpec) -> StructuredCalendarSpec:
    texts = {field.name: getattr(calendar, field.name) for field in FIELDS}
    return calendar_of(texts, calendar.comment)


def _check(spec: ScheduleSpec) -> None:
    calendars = len(spec.structured_calendar) + len(spec.exclude_structured_calendar)
    if calendars + len(spec.interval) > PARTS_MAX:
        raise BadSpec("too many calendars and intervals")
    for calendar in (*spec.structured_calendar, *spec.exclude_structured_calendar):
        try:
            check_calendar(calendar)
        except BadSpec as error:
            raise BadSpec(f"invalid calendar spec: {error}") from None
    for part in spec.interval:
        for name, length in (("interval", part.interval), ("phase", part.phase)):
            if not 0 <= length.nanos < SECOND_NS:
                raise BadSpec("interval or phase is not a well-formed duration")
            if length.seconds > LENGTH_SECONDS_MAX:
                raise BadSpec(
                    f"{name} is not a valid duration: proto: duration (seconds:{length.seconds})"
                    " exceeds +10000 years"
                )
        interval_ns, phase_ns = duration_ns(part.interval), duration_ns(part.phase)
        if interval_ns < SECOND_NS:
            raise BadSpec("interval is too small")
        if phase_ns < 0:
            raise BadSpec("phase is negative")
        if phase_ns >= interval_ns:
            raise BadSpec("phase cannot be greater than Interval")
    for name in ("start_time", "end_time"):
        if not is_timestamp(getattr(spec, name)):
            raise BadSpec(f"{name} is not a well-formed time")
    zone = zone_of(spec)
    if spec.timezone_data and not is_within_a_day(zone, spec.timezone_data):
        raise BadSpec("time zone is a day or more away from UTC")


def zone_of(spec: ScheduleSpec) -> tzinfo:
    """The time zone of a specification. Raises BadSpec."""
    from zoneinfo import ZoneInfo  # With all it brings, for servers with schedules.

    name = spec.timezone_name
    if spec.timezone_data:
        try:
            return ZoneInfo.from_file(_Bytes(spec.timezone_data), key=name or "custom")
        except _MALFORMED as error:
            raise BadSpec("malformed time zone information") from error
    if name in ("", "UTC", "Local"):  # The server's own zone is UTC.
        return UTC
    if name.startswith(("/", "\\")) or ".." in name:
        raise BadSpec("time: invalid location name")
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise BadSpec(f"unknown time zone {name}") from error


_MALFORMED = (ValueError, EOFError, LookupError, OverflowError, AssertionError, struct.error)
"""What zoneinfo raises, which trusts its files."""


class _Bytes:
    """Bytes to be read like a file, as far as time zones are."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """The next so many, all of them. Raises EOFError."""
        end = len(self._content) if size < 0 else self._at + size
        if end > len(self._content):
            raise EOFError  # Whoever reads up to a newline would go on at the end for ever.
        found = self._content[self._at : end]
        self._at = end
        return found

    def readline(self) -> bytes:
        """What comes next, to the end of the line."""
        end = self._content.find(b"\n", self._at)
        return self.read(-1 if end < 0 else end + 1 - self._at)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go on elsewhere: from the beginning, or (1) from here."""
        self._at = max(0, offset + (self._at if whence else 0))
        return self._at


class Interval(NamedTuple):
    """Every so many seconds, counted from the epoch and a phase."""

    seconds: int
    phase: int

    def next_second(self, after: int) -> int:
        """The first later than `after`."""
        passed = (after - self.phase) // self.seconds
        return (passed + 1) * self.seconds + self.phase


class ActionTime(NamedTuple):
    """When a schedule acts: the time that its specification names, and that with jitter."""

    nominal_ns: int
    due_ns: int


class Times(msgspec.Struct, frozen=True):
    """The times of a normal specification."""

    calendars: tuple[Calendar, ...]
    intervals: tuple[Interval, ...]
    excluded: tuple[Calendar, ...]
    start_ns: int
    end_ns: int
    """0: none, as for the start."""
    jitter_ns: int
    seed: bytes
    known: dict[int, tuple[int, int | None]] = {}
    """By the place of a calendar, from when on it was searched last, and what was found: a calendar
    that never matches costs milliseconds each time."""

    def next_after(self, after_ns: int) -> ActionTime | None:
        """The first one later than a time; None when there is none."""
        if self.start_ns:
            after_ns = max(after_ns, self.start_ns - SECOND_NS)
        after = after_ns // SECOND_NS
        for _ in range(CANDIDATES_MAX):
            nominal = self._next_second(after)
            if nominal is None or (self.end_ns and nominal * SECOND_NS > self.end_ns):
                return None
            exclusion = next((part for part in self.excluded if part.matches(nominal)), None)
            if exclusion is None:
                return self._with_jitter(nominal)
            after = after_match(exclusion, nominal) - 1
        return None

    def between(self, after_ns: int, until_ns: int, limit: int) -> list[ActionTime]:
        """Those later than one time and not later than another, at most so many."""
        found: list[ActionTime] = []
        while len(found) < limit:
            coming = self.next_after(after_ns)
            if coming is None or coming.due_ns > until_ns:
                break
            found.append(coming)
            after_ns = max(coming.due_ns, coming.nominal_ns)
        return found

    def _next_second(self, after: int) -> int | None:
        times = [interval.next_second(after) for interval in self.intervals]
        for place in range(len(self.calendars)):
            found = self._next_of(place, after)
            if found is not None:
                times.append(found)
        earliest = min(times, default=None)
        return earliest if earliest is not None and earliest <= SECONDS_MAX else None

    def _next_of(self, place: int, after: int) -> int | None:
        searched_from, found = self.known.get(place, (after + 1, None))
        if searched_from <= after and (found is None or after < found):
            return found
        found = next_second(self.calendars[place], after, YEAR_LAST)
        self.known[place] = (after, found)
        return found

    def _with_jitter(self, nominal: int) -> ActionTime:
        nominal_ns = nominal * SECOND_NS
        if self.jitter_ns <= 0:
            return ActionTime(nominal_ns, nominal_ns)
        following = self._next_second(nominal)
        room_ns = self.jitter_ns
        if following is not None:
            room_ns = min(room_ns, (following - nominal) * SECOND_NS)
        room = min(room_ns // MILLISECOND_NS, JITTER_MILLISECONDS_MAX)
        chance = fingerprint32(_hashed_form(nominal) + self.seed)
        return ActionTime(nominal_ns, nominal_ns + (chance * room >> 32) * MILLISECOND_NS)


def times_of(spec: ScheduleSpec, namespace_id: str, schedule_id: str) -> Times:
    """What comes next, by a normal specification. The ids make the jitter of schedules differ."""
    zone = zone_of(spec)
    return Times(
        calendars=tuple(_calendar(part, zone) for part in spec.structured_calendar),
        intervals=tuple(
            Interval(part.interval.seconds, part.phase.seconds) for part in spec.interval
        ),
        excluded=tuple(_calendar(part, zone) for part in spec.exclude_structured_calendar),
        start_ns=timestamp_ns(spec.start_time) if spec.HasField("start_time") else 0,
        end_ns=timestamp_ns(spec.end_time) if spec.HasField("end_time") else 0,
        jitter_ns=duration_ns(spec.jitter),
        seed=f"{namespace_id}-{schedule_id}".encode(),
    )


def _calendar(spec: StructuredCalendarSpec, zone: tzinfo) -> Calendar:
    """What a structured calendar matches: a field without ranges (but the year) matches nothing."""
    values = {
        field.name: frozenset(
            value
            for part in getattr(spec, field.name)
            for value in range(part.start, part.end + 1, part.step)
        )
        for field in FIELDS
    }
    return Calendar(
        second=values["second"],
        minute=values["minute"],
        hour=values["hour"],
        day=values["day_of_month"],
        month=values["month"],
        year=values["year"] or None,
        weekday=values["day_of_week"],
        zone=zone,
    )


def _hashed_form(seconds: int) -> bytes:
    """A time as bytes, of which the real server takes the hash: a version, seconds, nanoseconds,
    and the zone UTC."""
    since_year_1 = (seconds + SECONDS_BEFORE_EPOCH).to_bytes(8, "big")
    return b"\x01" + since_year_1 + bytes(4) + b"\xff\xff"
