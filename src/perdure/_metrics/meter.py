"""The meter: makes metrics whose values go to a sink.

It checks what users may record, and knows nothing of how values are kept or told; a `Sink` does. A
metric holds its attributes ready merged, so that recording without further ones copies nothing.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Any, Final, Protocol, Self

from perdure.common.metrics import (
    MetricAttributes,
    MetricCounter,
    MetricGauge,
    MetricGaugeFloat,
    MetricHistogram,
    MetricHistogramFloat,
    MetricHistogramTimedelta,
    MetricMeter,
)

DURATION: Final = "duration"
"""The unit of durations of the SDK's own: whatever the sink tells them in."""


class Kind(Enum):
    """What a metric is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Instrument:
    """A metric by its name, as a sink sees it. The same name is the same instrument."""

    __slots__ = ("description", "is_duration", "kind", "name", "sink_state", "unit")

    def __init__(
        self, kind: Kind, name: str, description: str | None, unit: str | None, is_duration: bool
    ) -> None:
        self.kind = kind
        self.name = name
        self.description = description
        self.unit = unit
        self.is_duration = is_duration
        self.sink_state: Any = None
        """What the sink keeps with it."""


class Sink(Protocol):
    """What becomes of values. Called from any thread."""

    def record(self, instrument: Instrument, value: float, attributes: MetricAttributes) -> None:
        """Takes a value: what to add to a counter, the new value of a gauge, seconds when the
        instrument is one of durations."""


class _Metric:
    """A metric and its attributes."""

    __slots__ = ("_attributes", "_instrument", "_sink")

    def __init__(
        self, sink: Sink | None, instrument: Instrument, attributes: MetricAttributes
    ) -> None:
        self._sink = sink
        self._instrument = instrument
        self._attributes = attributes

    @property
    def name(self) -> str:
        """The name."""
        return self._instrument.name

    @property
    def description(self) -> str | None:
        """The description."""
        return self._instrument.description

    @property
    def unit(self) -> str | None:
        """The unit."""
        return self._instrument.unit

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> Self:
        """The same metric with more attributes."""
        merged = merged_attributes(self._attributes, additional_attributes)
        return type(self)(self._sink, self._instrument, merged)

    def _take(self, value: float, additional: MetricAttributes | None) -> None:
        if value < 0:
            raise ValueError("Metric value cannot be negative")
        attributes = self._attributes
        if additional:
            attributes = merged_attributes(attributes, additional)
        if self._sink is not None:
            self._sink.record(self._instrument, value, attributes)


class _Counter(_Metric, MetricCounter):
    def add(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        self._take(value, additional_attributes)


class _Histogram(_Metric, MetricHistogram):
    def record(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        self._take(value, additional_attributes)


class _HistogramFloat(_Metric, MetricHistogramFloat):
    def record(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        self._take(value, additional_attributes)


class _HistogramTimedelta(_Metric, MetricHistogramTimedelta):
    def record(
        self, value: timedelta, additional_attributes: MetricAttributes | None = None
    ) -> None:
        self._take(value.total_seconds(), additional_attributes)


class _Gauge(_Metric, MetricGauge):
    def set(self, value: int, additional_attributes: MetricAttributes | None = None) -> None:
        self._take(value, additional_attributes)


class _GaugeFloat(_Metric, MetricGaugeFloat):
    def set(self, value: float, additional_attributes: MetricAttributes | None = None) -> None:
        self._take(value, additional_attributes)


class SinkMeter(MetricMeter):
    """Makes metrics whose values go to a sink; without a sink, nowhere."""

    def __init__(self, sink: Sink | None, attributes: MetricAttributes) -> None:
        self._sink = sink
        self._attributes = attributes
        self._instruments: dict[tuple[Kind, str], Instrument] = {}

    def create_counter(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricCounter:
        """A counter."""
        instrument = self._instrument(Kind.COUNTER, name, description, unit)
        return _Counter(self._sink, instrument, self._attributes)

    def create_histogram(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogram:
        """A histogram of whole numbers."""
        instrument = self._instrument(Kind.HISTOGRAM, name, description, unit)
        return _Histogram(self._sink, instrument, self._attributes)

    def create_histogram_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramFloat:
        """A histogram of numbers."""
        instrument = self._instrument(Kind.HISTOGRAM, name, description, unit)
        return _HistogramFloat(self._sink, instrument, self._attributes)

    def create_histogram_timedelta(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricHistogramTimedelta:
        """A histogram of durations."""
        instrument = self._instrument(Kind.HISTOGRAM, name, description, unit, is_duration=True)
        return _HistogramTimedelta(self._sink, instrument, self._attributes)

    def create_gauge(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricGauge:
        """A gauge of a whole number."""
        instrument = self._instrument(Kind.GAUGE, name, description, unit)
        return _Gauge(self._sink, instrument, self._attributes)

    def create_gauge_float(
        self, name: str, description: str | None = None, unit: str | None = None
    ) -> MetricGaugeFloat:
        """A gauge of a number."""
        instrument = self._instrument(Kind.GAUGE, name, description, unit)
        return _GaugeFloat(self._sink, instrument, self._attributes)

    def with_additional_attributes(self, additional_attributes: MetricAttributes) -> MetricMeter:
        """A meter with more attributes."""
        merged = merged_attributes(self._attributes, additional_attributes)
        meter = SinkMeter(self._sink, merged)
        meter._instruments = self._instruments
        return meter

    def _instrument(
        self,
        kind: Kind,
        name: str,
        description: str | None,
        unit: str | None,
        *,
        is_duration: bool = False,
    ) -> Instrument:
        known = self._instruments.get((kind, name))
        if known is None:
            known = Instrument(kind, name, description, unit, is_duration)
            known = self._instruments.setdefault((kind, name), known)
        return known


def merged_attributes(known: MetricAttributes, more: MetricAttributes) -> MetricAttributes:
    """Both, the newer ones first in rank. Raises TypeError for a value of another type."""
    for key, value in more.items():
        if not isinstance(value, str | int | float):
            raise TypeError(f"Invalid value type for key {key}, must be str, int, float, or bool")
    return {**known, **more}


MetricMeter.noop = SinkMeter(None, {})
