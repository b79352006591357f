"""Calendars: which seconds of local time match, and when the next one comes.

In a zone, hours that a change of the clock skips do not match, and hours that it repeats match
twice. The one implementation for the cron schedules of workflows and for all that schedules have.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

Values = frozenset[int]
SECONDS_OF_MINUTE, MINUTES_OF_HOUR, HOURS_OF_DAY = 60, 60, 24
SECONDS_FIRST, SECONDS_LAST = -62_135_424_000, 253_402_128_000
"""Times that all zones have in the years 1 to 9999, which are those that there are."""


class Calendar(NamedTuple):
    """What matches, field by field, in the local time of a zone. Weekdays count from Sunday (0)."""

    second: Values
    minute: Values
    hour: Values
    day: Values
    month: Values
    year: Values | None
    """None: any."""
    weekday: Values
    zone: tzinfo
    is_either_day: bool = False
    """Whether one of the day and the weekday is enough."""

    def matches(self, seconds: int) -> bool:
        """Whether a time (in seconds since the epoch) does."""
        if not SECONDS_FIRST <= seconds <= SECONDS_LAST:
            return False
        here = _local(seconds, self.zone)
        return (
            here.second in self.second
            and here.minute in self.minute
            and here.hour in self.hour
            and self.matches_day(here)
            and here.month in self.month
            and (self.year is None or here.year in self.year)
        )

    def matches_day(self, here: date) -> bool:
        """Whether its day and its weekday do."""
        is_day = here.day in self.day
        is_weekday = here.isoweekday() % 7 in self.weekday
        return is_day or is_weekday if self.is_either_day else is_day and is_weekday


def next_second(calendar: Calendar, after: int, year_max: int) -> int | None:
    """The first matching time later than `after` (both in seconds since the epoch); None when there
    is none up to a year.

    The search goes from coarse to fine. A step into a new year, month, day or hour resets what is
    finer, and begins again.
    """
    zone = calendar.zone
    if not (calendar.second and calendar.minute and calendar.hour and calendar.month):
        return None  # A field such as "," allows nothing.
    at = max(after + 1, SECONDS_FIRST)
    if at > SECONDS_LAST:
        return None
    while (here := _local(at, zone)).year <= year_max:
        if not _is_day(calendar, here):
            day = _next_day(calendar, here.date(), year_max)
            if day is None:
                return None
            # Where a clock is set back by a day, a midnight that is to come has been already.
            at = max(_midnight(day, zone), at + _to_next_hour(here))
        elif here.hour not in calendar.hour:
            at += _to_next_hour(here)
        elif here.minute not in calendar.minute:
            at += 60 - here.second
        elif here.second not in calendar.second:
            later = [second for second in calendar.second if second > here.second]
            at += (min(later) if later else 60) - here.second
        else:
            return at
    return None


def year_of(seconds: int, zone: tzinfo) -> int:
    """The local year of a time."""
    return _local(seconds, zone).year


def _local(seconds: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(seconds, zone)


def _to_next_hour(here: datetime) -> int:
    return 3600 - here.minute * 60 - here.second


def _is_day(calendar: Calendar, day: date) -> bool:
    is_year = calendar.year is None or day.year in calendar.year
    return is_year and day.month in calendar.month and calendar.matches_day(day)


def _next_day(calendar: Calendar, day: date, year_max: int) -> date | None:
    """The first matching day after one. Zones are left out of this search: to look up local times
    would make it thirty times as long, and a schedule may have a thousand calendars."""
    years = calendar.year
    day += timedelta(days=1)
    while day.year <= year_max:
        if years is not None and day.year not in years:
            later = [year for year in years if day.year < year <= year_max]
            if not later:
                return None
            day = date(min(later), 1, 1)
        elif day.month not in calendar.month:
            year, month = divmod(day.year * 12 + day.month, 12)
            day = date(year, month + 1, 1)
        elif calendar.matches_day(day):
            return day
        else:
            day += timedelta(days=1)
    return None


def _next_midnight(here: datetime, zone: tzinfo) -> int:
    return _midnight(here.date() + timedelta(days=1), zone)


def _midnight(day: date, zone: tzinfo) -> int:
    """When a day begins. Where the clock skips midnight, it begins with the first hour that there
    is.
    """
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def after_match(calendar: Calendar, seconds: int) -> int:
    """The next second after a matching one that might not match."""
    here = _local(seconds, calendar.zone)
    if len(calendar.second) < SECONDS_OF_MINUTE:
        return seconds + 1
    if len(calendar.minute) < MINUTES_OF_HOUR:
        return seconds + 60 - here.second
    if len(calendar.hour) < HOURS_OF_DAY:
        return seconds + _to_next_hour(here)
    return max(_next_midnight(here, calendar.zone), seconds + _to_next_hour(here))
