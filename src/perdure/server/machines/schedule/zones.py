"""Whether a time zone that came as data can be reckoned with."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo

_DAY_SECONDS = 86_400
_HEADER_BYTES = 44
_LAST_YEARS = [datetime(9990, month, 15, tzinfo=UTC) for month in (1, 7)]
"""What a zone's last line says holds in these."""


def is_within_a_day(zone: tzinfo, content: bytes) -> bool:
    """Whether all local times of a zone (a well-formed file of format TZif) are less than a day
    away from UTC, as they must be to be reckoned with."""
    if any(abs(offset) >= _DAY_SECONDS for offset in _offsets(content)):
        return False
    try:
        for moment in _LAST_YEARS:
            moment.astimezone(zone).utcoffset()
    except ValueError:
        return False
    return True


def _offsets(content: bytes) -> Iterator[int]:
    """The offsets in seconds that a zone has at any time before its last line holds."""
    has_second = content[4:5] >= b"2"
    place = 0
    for time_bytes in (4, 8) if has_second else (4,):
        counts = struct.unpack_from(">6I", content, place + 20)
        ut_count, standard_count, leap_count, time_count, type_count, letter_count = counts
        types = place + _HEADER_BYTES + time_count * (time_bytes + 1)
        for number in range(type_count):
            yield struct.unpack_from(">i", content, types + 6 * number)[0]
        place = types + 6 * type_count + letter_count
        place += leap_count * (time_bytes + 4) + standard_count + ut_count
