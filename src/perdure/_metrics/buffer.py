"""A buffer of what was recorded, for a program that takes it out itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NewType

from perdure._metrics.meter import DURATION, Instrument, Kind
from perdure.common.metrics import MetricAttributes

BufferedMetricKind = NewType("BufferedMetricKind", int)

BUFFERED_METRIC_KIND_COUNTER: Final = BufferedMetricKind(0)
BUFFERED_METRIC_KIND_GAUGE: Final = BufferedMetricKind(1)
BUFFERED_METRIC_KIND_HISTOGRAM: Final = BufferedMetricKind(2)

_KINDS = {
    Kind.COUNTER: BUFFERED_METRIC_KIND_COUNTER,
    Kind.GAUGE: BUFFERED_METRIC_KIND_GAUGE,
    Kind.HISTOGRAM: BUFFERED_METRIC_KIND_HISTOGRAM,
}


class MetricBufferDurationFormat(IntEnum):
    """How durations are told."""

    MILLISECONDS = 1
    SECONDS = 2


@dataclass(frozen=True)
class BufferedMetric:
    """What a value is of; the same object for all values of a metric."""

    name: str
    description: str | None
    unit: str | None
    kind: BufferedMetricKind


@dataclass(frozen=True)
class BufferedMetricUpdate:
    """A value: what was added to a counter, the new value of a gauge, one more of a histogram."""

    metric: BufferedMetric
    value: int | float
    attributes: MetricAttributes


class MetricBuffer:
    """Keeps what is recorded until `retrieve_updates` takes it; what is too much is dropped."""

    def __init__(
        self,
        buffer_size: int,
        duration_format: MetricBufferDurationFormat = MetricBufferDurationFormat.MILLISECONDS,
    ) -> None:
        self._size = buffer_size
        self._in_seconds = duration_format is MetricBufferDurationFormat.SECONDS
        self._updates: list[BufferedMetricUpdate] = []
        self._lock = threading.Lock()
        self._is_attached = False

    def retrieve_updates(self) -> Sequence[BufferedMetricUpdate]:
        """What was recorded since the last time. Raises RuntimeError without a runtime."""
        if not self._is_attached:
            raise RuntimeError("Attempting to retrieve updates before runtime created")
        with self._lock:
            updates, self._updates = self._updates, []
        return updates

    def attach(self) -> None:
        """It belongs to a runtime now. Raises RuntimeError when it already did."""
        if self._is_attached:
            raise RuntimeError(
                "Metric buffer already attached to a runtime; a buffer belongs to one"
            )
        self._is_attached = True

    def record(self, instrument: Instrument, value: float, attributes: MetricAttributes) -> None:
        """Keeps a value, if there is room."""
        metric = instrument.sink_state
        if metric is None:
            metric = instrument.sink_state = BufferedMetric(
                instrument.name,
                instrument.description,
                self._unit_of(instrument),
                _KINDS[instrument.kind],
            )
        if instrument.is_duration and not self._in_seconds:
            value = int(value * 1000)
        with self._lock:
            if len(self._updates) < self._size:
                self._updates.append(BufferedMetricUpdate(metric, value, attributes))

    def _unit_of(self, instrument: Instrument) -> str | None:
        if instrument.is_duration and instrument.unit in (None, DURATION):
            return "s" if self._in_seconds else "ms"
        return instrument.unit
