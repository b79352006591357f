"""Specifications: what is read, what is refused and how, and when a schedule acts. The expected
texts and times are those of the real server."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from dateutil import rrule
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.schedule.v1 import (
    CalendarSpec,
    IntervalSpec,
    Range,
    ScheduleSpec,
    StructuredCalendarSpec,
)

from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.schedule.fields import FIELDS, BadSpec
from perdure.server.machines.schedule.spec import normalise, times_of
from perdure.server.machines.wire import TIMESTAMP_SECONDS_MAX, TIMESTAMP_SECONDS_MIN, duration
from tests.machines.schedules.world import HOUR_NS, at, hourly

SEED = ("01a20db5-c375-769e-8bba-d3530e372e96", "g123")


def texts(spec: ScheduleSpec) -> list[str]:
    """The calendars of a normal specification, a text for each."""
    return [
        " ".join(
            ",".join(f"{part.start}-{part.end}/{part.step}" for part in getattr(calendar, name))
            or "-"
            for name in (field.name for field in FIELDS)
        )
        for calendar in spec.structured_calendar
    ]


ANY_DAY = "1-31/1 1-12/1 - 0-6/1"


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 12 1-5/2,8 jan,mar sun", "0-0/1 0-0/1 12-12/1 1-5/2,8-8/1 1-1/1,3-3/1 - 0-0/1"),
        ("5/15 * * * *", f"0-0/1 5-59/15 0-23/1 {ANY_DAY}"),
        ("15 0 12 * * * 2030", "15-15/1 0-0/1 12-12/1 1-31/1 1-12/1 2030-2030/1 0-6/1"),
        ("15 0 * * * 2030", "0-0/1 15-15/1 0-0/1 1-31/1 1-12/1 2030-2030/1 0-6/1"),
        ("0 0 * * 5-7", "0-0/1 0-0/1 0-0/1 1-31/1 1-12/1 - 0-0/1,5-6/1"),
        ("0 0 * * 7", "0-0/1 0-0/1 0-0/1 1-31/1 1-12/1 - 0-0/1"),
        ("0 0 * * 0-7", f"0-0/1 0-0/1 0-0/1 {ANY_DAY}"),
        ("0 0 * janu tues-sat", "0-0/1 0-0/1 0-0/1 1-31/1 1-1/1 - 2-6/1"),
        ("  0  12 * * *  # lunch # or so", f"0-0/1 0-0/1 12-12/1 {ANY_DAY}"),
        ("@yearly", "0-0/1 0-0/1 0-0/1 1-1/1 1-1/1 - 0-6/1"),
        ("@hourly", f"0-0/1 0-0/1 0-23/1 {ANY_DAY}"),
    ],
)
def test_a_cron_string_becomes_a_calendar(cron: str, expected: str) -> None:
    assert texts(normalise(ScheduleSpec(cron_string=[cron]))) == [expected]


def test_comments_zones_and_intervals_come_out_of_cron_strings() -> None:
    spec = normalise(ScheduleSpec(cron_string=["CRON_TZ=Asia/Tokyo 0 12 * * * # a # b"]))
    assert spec.structured_calendar[0].comment == "a # b"
    assert spec.timezone_name == "Asia/Tokyo"
    spec = normalise(ScheduleSpec(cron_string=["CRON_TZ=Asia/Tokyo @every 1d/90m"]))
    assert not spec.timezone_name
    assert (spec.interval[0].interval.seconds, spec.interval[0].phase.seconds) == (86400, 5400)
    assert not spec.cron_string


REFUSED: dict[str, tuple[ScheduleSpec, str]] = {
    f"{index} {message}": (spec, message)
    for index, (spec, message) in enumerate(
        [
            (ScheduleSpec(calendar=[CalendarSpec(hour="25")]), "Hour is not in range [0-23]"),
            (ScheduleSpec(calendar=[CalendarSpec(hour="1, 3")]), "Hour is not in range [0-23]"),
            (ScheduleSpec(calendar=[CalendarSpec(month="ja")]), "Month is not in range [1-12]"),
            (
                ScheduleSpec(calendar=[CalendarSpec(minute="5-3")]),
                "Minute End is before Start or not in range [0-59]",
            ),
            (ScheduleSpec(calendar=[CalendarSpec(minute="*/0")]), "Minute has invalid Step"),
            (ScheduleSpec(calendar=[CalendarSpec(minute="*/")]), "Minute missing step value"),
            (ScheduleSpec(calendar=[CalendarSpec(minute="1/2/3")]), "Minute has too many slashes"),
            (ScheduleSpec(calendar=[CalendarSpec(minute="1-2-3")]), "Minute has too many dashes"),
            (
                ScheduleSpec(calendar=[CalendarSpec(minute="-5")]),
                "Minute Start is not in range [0-59]",
            ),
            (
                ScheduleSpec(cron_string=["0 0 * * fri-sun"]),
                "DayOfWeek End is before Start or not in range [0-7]",
            ),
            (ScheduleSpec(cron_string=["0 0 ? * *"]), "DayOfMonth is not in range [1-31]"),
            (ScheduleSpec(cron_string=["bad"]), "CronString does not have 5-7 fields"),
            (
                ScheduleSpec(cron_string=["CRON_TZ=Asia/Tokyo"]),
                "CronString has time zone but missing fields",
            ),
            (ScheduleSpec(cron_string=["@every xx"]), 'time: invalid duration "xx"'),
            (ScheduleSpec(cron_string=["@every 500ms"]), "interval is too small"),
            (ScheduleSpec(cron_string=["@every -1h"]), "interval is too small"),
            (ScheduleSpec(cron_string=["@every 1h/2h"]), "phase cannot be greater than Interval"),
            (
                ScheduleSpec(cron_string=["TZ=No/Where 0 * * * *"]),
                "unknown time zone No/Where",
            ),
            (
                ScheduleSpec(cron_string=["TZ=Asia/Tokyo 0 * * * *", "0 1 * * *"]),
                "conflicting timezone names",
            ),
            *(
                (ScheduleSpec(timezone_name=name), "time: invalid location name")
                for name in ("../../etc/passwd", "/etc/localtime", "\\x")
            ),
            *(
                (
                    ScheduleSpec(interval=[IntervalSpec(**{name: Duration(seconds=2**62)})]),
                    (
                        f"{name} is not a valid duration: proto: duration (seconds:{2**62})"
                        " exceeds +10000 years"
                    ),
                )
                for name in ("interval", "phase")
            ),
            (ScheduleSpec(timezone_data=b"abc"), "malformed time zone information"),
            (
                ScheduleSpec(structured_calendar=[StructuredCalendarSpec(hour=[Range(start=25)])]),
                "invalid calendar spec: Hour Start is not in range [0-23]",
            ),
            (
                ScheduleSpec(structured_calendar=[StructuredCalendarSpec(comment="x" * 201)]),
                "invalid calendar spec: comment is too long",
            ),
            (
                ScheduleSpec(
                    interval=[
                        IntervalSpec(interval=duration(SECOND_NS), phase=Duration(seconds=-1))
                    ]
                ),
                "phase is negative",
            ),
            (ScheduleSpec(calendar=[CalendarSpec()] * 1001), "too many calendars"),
        ]
    )
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_and_how(case: str) -> None:
    spec, message = REFUSED[case]
    with pytest.raises(BadSpec) as refusal:
        normalise(spec)
    assert str(refusal.value) == message


def found(spec: ScheduleSpec, after: str, until: str, ids: tuple[str, str] = SEED) -> list[str]:
    """The times of a specification, in UTC."""
    times = times_of(normalise(spec), *ids).between(at(after), at(until), 10_000)
    return [
        (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=time.due_ns // 1000)).strftime(
            "%m-%dT%H:%M:%S.%f"
        )[:-3]
        for time in times
    ]


def test_jitter_is_that_of_the_real_server() -> None:
    spec = hourly(jitter=duration(24 * HOUR_NS))
    assert found(spec, "2026-01-01T00:00:00", "2026-01-01T06:00:00") == [
        "01-01T01:34:42.161",
        "01-01T02:18:38.002",
        "01-01T03:55:48.298",
        "01-01T04:58:06.427",
        "01-01T05:34:04.326",
    ]
    tokyo = ScheduleSpec(
        calendar=[CalendarSpec(hour="*")], timezone_name="Asia/Tokyo", jitter=spec.jitter
    )
    ids = (SEED[0], "g124")
    assert found(tokyo, "2026-01-01T00:00:00", "2026-01-01T02:00:00", ids)[0] == (
        "01-01T01:23:08.779"
    )


def test_start_end_phase_and_exclusions_limit_the_times() -> None:
    limits = {
        "start_time": {"seconds": at("2026-01-01T03:00:00") // SECOND_NS, "nanos": 5},
        "end_time": {"seconds": at("2026-01-01T06:00:00") // SECOND_NS},
    }
    day = ("2026-01-01T00:00:00", "2026-01-02T00:00:00")
    hours = [text[6:8] for text in found(hourly(**limits), *day)]
    assert hours == ["03", "04", "05", "06"]
    excluding = hourly(exclude_calendar=[CalendarSpec(hour="1-22")])
    assert [text[:8] for text in found(excluding, *day)] == ["01-01T23", "01-02T00"]
    phased = ScheduleSpec(
        interval=[IntervalSpec(interval=duration(7 * HOUR_NS), phase=duration(300 * SECOND_NS))]
    )
    assert [text[6:11] for text in found(phased, *day)] == ["00:05", "07:05", "14:05", "21:05"]


def test_a_field_without_ranges_matches_nothing() -> None:
    spec = ScheduleSpec(structured_calendar=[StructuredCalendarSpec(hour=[Range(start=3)])])
    assert found(spec, "2026-01-01T00:00:00", "2027-01-01T00:00:00") == []


def test_what_excludes_everything_ends_the_search() -> None:
    every_second = CalendarSpec(second="*", minute="*", hour="*")
    spec = ScheduleSpec(interval=hourly().interval, exclude_calendar=[every_second])
    assert found(spec, "2026-01-01T00:00:00", "2027-01-01T00:00:00") == []


def test_zones_may_come_as_data() -> None:
    zone = files("tzdata.zoneinfo.Asia").joinpath("Tokyo").read_bytes()
    spec = ScheduleSpec(calendar=[CalendarSpec()], timezone_data=zone)
    assert found(spec, "2026-01-01T00:00:00", "2026-01-02T00:00:00") == ["01-01T15:00:00.000"]


@pytest.mark.parametrize(
    ("zone", "cron", "day", "expected"),
    [
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T20:00:00", []),
        ("Europe/Berlin", "15 0-3 * * *", "2026-03-28T20:00:00", ["23:15", "00:15", "01:15"]),
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T20:00:00", ["00:30", "01:30"]),
        ("US/Eastern", "30 1 * * *", "2026-11-01T02:00:00", ["05:30", "06:30"]),
        ("US/Eastern", "0 */2 * * *", "2026-03-08T04:30:00", ["05:00", "08:00", "10:00"]),
        ("Australia/Lord_Howe", "30 2 * * *", "2026-10-03T10:00:00", ["15:30"]),
        ("America/Sao_Paulo", "0 0 * * *", "2018-11-03T20:00:00", []),
        ("Pacific/Apia", "0 12 30 12 *", "2011-12-29T10:00:00", []),
    ],
)
def test_changes_of_the_clock_skip_and_repeat(
    zone: str, cron: str, day: str, expected: list[str]
) -> None:
    spec = ScheduleSpec(cron_string=[cron], timezone_name=zone)
    until = datetime.fromisoformat(day) + timedelta(hours=6)
    assert [text[6:11] for text in found(spec, day, until.isoformat())] == expected


# ---- against other libraries

MOMENTS = st.datetimes(datetime.fromisoformat("2024-01-01"), datetime.fromisoformat("2033-01-01"))


def ranges(first: int, last: int) -> st.SearchStrategy[str]:
    """A field of a cron string."""
    numbers = st.integers(first, last)
    one = st.one_of(
        st.just("*"),
        st.integers(1, max(2, (last - first) // 2)).map("*/{}".format),
        numbers.map(str),
        # Croniter takes a range of one value for all values.
        st.sets(numbers, min_size=2, max_size=2).map(lambda pair: f"{min(pair)}-{max(pair)}"),
    )
    return st.lists(one, min_size=1, max_size=3).map(",".join)


@settings(max_examples=60, deadline=None)
@given(ranges(0, 59), ranges(0, 23), ranges(1, 28), ranges(1, 12), MOMENTS)
def test_cron_strings_are_those_of_croniter(
    minute: str, hour: str, day: str, month: str, moment: datetime
) -> None:
    """Croniter takes either of day and weekday, so the weekday stays open here."""
    cron = f"{minute} {hour} {day} {month} *"
    times = times_of(normalise(ScheduleSpec(cron_string=[cron])), *SEED)
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    expected = croniter(cron, moment)
    after_ns = int(moment.timestamp()) * SECOND_NS
    for _ in range(4):
        coming = times.next_after(after_ns)
        assert coming is not None
        after_ns = coming.due_ns
        assert after_ns // SECOND_NS == int(expected.get_next(float))


days_of_month = st.sets(st.integers(1, 31), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    days_of_month,
    st.sets(st.integers(1, 12), min_size=1, max_size=4),
    st.sets(st.integers(0, 6), min_size=3, max_size=7),
    st.integers(0, 23),
    MOMENTS,
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kathmandu"]),
)
def test_days_are_those_of_dateutil(
    days: set[int], months: set[int], weekdays: set[int], hour: int, moment: datetime, zone: str
) -> None:
    """Months of 31 days, leap years, weekdays, and hours that a change of the clock skips (which do
    not happen) or repeats (which happen twice), in local time."""
    here = ZoneInfo(zone)
    spec = ScheduleSpec(
        calendar=[
            CalendarSpec(
                hour=str(hour),
                day_of_month=",".join(map(str, days)),
                month=",".join(map(str, months)),
                day_of_week=",".join(map(str, weekdays)),
            )
        ],
        timezone_name=zone,
    )
    begin = moment.replace(microsecond=0)
    until = begin + timedelta(days=800)
    rule = rrule.rrule(
        rrule.DAILY,
        dtstart=begin.replace(hour=0, minute=0, second=0) - timedelta(days=1),
        until=until + timedelta(days=1),
        bymonthday=sorted(days),
        bymonth=sorted(months),
        byweekday=[(day - 1) % 7 for day in weekdays],
        byhour=hour,
    )
    first, last = (int(one.replace(tzinfo=UTC).timestamp()) for one in (begin, until))
    expected = set()
    for local in rule:
        for fold in (0, 1):
            seconds = int(local.replace(tzinfo=here, fold=fold).timestamp())
            back = datetime.fromtimestamp(seconds, here)
            if back.replace(tzinfo=None, fold=0) == local and first < seconds <= last:
                expected.add(seconds)
    times = times_of(normalise(spec), *SEED).between(first * SECOND_NS, last * SECOND_NS, 10_000)
    assert [time.due_ns // SECOND_NS for time in times] == sorted(expected)


def _berlin() -> bytes:
    return (files("tzdata.zoneinfo.Europe") / "Berlin").read_bytes()


def _zone_data(offset: int, last_line: bytes) -> bytes:
    """A zone with one offset, until its last line holds, in the year 2026."""
    head = b"TZif2" + bytes(15)
    old = head + struct.pack(">6llbb", 0, 0, 0, 0, 1, 4, 0, 0, 0) + b"UTC\0"
    counts = struct.pack(">6lqb", 0, 0, 0, 1, 1, 4, at("2026-01-10T03:00:00") // SECOND_NS, 0)
    return (
        old + head + counts + struct.pack(">lbb", offset, 0, 0) + b"X\0\0\0\n" + last_line + b"\n"
    )


BAD_ZONES = {
    "no last newline": _berlin()[:-1],
    "only a head": b"TZif2" + bytes(15),
    "no second head": _berlin().replace(b"TZif", b"TZiX").replace(b"TZiX", b"TZif", 1),
    "negative counts": b"TZif2" + bytes(15) + b"\xff" * 24,
}


@pytest.mark.parametrize("case", BAD_ZONES)
def test_zones_that_are_cut_short_or_broken_are_refused(case: str) -> None:
    with pytest.raises(BadSpec, match="malformed time zone information"):
        normalise(hourly(timezone_data=BAD_ZONES[case]))


FAR_ZONES = {
    "now": _zone_data(86_400, b"X-1"),
    "a hundred hours": _zone_data(-360_000, b"X-1"),
    "later": _zone_data(3_600, b"<X>-24"),
    "in summer": _zone_data(3_600, b"X-1Y-24,M3.5.0,M10.5.0/3"),
}


@pytest.mark.parametrize("case", FAR_ZONES)
def test_zones_a_day_or_more_away_from_utc_are_refused(case: str) -> None:
    with pytest.raises(BadSpec, match="time zone is a day or more away from UTC"):
        normalise(hourly(timezone_data=FAR_ZONES[case]))


def test_zones_less_than_a_day_away_from_utc_are_taken() -> None:
    for offset in (86_399, -86_399):
        assert normalise(hourly(timezone_data=_zone_data(offset, b"X-1"))).timezone_data


def test_a_clock_that_is_set_back_by_days_keeps_no_search_going() -> None:
    head = b"TZif2" + bytes(15)
    old = head + struct.pack(">6llbb", 0, 0, 0, 0, 1, 4, 0, 0, 0) + b"UTC\0"
    counts = struct.pack(">6lqb", 0, 0, 0, 1, 2, 8, at("2026-01-10T03:00:00") // SECOND_NS, 1)
    types = struct.pack(">lbblbb", 23 * 3600, 0, 0, -23 * 3600, 0, 4) + b"AAA\0BBB\0"
    data = old + head + counts + types + b"\n<-23>23\n"
    calendar = CalendarSpec(day_of_month="11", hour="12")
    spec = normalise(ScheduleSpec(calendar=[calendar], timezone_data=data))
    coming = times_of(spec, *SEED).next_after(at("2026-01-02T00:00:00"))
    assert coming is not None
    assert coming.nominal_ns == at("2026-01-12T11:00:00")


@pytest.mark.parametrize(
    "spec",
    [
        ScheduleSpec(interval=[IntervalSpec(interval=Duration(nanos=1_999_999_999))]),
        ScheduleSpec(interval=[IntervalSpec(interval=Duration(seconds=2, nanos=-1))]),
        ScheduleSpec(start_time=Timestamp(seconds=2**62)),
        ScheduleSpec(end_time=Timestamp(nanos=-1)),
        ScheduleSpec(cron_string=["@every " + "9" * 5000 + "d"]),
    ],
    ids=str,
)
def test_times_and_lengths_that_are_none_are_refused(spec: ScheduleSpec) -> None:
    with pytest.raises(BadSpec):
        normalise(spec)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
def test_the_first_and_the_last_day_of_all_are_searched(zone: str) -> None:
    spec = ScheduleSpec(
        calendar=[CalendarSpec(second="*")],
        exclude_calendar=[CalendarSpec(second="5")],
        interval=[IntervalSpec(interval=Duration(seconds=1))],
        timezone_name=zone,
    )
    times = times_of(normalise(spec), *SEED)
    for seconds in (TIMESTAMP_SECONDS_MIN, TIMESTAMP_SECONDS_MAX - 1):
        coming = times.next_after(seconds * SECOND_NS)
        assert coming is not None
        assert coming.nominal_ns == (seconds + 1) * SECOND_NS


def test_a_calendar_that_never_matches_is_searched_once() -> None:
    never = CalendarSpec(day_of_month="30", month="2")
    minutes = IntervalSpec(interval=Duration(seconds=60))
    spec = normalise(ScheduleSpec(calendar=[never, CalendarSpec(hour="12")], interval=[minutes]))
    times, begin = times_of(spec, *SEED), at("2026-01-02T00:00:00")
    assert len(times.between(begin, begin + 2 * HOUR_NS, 99)) == 99
    noon = at("2026-01-02T12:00:00")
    assert times.known == {
        0: (begin // SECOND_NS, None),
        1: (begin // SECOND_NS, noon // SECOND_NS),
    }
    assert times.next_after(noon) is not None
    assert times.known[1][0] == noon // SECOND_NS
