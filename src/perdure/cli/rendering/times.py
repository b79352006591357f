"""Times and durations as people say them."""

from __future__ import annotations

from datetime import UTC, datetime

_STEPS = (("d", 86_400), ("h", 3600), ("m", 60))


def took(seconds: float) -> str:
    """A duration in its two largest units: `12 ms`, `1.25 s`, `3 m 5 s`, `2 h 10 m`, `30 d`."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 59.995:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + " s"
    rest = round(seconds)
    parts: list[str] = []
    for unit, size in (*_STEPS, ("s", 1)):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def moment(time: datetime | None) -> str | None:
    """A time as JSON says it: RFC 3339 in UTC."""
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local(time: datetime | None) -> str:
    """A time as the person at the terminal would say it."""
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
