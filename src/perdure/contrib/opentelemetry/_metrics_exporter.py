"""Metrics of the SDK on instruments of an OpenTelemetry meter provider."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self

from opentelemetry.metrics import Meter, MeterProvider, get_meter_provider

from perdure.runtime import (
    BUFFERED_METRIC_KIND_COUNTER,
    BUFFERED_METRIC_KIND_GAUGE,
    BUFFERED_METRIC_KIND_HISTOGRAM,
    BufferedMetric,
    BufferedMetricKind,
    MetricBuffer,
)

_log = logging.getLogger("perdure.contrib.opentelemetry")

_SECOND: Final = timedelta(seconds=1)

_Record = Callable[[Any, Mapping[str, Any]], None]


class MetricsExporter:
    """Records what a `MetricBuffer` has got, every `poll_interval`, while it runs.

        buffer = MetricBuffer(10_000)
        runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
        async with MetricsExporter(buffer, meter_provider):
            client = await Client.connect("localhost:7233", runtime=runtime)

    Without a meter provider, it is OpenTelemetry's global one. What cannot be recorded is logged,
    and told to `on_error`.
    """

    def __init__(
        self,
        buffer: MetricBuffer,
        meter_provider: MeterProvider | None = None,
        *,
        meter_name: str = "perdure",
        meter_version: str | None = None,
        poll_interval: timedelta = _SECOND,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        self._buffer = buffer
        provider = get_meter_provider() if meter_provider is None else meter_provider
        self._meter = provider.get_meter(meter_name, meter_version)
        self._poll_seconds = poll_interval.total_seconds()
        self._on_error = on_error
        self._instruments: dict[BufferedMetric, _Record] = {}
        self._stopping = asyncio.Event()
        self._is_running = False
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Records until `shutdown`. Raises RuntimeError when the buffer belongs to no runtime, and
        when it runs already."""
        if self._is_running:
            raise RuntimeError("the exporter runs already")
        self._drain()
        self._is_running = True
        self._stopping.clear()
        self._ended.clear()
        try:
            while not self._stopping.is_set():
                await self._pause()
                self._drain()
        finally:
            self._is_running = False
            self._ended.set()

    async def shutdown(self) -> None:
        """Records what is left, and ends `run`."""
        self._stopping.set()
        if self._is_running:
            await self._ended.wait()

    async def __aenter__(self) -> Self:
        """Runs in the background. Raises RuntimeError when the buffer belongs to no runtime."""
        self._drain()
        self._task = asyncio.create_task(self.run())
        # It has begun when this returns, and so can be shut down.
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shuts down."""
        task, self._task = self._task, None
        self._stopping.set()
        if task is not None:
            await task

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    def _drain(self) -> None:
        for update in self._buffer.retrieve_updates():
            try:
                self._instrument(update.metric)(update.value, update.attributes)
            except Exception as error:  # a named boundary: a provider, and what is given to it
                self._tell(update.metric, error)

    def _instrument(self, metric: BufferedMetric) -> _Record:
        record = self._instruments.get(metric)
        if record is None:
            made = _MAKE[metric.kind](
                self._meter, metric.name, metric.unit or "", metric.description or ""
            )
            record = self._instruments[metric] = made
        return record

    def _tell(self, metric: BufferedMetric, error: Exception) -> None:
        _log.error("The metric %s cannot be recorded", metric.name, exc_info=error)
        if self._on_error is None:
            return
        try:
            self._on_error(error)
        except Exception:  # a named boundary: the user's callback must not end the exporter
            _log.exception("`on_error` failed")


_MAKE: dict[BufferedMetricKind, Callable[[Meter, str, str, str], _Record]] = {
    BUFFERED_METRIC_KIND_COUNTER: lambda meter, *what: meter.create_counter(*what).add,
    BUFFERED_METRIC_KIND_GAUGE: lambda meter, *what: meter.create_gauge(*what).set,
    BUFFERED_METRIC_KIND_HISTOGRAM: lambda meter, *what: meter.create_histogram(*what).record,
}
