"""Metrics added up, and served to Prometheus over HTTP."""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from perdure._metrics.bounds import bounds_of
from perdure._metrics.meter import Instrument, Kind
from perdure.common.metrics import MetricAttributes

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_:]")


class _Series:
    """The values of one metric with the same attributes."""

    __slots__ = ("buckets", "count", "total")

    def __init__(self, buckets: int) -> None:
        self.total: float = 0
        self.count = 0
        self.buckets = [0] * buckets


class _Family:
    """All series of one metric."""

    __slots__ = ("bounds", "help", "kind", "name", "scale", "series")

    def __init__(
        self, name: str, description: str, kind: Kind, bounds: Sequence[float], scale: float
    ) -> None:
        self.name = name
        self.help = description
        self.kind = kind
        self.bounds = bounds
        self.scale = scale
        self.series: dict[tuple[tuple[str, Any], ...], _Series] = {}

    def take(self, labels: tuple[tuple[str, Any], ...], value: float) -> None:
        """Adds a value to its series."""
        series = self.series.get(labels)
        if series is None:
            series = self.series[labels] = _Series(len(self.bounds))
        if self.scale != 1:
            value *= self.scale
        if self.kind is Kind.GAUGE:
            series.total = value
            return
        series.total += value
        series.count += 1
        if self.kind is Kind.HISTOGRAM:
            place = bisect_left(self.bounds, value)
            if place < len(self.bounds):
                series.buckets[place] += 1

    def lines(self) -> list[str]:
        """What Prometheus reads."""
        lines = [
            f"# HELP {self.name} {_in_a_line(self.help)}",
            f"# TYPE {self.name} {self.kind.value}",
        ]
        for labels, series in self.series.items():
            text = ",".join(
                f'{_NOT_IN_NAMES.sub("_", key)}="{_escaped(value)}"' for key, value in labels
            )
            if self.kind is not Kind.HISTOGRAM:
                lines.append(f"{self.name}{{{text}}} {_number(series.total)}")
                continue
            comma = "," if text else ""
            below = 0
            for bound, count in zip(self.bounds, series.buckets, strict=True):
                below += count
                lines.append(f'{self.name}_bucket{{{text}{comma}le="{_number(bound)}"}} {below}')
            lines.append(f'{self.name}_bucket{{{text}{comma}le="+Inf"}} {series.count}')
            lines.append(f"{self.name}_sum{{{text}}} {_number(series.total)}")
            lines.append(f"{self.name}_count{{{text}}} {series.count}")
        return lines


class PrometheusSink:
    """Adds values up, and serves them until the process ends."""

    def __init__(
        self,
        bind_address: str,
        *,
        global_tags: Mapping[str, str],
        counters_total_suffix: bool,
        unit_suffix: bool,
        durations_as_seconds: bool,
        bound_overrides: Mapping[str, Sequence[float]],
    ) -> None:
        """Raises ValueError for an address that is none, OSError when it cannot be bound."""
        self._global_tags = dict(global_tags)
        self._counters_total_suffix = counters_total_suffix
        self._unit_suffix = unit_suffix
        self._in_seconds = durations_as_seconds
        self._bound_overrides = bound_overrides
        self._families: dict[str, _Family] = {}
        self._lock = threading.Lock()
        self._listen(bind_address)

    def record(self, instrument: Instrument, value: float, attributes: MetricAttributes) -> None:
        """Adds a value up."""
        with self._lock:
            family = instrument.sink_state
            if family is None:
                family = instrument.sink_state = self._family_of(instrument)
            family.take((*attributes.items(), *self._global_tags.items()), value)

    def text(self) -> str:
        """All metrics, as Prometheus reads them."""
        with self._lock:
            families = sorted(self._families.values(), key=lambda family: family.name)
            lines = [line for family in families for line in family.lines()]
        return "\n".join([*lines, ""])

    def _family_of(self, instrument: Instrument) -> _Family:
        name = _NOT_IN_NAMES.sub("_", instrument.name)
        is_histogram = instrument.kind is Kind.HISTOGRAM
        if self._unit_suffix and instrument.is_duration:
            name += "_seconds" if self._in_seconds else "_milliseconds"
        elif self._unit_suffix and instrument.unit and is_histogram:
            name += f"_{_NOT_IN_NAMES.sub('_', instrument.unit)}"
        if self._counters_total_suffix and instrument.kind is Kind.COUNTER:
            name += "_total"
        scale = 1 if self._in_seconds or not instrument.is_duration else 1000
        known = self._families.get(name)
        if known is None:
            bounds = (
                bounds_of(instrument, self._bound_overrides, in_seconds=self._in_seconds)
                if is_histogram
                else ()
            )
            known = _Family(name, instrument.description or name, instrument.kind, bounds, scale)
            self._families[name] = known
        return known

    def _listen(self, bind_address: str) -> None:
        host, _, port = bind_address.rpartition(":")
        if not port.isdecimal():
            raise ValueError(f"Invalid bind address {bind_address!r}: it must be HOST:PORT")
        text = self.text

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = text().encode()
                self.send_response(200 if self.path == "/metrics" else 404)
                self.send_header("Content-Type", _CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing: a scrape is no news."""

        server = ThreadingHTTPServer((host.strip("[]"), int(port)), Answer)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, name="perdure metrics", daemon=True).start()


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _in_a_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escaped(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return _in_a_line(text).replace('"', '\\"')
