"""Durations in the headers of Nexus requests, as Go writes and reads them."""

from __future__ import annotations

import re

UNITS_NS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}
_PARTS = re.compile(r"(\d{1,15})(\.\d{1,15})?(h|ms|us|ns|m|s)")
DURATION_NS_MAX = 2**63 - 1


def go_duration(length_ns: int) -> str:
    """A length as Go shows it: `8.9985s`, `999.5ms`, `1m3s`."""
    if length_ns < UNITS_NS["s"]:
        for unit in ("ms", "us", "ns"):
            if length_ns >= UNITS_NS[unit]:
                return _decimal(length_ns, UNITS_NS[unit]) + unit.replace("us", "µs")
        return "0s"
    hours, rest = divmod(length_ns, UNITS_NS["h"])
    minutes, rest = divmod(rest, UNITS_NS["m"])
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if hours or minutes else ""
    return text + _decimal(rest, UNITS_NS["s"]) + "s"


def milliseconds(length_ns: int) -> str:
    """A length as it is told from one server to the next."""
    return f"{length_ns // UNITS_NS['ms']}ms"


def parse_duration(text: str) -> int | None:
    """A length in nanoseconds; None for what is none. What is longer than fits is cut."""
    position, length_ns = 0, 0
    while found := _PARTS.match(text, position):
        unit_ns = UNITS_NS[found[3]]
        length_ns += int(found[1]) * unit_ns
        if found[2]:
            length_ns += int(found[2][1:]) * unit_ns // 10 ** (len(found[2]) - 1)
        position = found.end()
    if not position or position < len(text):
        return None
    return min(length_ns, DURATION_NS_MAX)


def _decimal(length_ns: int, unit_ns: int) -> str:
    whole, rest = divmod(length_ns, unit_ns)
    digits = len(str(unit_ns)) - 1
    fraction = f".{rest:0{digits}}".rstrip("0").rstrip(".") if digits else ""
    return f"{whole}{fraction}"
