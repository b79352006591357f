"""Metrics and log records by OpenTelemetry's own functions: workflow code tells them once, and the
SDK's metrics are recorded on instruments of the program's."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.metrics import Counter, Meter, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import perdure
from perdure import workflow
from perdure.contrib.opentelemetry import (
    MetricsExporter,
    ReplaySafeLoggerProvider,
    ReplaySafeMeterProvider,
)
from perdure.runtime import MetricBuffer, Runtime, TelemetryConfig
from perdure.worker import Worker
from tests.sdk.looking import until

READER = InMemoryMetricReader()
METERS = ReplaySafeMeterProvider(MeterProvider([READER]))

LOGGED = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
_PLAIN = LoggerProvider(shutdown_on_exit=False)
_PLAIN.add_log_record_processor(SimpleLogRecordProcessor(LOGGED))
LOGS = ReplaySafeLoggerProvider(_PLAIN)


def _tell(step: str) -> None:
    """By each kind of instrument, and by a record of either form."""
    meter = METERS.get_meter("tests")
    meter.create_counter("counted", "1", "steps").add(1, {"step": step})
    meter.create_up_down_counter("open").add(1)
    meter.create_histogram("sizes", explicit_bucket_boundaries_advisory=[1, 2]).record(1)
    meter.create_gauge("level").set(3)
    logger = LOGS.get_logger("tests", "1")
    logger.emit(LogRecord(body=step))
    logger.emit(body=f"{step} by fields")


@workflow.defn
class Telling:
    """Tells of each step, and of what it is asked."""

    def __init__(self) -> None:
        self.allowed = False

    @workflow.run
    async def run(self) -> None:
        _tell("begins")
        await workflow.wait_condition(lambda: self.allowed)
        _tell("ends")

    @workflow.signal
    def allow(self) -> None:
        self.allowed = True

    @workflow.query
    def ask(self) -> bool:
        _tell("asked")
        return LOGS.get_logger("tests").enabled()


def values(reader: InMemoryMetricReader) -> dict[str, Any]:
    """The data points of each metric."""
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: metric.data.data_points
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


async def test_workflow_code_tells_each_step_once_however_often_it_is_replayed() -> None:
    LOGGED.clear()
    async with (
        perdure.embedded() as client,
        # Nothing is kept, so each task and each query begins with a replay.
        Worker(client, task_queue="q", workflows=[Telling], max_cached_workflows=0),
    ):
        handle = await client.start_workflow(Telling.run, id="w", task_queue="q")
        assert await handle.query(Telling.ask)
        await handle.signal(Telling.allow)
        await handle.result()
        assert await handle.query(Telling.ask)
    found = values(READER)
    steps = {point.attributes["step"]: point.value for point in found["counted"]}
    assert steps == {"begins": 1, "asked": 2, "ends": 1}
    assert found["open"][0].value == 4
    assert (found["sizes"][0].count, found["sizes"][0].explicit_bounds) == (4, (1, 2))
    assert found["level"][0].value == 3
    bodies = [one.log_record.body for one in LOGGED.get_finished_logs()]
    told = ["begins", "asked", "ends", "asked"]
    assert bodies == [body for step in told for body in (step, f"{step} by fields")]


def test_instruments_that_are_observed_are_left_as_they_are() -> None:
    reader = InMemoryMetricReader()
    meter = ReplaySafeMeterProvider(MeterProvider([reader])).get_meter("tests")
    meter.create_observable_counter("counter", [lambda _: [Observation(1)]])
    meter.create_observable_gauge("gauge", [lambda _: [Observation(2)]])
    meter.create_observable_up_down_counter("both", [lambda _: [Observation(3)]])
    found = {name: points[0].value for name, points in values(reader).items()}
    assert found == {"counter": 1, "gauge": 2, "both": 3}


async def test_the_metrics_of_the_sdk_reach_a_meter_provider() -> None:
    buffer, reader = MetricBuffer(10_000), InMemoryMetricReader()
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    async with MetricsExporter(buffer, MeterProvider([reader]), poll_interval=timedelta(hours=1)):
        async with (
            perdure.embedded(runtime=runtime) as client,
            Worker(client, task_queue="q", workflows=[Telling]),
        ):
            handle = await client.start_workflow(Telling.run, id="w", task_queue="q")
            await handle.signal(Telling.allow)
            await handle.result()
        runtime.metric_meter.create_gauge("level", unit="m").set(7)
    found = values(reader)
    [completed] = found["temporal_workflow_completed"]
    assert (completed.value, completed.attributes["workflow_type"]) == (1, "Telling")
    assert found["temporal_workflow_endtoend_latency"][0].count == 1
    assert found["level"][0].value == 7


async def test_a_buffer_is_drained_again_and_again_until_the_exporter_is_shut_down() -> None:
    buffer, reader = MetricBuffer(10), InMemoryMetricReader()
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    counter = runtime.metric_meter.create_counter("counted")
    exporter = MetricsExporter(
        buffer, MeterProvider([reader]), poll_interval=timedelta(milliseconds=1)
    )
    running = asyncio.create_task(exporter.run())
    counter.add(1)

    async def is_recorded() -> bool:
        return reader.get_metrics_data() is not None

    await until(is_recorded)
    with pytest.raises(RuntimeError, match="runs already"):
        await exporter.run()
    counter.add(2)
    await exporter.shutdown()
    await running
    assert values(reader)["counted"][0].value == 3


async def test_a_buffer_needs_a_runtime() -> None:
    exporter = MetricsExporter(MetricBuffer(10), MeterProvider())
    with pytest.raises(RuntimeError, match="before runtime created"):
        await exporter.run()
    with pytest.raises(RuntimeError, match="before runtime created"):
        async with exporter:
            pass


class _Refusing(MeterProvider):
    """Makes no counters."""

    def get_meter(self, *args: Any, **kwargs: Any) -> Meter:
        meter = super().get_meter(*args, **kwargs)

        def refuse(*_: Any) -> Counter:
            raise ValueError("no counters")

        meter.create_counter = refuse  # type: ignore[assignment, method-assign]
        return meter


async def test_what_cannot_be_recorded_is_told(caplog: pytest.LogCaptureFixture) -> None:
    buffer, reader = MetricBuffer(10), InMemoryMetricReader()
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    told: list[str] = []

    def on_error(error: Exception) -> None:
        told.append(str(error))
        raise KeyError(error)

    with caplog.at_level(logging.ERROR, logger="perdure.contrib.opentelemetry"):
        async with MetricsExporter(buffer, _Refusing([reader]), on_error=on_error):
            runtime.metric_meter.create_counter("counted").add(1)
            runtime.metric_meter.create_gauge("level").set(2)
    assert told == ["no counters"]
    assert values(reader)["level"][0].value == 2
    assert "The metric counted cannot be recorded" in caplog.text
    assert "`on_error` failed" in caplog.text
