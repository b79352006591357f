"""Cron schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.schedule.calendar import Calendar
from perdure.server.machines.schedule.cron import (
    INVALID,
    NEVER_DUE,
    cron_backoff_ns,
    next_time,
    parse,
    validate,
)


def next_after(schedule: str, after: str, zone: str = "UTC") -> str:
    """The next time of a schedule, as a local time of the zone."""
    calendar = parse(schedule)
    assert isinstance(calendar, Calendar)
    at = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone))
    found = next_time(calendar, int(at.timestamp()))
    assert found is not None
    return datetime.fromtimestamp(found, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        # stars, values, lists, ranges, steps
        ("* * * * *", "2024-03-10 14:45:00", "2024-03-10 14:46:00"),
        ("* * * * *", "2024-03-10 14:45:59", "2024-03-10 14:46:00"),
        ("*/15 * * * *", "2024-03-10 14:45:00", "2024-03-10 15:00:00"),
        ("5-30/15 * * * *", "2024-03-10 14:05:00", "2024-03-10 14:20:00"),
        ("5-30/15 * * * *", "2024-03-10 14:20:00", "2024-03-10 15:05:00"),
        ("40/10 * * * *", "2024-03-10 14:45:00", "2024-03-10 14:50:00"),
        ("20,40,,50 * * * *", "2024-03-10 14:45:00", "2024-03-10 14:50:00"),
        ("? ? ? ? ?", "2024-03-10 14:45:30", "2024-03-10 14:46:00"),
        ("*-5 * * * *", "2024-03-10 14:45:00", "2024-03-10 14:46:00"),
        ("+5 * * * *", "2024-03-10 14:45:00", "2024-03-10 15:05:00"),
        ("0 0 * * *", "2024-12-31 23:59:59", "2025-01-01 00:00:00"),
        ("  0\t0 *  * * ", "2024-12-31 23:59:59", "2025-01-01 00:00:00"),
        ("30 8 * * *", "2024-03-10 08:30:00", "2024-03-11 08:30:00"),
        ("59 23 31 * *", "2024-04-01 00:00:00", "2024-05-31 23:59:00"),
        ("0 0 29 2 *", "2024-02-29 00:00:00", "2028-02-29 00:00:00"),
        # names
        ("0 0 1 JAN,jul *", "2024-03-10 00:00:00", "2024-07-01 00:00:00"),
        ("0 0 * * mon-Fri", "2024-03-08 12:00:00", "2024-03-11 00:00:00"),
        ("0 0 * * sun", "2024-03-08 12:00:00", "2024-03-10 00:00:00"),
        # the two kinds of day
        ("0 0 13 * fri", "2024-03-09 00:00:00", "2024-03-13 00:00:00"),
        ("0 0 13 * fri", "2024-03-13 00:00:00", "2024-03-15 00:00:00"),
        ("0 0 13 * *", "2024-03-13 00:00:00", "2024-04-13 00:00:00"),
        ("0 0 * * fri", "2024-03-15 00:00:00", "2024-03-22 00:00:00"),
        ("0 0 */10 * fri", "2024-03-09 00:00:00", "2024-03-11 00:00:00"),
        ("0 0 */1 * fri", "2024-03-09 00:00:00", "2024-03-15 00:00:00"),
        ("0 0 *,5 * fri", "2024-03-09 00:00:00", "2024-03-15 00:00:00"),
        # descriptors
        ("@hourly", "2024-03-10 14:45:00", "2024-03-10 15:00:00"),
        ("@daily", "2024-03-10 14:45:00", "2024-03-11 00:00:00"),
        ("@midnight", "2024-03-10 14:45:00", "2024-03-11 00:00:00"),
        ("@weekly", "2024-03-10 14:45:00", "2024-03-17 00:00:00"),
        ("@monthly", "2024-03-10 14:45:00", "2024-04-01 00:00:00"),
        ("@yearly", "2024-03-10 14:45:00", "2025-01-01 00:00:00"),
        ("@annually", "2024-03-10 14:45:00", "2025-01-01 00:00:00"),
    ],
)
def test_the_next_time(schedule: str, after: str, expected: str) -> None:
    assert next_after(schedule, after) == expected


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "expected"),
    [
        ("CRON_TZ=Europe/Berlin 0 9 * * *", "Europe/Berlin", "2024-07-01 10:00", "07-02 09:00"),
        ("TZ=Asia/Kolkata 30 0 * * *", "Asia/Kolkata", "2024-07-01 10:00", "07-02 00:30"),
        ("CRON_TZ=Asia/Tokyo @daily", "Asia/Tokyo", "2024-07-01 10:00", "07-02 00:00"),
        # The clock goes from 2:00 to 3:00: there is no 2:30.
        ("TZ=America/New_York 30 2 * * *", "America/New_York", "2024-03-09 12:00", "03-11 02:30"),
        ("TZ=America/New_York 30 * * * *", "America/New_York", "2024-03-10 01:30", "03-10 03:30"),
        # The clock goes from 2:00 back to 1:00: there are two 1:30.
        ("TZ=America/New_York 30 1 * * *", "America/New_York", "2024-11-03 00:00", "11-03 01:30"),
        # The clock skips midnight, west and east of Greenwich: the day counts all the same.
        ("TZ=America/Sao_Paulo 0 9 4 11 *", "America/Sao_Paulo", "2018-11-01 00:00", "11-04 09:00"),
        ("TZ=Asia/Beirut 0 12 31 3 *", "Asia/Beirut", "2024-03-01 00:00", "03-31 12:00"),
        ("TZ=Asia/Beirut 0 0 31 3 *", "Asia/Beirut", "2024-03-01 00:00", "03-31 00:00"),
    ],
)
def test_the_next_time_in_a_zone(schedule: str, zone: str, after: str, expected: str) -> None:
    found = next_after(schedule, after, zone)
    year = after[:4] if "0 0 31 3" not in schedule else "2025"
    assert found == f"{year}-{expected}:00"


def test_an_hour_that_the_clock_repeats_counts_twice() -> None:
    calendar = parse("TZ=America/New_York 30 1 * * *")
    assert isinstance(calendar, Calendar)
    first = next_time(calendar, int(datetime(2024, 11, 3, 4, tzinfo=UTC).timestamp()))
    assert first is not None
    assert next_time(calendar, first) == first + 3600


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut"])
@pytest.mark.parametrize("schedule", ["*/20 */5 * * *", "0 0 * * *", "15 3 */3 * mon"])
def test_the_search_finds_what_looking_at_every_minute_finds(schedule: str, zone: str) -> None:
    calendar = parse(f"CRON_TZ={zone} {schedule}")
    assert isinstance(calendar, Calendar)
    begin = datetime(2024, 3, 1, tzinfo=ZoneInfo("UTC"))
    minutes = (begin + timedelta(minutes=n) for n in range(1, 45 * 24 * 60))
    expected = []
    for minute in minutes:
        here = minute.astimezone(ZoneInfo(zone))
        is_day = here.day in calendar.day
        is_weekday = here.isoweekday() % 7 in calendar.weekday
        if (
            here.minute in calendar.minute
            and here.hour in calendar.hour
            and (is_day or is_weekday if calendar.is_either_day else is_day and is_weekday)
        ):
            expected.append(int(minute.timestamp()))
    found = []
    at = next_time(calendar, int(begin.timestamp()))
    while at is not None and at <= expected[-1]:
        found.append(at)
        at = next_time(calendar, at)
    assert found == expected


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("", None),
        ("* * * * *", None),
        ("@every 1h30m", None),
        ("@every 1.5h", None),
        ("@every .5s", None),
        ("@every -5m", None),
        ("@every 0", None),
        ("CRON_TZ=UTC * * * * *", None),
        ("TZ= * * * * *", None),
        ("0 0 29 2 *", None),
        ("0 0 30 2 *", NEVER_DUE),
        ("0 0 31 4,6,9,11 *", NEVER_DUE),
        (", * * * *", NEVER_DUE),
        ("* * * *", INVALID),
        ("* * * * * *", INVALID),
        ("60 * * * *", INVALID),
        ("* 24 * * *", INVALID),
        ("* * 0 * *", INVALID),
        ("* * 32 * *", INVALID),
        ("* * * 13 *", INVALID),
        ("* * * * 7", INVALID),
        ("5-1 * * * *", INVALID),
        ("1-2-3 * * * *", INVALID),
        ("*/0 * * * *", INVALID),
        ("*/5/5 * * * *", INVALID),
        ("*/-5 * * * *", INVALID),
        ("-5 * * * *", INVALID),
        ("a * * * *", INVALID),
        ("jan * * * *", INVALID),
        ("@never", INVALID),
        ("@every", INVALID),
        ("@every ", INVALID),
        ("@every 5", INVALID),
        ("@every 5x", INVALID),
        ("@every .s", INVALID),
        ("@every 9999999h", INVALID),
        ("@Hourly", INVALID),
        ("TZ=UTC", INVALID),
        ("TZ=Nowhere/Atall * * * * *", INVALID),
        ("TZ=../etc/passwd * * * * *", INVALID),
        ("nonsense", INVALID),
    ],
)
def test_what_is_a_schedule(schedule: str, problem: str | None) -> None:
    assert validate(schedule) == problem


def ns(text: str) -> int:
    """A UTC time in nanoseconds."""
    at = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("UTC"))
    return int(at.timestamp()) * SECOND_NS + at.microsecond * 1000


@pytest.mark.parametrize(
    ("schedule", "start", "close", "backoff_s"),
    [
        # A run is followed by the next time after the one that it was due at.
        ("* * * * *", "2024-03-10 14:45:00", "2024-03-10 14:45:10", 50),
        ("* * * * *", "2024-03-10 14:45:00", "2024-03-10 14:45:00", 60),
        # Times that passed while it ran are left out; one that is now is not.
        ("* * * * *", "2024-03-10 14:45:00", "2024-03-10 14:47:10", 50),
        ("* * * * *", "2024-03-10 14:45:00", "2024-03-10 14:47:00", 0),
        # Fractions of a second are rounded up.
        ("* * * * *", "2024-03-10 14:45:00", "2024-03-10 14:45:10.25", 50),
        ("* * * * *", "2024-03-10 14:45:00.5", "2024-03-10 14:45:59.75", 1),
        # A run that closed before it was due is due then.
        ("* * * * *", "2024-03-10 14:46:00", "2024-03-10 14:45:10", 50),
        ("@every 30s", "2024-03-10 14:45:00", "2024-03-10 14:45:10", 20),
        ("@every 30s", "2024-03-10 14:45:00", "2024-03-10 14:45:30", 0),
        ("@every 30s", "2024-03-10 14:45:00", "2024-03-10 14:46:10", 20),
        ("@every 30s", "2024-03-10 14:45:00.9", "2024-03-10 14:45:00.9", 30),
        ("@every 1.9s", "2024-03-10 14:45:00", "2024-03-10 14:45:00", 1),
        ("@every 1ms", "2024-03-10 14:45:00", "2034-03-10 14:45:00.5", 1),
        ("@every -5m", "2024-03-10 14:45:00", "2024-03-10 14:45:00", 1),
        ("0 0 30 2 *", "2024-03-10 14:45:00", "2024-03-10 14:45:00", None),
        ("nonsense", "2024-03-10 14:45:00", "2024-03-10 14:45:00", None),
        ("", "2024-03-10 14:45:00", "2024-03-10 14:45:00", None),
    ],
)
def test_the_backoff_of_the_next_run(
    schedule: str, start: str, close: str, backoff_s: int | None
) -> None:
    expected = None if backoff_s is None else backoff_s * SECOND_NS
    assert cron_backoff_ns(schedule, ns(start), ns(close)) == expected


@pytest.mark.parametrize(
    "schedule",
    [
        "*/1," * 300_000 + "1 * * * *",
        "9" * 5_000 + " * * * *",
        "@every " + "1ns" * 300_000,
        "@every 1." + "9" * 5_000 + "h",
    ],
)
def test_a_schedule_that_is_too_long_to_be_read_at_once_is_refused(schedule: str) -> None:
    assert validate(schedule) == INVALID


def test_an_interval_is_at_most_a_century_so_that_its_time_can_be_stored() -> None:
    now_ns = 1_700_000_000 * SECOND_NS
    backoff_ns = cron_backoff_ns("@every 2540000h", now_ns, now_ns)
    assert backoff_ns == 100 * 365 * 24 * 3600 * SECOND_NS
    assert now_ns + backoff_ns < 2**63
