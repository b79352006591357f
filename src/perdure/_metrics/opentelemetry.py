"""Metrics handed on to a collector, by OpenTelemetry's own SDK and protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

from perdure._metrics.bounds import bounds_of
from perdure._metrics.meter import DURATION, Instrument, Kind
from perdure.common.metrics import MetricAttributes

PERIOD: Final = timedelta(seconds=1)
"""How often what has changed is sent, unless it is set otherwise."""


class OpenTelemetrySink:
    """Adds values up, and sends them to a collector until the process ends."""

    def __init__(
        self,
        url: str,
        *,
        by_http: bool,
        headers: Mapping[str, str],
        period: timedelta | None,
        deltas: bool,
        durations_as_seconds: bool,
        bound_overrides: Mapping[str, Sequence[float]],
        global_tags: Mapping[str, str],
        service_name: str,
    ) -> None:
        temporality = AggregationTemporality.DELTA if deltas else AggregationTemporality.CUMULATIVE
        exporter = _exporter_class(by_http)(
            endpoint=url,
            headers=dict(headers),
            preferred_temporality={Counter: temporality, Histogram: temporality},
        )
        milliseconds = (period or PERIOD).total_seconds() * 1000
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=milliseconds)
        resource = Resource.create({"service.name": service_name, **global_tags})
        self._provider = MeterProvider([reader], resource)
        self._meter = self._provider.get_meter(service_name)
        self._in_seconds = durations_as_seconds
        self._bound_overrides = bound_overrides

    def record(self, instrument: Instrument, value: float, attributes: MetricAttributes) -> None:
        """Adds a value up."""
        take = instrument.sink_state
        if take is None:
            take = instrument.sink_state = self._made(instrument)
        if instrument.is_duration and not self._in_seconds:
            value *= 1000
        take(value, attributes)

    def shutdown(self) -> None:
        """Sends what there is, and no more after that."""
        self._provider.shutdown()

    def _made(self, instrument: Instrument) -> Any:
        """What takes the values of an instrument. Two of a name are one."""
        unit = instrument.unit or ""
        if instrument.is_duration and unit in ("", DURATION):
            unit = "s" if self._in_seconds else "ms"
        name, description = instrument.name, instrument.description or ""
        match instrument.kind:
            case Kind.COUNTER:
                return self._meter.create_counter(name, unit, description).add
            case Kind.GAUGE:
                return self._meter.create_gauge(name, unit, description).set
            case Kind.HISTOGRAM:
                return self._meter.create_histogram(
                    name,
                    unit,
                    description,
                    explicit_bucket_boundaries_advisory=bounds_of(
                        instrument, self._bound_overrides, in_seconds=self._in_seconds
                    ),
                ).record


def _exporter_class(by_http: bool) -> Callable[..., MetricExporter]:
    """What speaks the protocol: each has its own library, of which one is needed."""
    if by_http:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
            OTLPMetricExporter as ByHttp,
        )

        return ByHttp
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as ByGrpc

    return ByGrpc
