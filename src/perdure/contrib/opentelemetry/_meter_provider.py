"""A meter provider for workflow code: what is recorded again on replay is not counted again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import (
    CallbackT,
    Counter,
    Histogram,
    Meter,
    MeterProvider,
    ObservableCounter,
    ObservableGauge,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.metrics import _Gauge as Gauge
from opentelemetry.util.types import Attributes

from perdure.contrib.opentelemetry._replaying import outside_guard, repeats


class ReplaySafeMeterProvider(MeterProvider):
    """Has another provider count what workflow code records when it does so for the first time.

    Give it to `opentelemetry.metrics.set_meter_provider`, for libraries that record in workflows.
    Instruments that are observed are not run by workflow code, and are left as they are.
    """

    def __init__(self, meter_provider: MeterProvider) -> None:
        self._provider = meter_provider

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Meter:
        """A meter, whose instruments do so."""
        with outside_guard():
            meter = self._provider.get_meter(name, version, schema_url, attributes)
        return _Meter(meter, name, version, schema_url)


class _Meter(Meter):
    def __init__(
        self, meter: Meter, name: str, version: str | None, schema_url: str | None
    ) -> None:
        super().__init__(name, version, schema_url)
        self._meter = meter

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Counter:
        with outside_guard():
            return _Counter(self._meter.create_counter(name, unit, description).add)

    def create_up_down_counter(
        self, name: str, unit: str = "", description: str = ""
    ) -> UpDownCounter:
        with outside_guard():
            return _UpDownCounter(self._meter.create_up_down_counter(name, unit, description).add)

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,
    ) -> Histogram:
        with outside_guard():
            histogram = self._meter.create_histogram(
                name,
                unit,
                description,
                explicit_bucket_boundaries_advisory=explicit_bucket_boundaries_advisory,
            )
        return _Histogram(histogram.record)

    def create_gauge(self, name: str, unit: str = "", description: str = "") -> Gauge:
        with outside_guard():
            return _ReplaySafeGauge(self._meter.create_gauge(name, unit, description).set)

    def create_observable_counter(
        self,
        name: str,
        callbacks: Sequence[CallbackT] | None = None,
        unit: str = "",
        description: str = "",
    ) -> ObservableCounter:
        with outside_guard():
            return self._meter.create_observable_counter(name, callbacks, unit, description)

    def create_observable_gauge(
        self,
        name: str,
        callbacks: Sequence[CallbackT] | None = None,
        unit: str = "",
        description: str = "",
    ) -> ObservableGauge:
        with outside_guard():
            return self._meter.create_observable_gauge(name, callbacks, unit, description)

    def create_observable_up_down_counter(
        self,
        name: str,
        callbacks: Sequence[CallbackT] | None = None,
        unit: str = "",
        description: str = "",
    ) -> ObservableUpDownCounter:
        with outside_guard():
            return self._meter.create_observable_up_down_counter(name, callbacks, unit, description)


_Record = Callable[[Any, Attributes, Context | None], None]


def _once(record: _Record, amount: float, attributes: Attributes, context: Context | None) -> None:
    if not repeats():
        with outside_guard():
            record(amount, attributes, context)


class _Counter(Counter):
    def __init__(self, record: _Record) -> None:
        self._record = record

    def add(
        self, amount: float, attributes: Attributes = None, context: Context | None = None
    ) -> None:
        _once(self._record, amount, attributes, context)


class _UpDownCounter(UpDownCounter):
    def __init__(self, record: _Record) -> None:
        self._record = record

    def add(
        self, amount: float, attributes: Attributes = None, context: Context | None = None
    ) -> None:
        _once(self._record, amount, attributes, context)


class _Histogram(Histogram):
    def __init__(self, record: _Record) -> None:
        self._record = record

    def record(
        self, amount: float, attributes: Attributes = None, context: Context | None = None
    ) -> None:
        _once(self._record, amount, attributes, context)


class _ReplaySafeGauge(Gauge):
    def __init__(self, record: _Record) -> None:
        self._record = record

    def set(
        self, amount: float, attributes: Attributes = None, context: Context | None = None
    ) -> None:
        _once(self._record, amount, attributes, context)
