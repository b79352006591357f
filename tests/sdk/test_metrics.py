"""Metrics: what a meter takes, and where a runtime puts it."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from urllib.request import urlopen

import pytest

from perdure import activity, workflow
from perdure.common import MetricMeter
from perdure.runtime import (
    BUFFERED_METRIC_KIND_COUNTER,
    BUFFERED_METRIC_KIND_GAUGE,
    BUFFERED_METRIC_KIND_HISTOGRAM,
    MetricBuffer,
    MetricBufferDurationFormat,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    _RuntimeRef,
)
from perdure.service import RPCError
from perdure.testing import WorkflowEnvironment
from perdure.worker import Worker


def test_a_buffer_gives_out_what_was_recorded_once() -> None:
    buffer = MetricBuffer(10)
    with pytest.raises(RuntimeError, match="before runtime created"):
        buffer.retrieve_updates()
    meter = Runtime(telemetry=TelemetryConfig(metrics=buffer)).metric_meter
    counter = meter.create_counter("counter", "what it counts", "things")
    counter.add(2, {"size": 1})
    counter.with_additional_attributes({"color": "red"}).add(3)
    meter.create_gauge_float("gauge").set(1.5)
    meter.create_histogram_timedelta("histogram").record(timedelta(seconds=1.5))
    first, second, gauge, histogram = buffer.retrieve_updates()
    assert first.metric is second.metric
    assert (first.metric.description, first.metric.unit) == ("what it counts", "things")
    assert (first.value, second.value, gauge.value, histogram.value) == (2, 3, 1.5, 1500)
    assert first.attributes == {"service_name": "temporal-core-sdk", "size": 1}
    assert second.attributes == {"service_name": "temporal-core-sdk", "color": "red"}
    assert [update.metric.kind for update in (first, gauge, histogram)] == [
        BUFFERED_METRIC_KIND_COUNTER,
        BUFFERED_METRIC_KIND_GAUGE,
        BUFFERED_METRIC_KIND_HISTOGRAM,
    ]
    assert not buffer.retrieve_updates()


def test_a_buffer_drops_what_is_too_much_and_tells_seconds_when_asked() -> None:
    buffer = MetricBuffer(1, MetricBufferDurationFormat.SECONDS)
    meter = Runtime(telemetry=TelemetryConfig(metrics=buffer)).metric_meter
    for _ in range(2):
        meter.create_histogram_timedelta("histogram").record(timedelta(seconds=1.5))
    [update] = buffer.retrieve_updates()
    assert update.value == 1.5
    with pytest.raises(RuntimeError, match="already attached"):
        Runtime(telemetry=TelemetryConfig(metrics=buffer))


@pytest.mark.parametrize("meter", [MetricMeter.noop, Runtime.default().metric_meter])
def test_a_meter_refuses_what_is_no_value(meter: MetricMeter) -> None:
    counter = meter.create_counter("counter")
    counter.add(0, {"yes": True, "half": 0.5})
    with pytest.raises(ValueError, match="cannot be negative"):
        counter.add(-1)
    with pytest.raises(ValueError, match="cannot be negative"):
        meter.create_histogram_timedelta("histogram").record(timedelta(seconds=-1))
    with pytest.raises(TypeError, match="Invalid value type for key bad"):
        meter.with_additional_attributes({"bad": None})  # type: ignore[dict-item]


def test_prometheus_reads_sums_and_buckets() -> None:
    address = _free_address()
    runtime = Runtime(
        telemetry=TelemetryConfig(
            metrics=PrometheusConfig(
                address,
                counters_total_suffix=True,
                unit_suffix=True,
                durations_as_seconds=True,
                histogram_bucket_overrides={"sizes": [1, 2.5]},
            ),
            global_tags={"where": 'a "home"'},
            attach_service_name=False,
        )
    )
    meter = runtime.metric_meter
    for value in (1, 2):
        meter.create_counter("eggs-laid", "Eggs,\nlaid.").add(value, {"is-fresh": True})
        meter.create_histogram("sizes").record(value)
        meter.create_gauge("nests").set(value)
    meter.create_histogram_timedelta("brooding").record(timedelta(seconds=0.2))
    tags = 'where="a \\"home\\""'
    assert _scrape(address).splitlines() == [
        "# HELP brooding_seconds brooding_seconds",
        "# TYPE brooding_seconds histogram",
        f'brooding_seconds_bucket{{{tags},le="0.05"}} 0',
        f'brooding_seconds_bucket{{{tags},le="0.1"}} 0',
        f'brooding_seconds_bucket{{{tags},le="0.5"}} 1',
        f'brooding_seconds_bucket{{{tags},le="1"}} 1',
        f'brooding_seconds_bucket{{{tags},le="2.5"}} 1',
        f'brooding_seconds_bucket{{{tags},le="10"}} 1',
        f'brooding_seconds_bucket{{{tags},le="+Inf"}} 1',
        f"brooding_seconds_sum{{{tags}}} 0.2",
        f"brooding_seconds_count{{{tags}}} 1",
        r"# HELP eggs_laid_total Eggs,\nlaid.",
        "# TYPE eggs_laid_total counter",
        f'eggs_laid_total{{is_fresh="true",{tags}}} 3',
        "# HELP nests nests",
        "# TYPE nests gauge",
        f"nests{{{tags}}} 2",
        "# HELP sizes sizes",
        "# TYPE sizes histogram",
        f'sizes_bucket{{{tags},le="1"}} 1',
        f'sizes_bucket{{{tags},le="2.5"}} 2',
        f'sizes_bucket{{{tags},le="+Inf"}} 2',
        f"sizes_sum{{{tags}}} 3",
        f"sizes_count{{{tags}}} 2",
    ]


def test_an_address_must_be_one() -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig("nowhere")))


def test_there_is_one_default_runtime() -> None:
    reference = _RuntimeRef()
    assert reference.default() is reference.default()
    with pytest.raises(RuntimeError, match="already set"):
        reference.set_default(Runtime.default())
    reference.set_default(Runtime.default(), error_if_already_set=False)
    assert reference.default() is Runtime.default()
    with pytest.raises(RuntimeError, match="after default runtime"):
        reference.prevent_default()


def test_a_default_runtime_can_be_prevented() -> None:
    reference = _RuntimeRef()
    reference.prevent_default()
    with pytest.raises(RuntimeError, match="Cannot create default Runtime"):
        reference.default()


@activity.defn
async def count_one() -> None:
    activity.metric_meter().create_counter("activities").add(1)


@workflow.defn
class Counting:
    @workflow.run
    async def run(self) -> None:
        workflow.metric_meter().create_counter("runs").add(1)
        await workflow.execute_activity(count_one, start_to_close_timeout=timedelta(seconds=5))
        await asyncio.sleep(0.001)
        workflow.metric_meter().create_counter("ends").add(1)


async def test_workflows_count_once_although_they_are_replayed() -> None:
    buffer = MetricBuffer(1000)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    async with (
        await WorkflowEnvironment.start_local(runtime=runtime) as environment,
        Worker(
            environment.client,
            task_queue="tests",
            workflows=[Counting],
            activities=[count_one],
            max_cached_workflows=0,
        ),
    ):
        await environment.client.execute_workflow(Counting.run, id="counting", task_queue="tests")
    mine = [
        update
        for update in buffer.retrieve_updates()
        if update.metric.name in ("runs", "activities", "ends")
    ]
    common = {
        "service_name": "temporal-core-sdk",
        "namespace": "default",
        "task_queue": "tests",
    }
    assert [(update.metric.name, update.value, update.attributes) for update in mine] == [
        ("runs", 1, {**common, "workflow_type": "Counting"}),
        ("activities", 1, {**common, "activity_type": "count_one"}),
        ("ends", 1, {**common, "workflow_type": "Counting"}),
    ]


async def test_calls_to_the_service_are_counted_and_timed() -> None:
    address = _free_address()
    runtime = Runtime(
        telemetry=TelemetryConfig(metrics=PrometheusConfig(address), metric_prefix="own_")
    )
    async with (
        await WorkflowEnvironment.start_local(runtime=runtime) as environment,
        Worker(
            environment.client, task_queue="tests", workflows=[Counting], activities=[count_one]
        ),
    ):
        await environment.client.execute_workflow(Counting.run, id="counting", task_queue="tests")
        with pytest.raises(RPCError):
            await environment.client.get_workflow_handle("nobody").describe()
        text = await asyncio.to_thread(_scrape, address)
    lines = text.splitlines()
    labels = 'service_name="temporal-core-sdk",operation="StartWorkflowExecution"'
    assert f'own_request{{{labels},namespace="default"}} 1' in lines
    assert f'own_request_latency_count{{{labels},namespace="default"}} 1' in lines
    assert any(
        line.startswith("own_long_request{") and "PollWorkflowTaskQueue" in line for line in lines
    )
    described = 'operation="DescribeWorkflowExecution",namespace="default"'
    assert (
        f'own_request_failure{{service_name="temporal-core-sdk",{described},'
        'status_code="NOT_FOUND"} 1'
    ) in lines


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _scrape(address: str) -> str:
    with urlopen(f"http://{address}/metrics") as answer:
        text: str = answer.read().decode()
        return text
