"""What workers count and measure, under the names of the official SDK."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import nexusrpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from perdure import activity, workflow
from perdure._metrics.opentelemetry import OpenTelemetrySink
from perdure.client import WorkflowFailureError
from perdure.common import RetryPolicy
from perdure.exceptions import ApplicationError
from perdure.runtime import (
    BufferedMetricUpdate,
    LogForwardingConfig,
    LoggingConfig,
    MetricBuffer,
    MetricBufferDurationFormat,
    OpenTelemetryConfig,
    OpenTelemetryMetricTemporality,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from perdure.testing import WorkflowEnvironment
from perdure.worker import Worker

# It makes loggers when it is imported, which no test is to leave behind.
importlib.import_module("requests")

LIMIT = timedelta(seconds=20)
ONCE = RetryPolicy(maximum_attempts=1)
QUICK = RetryPolicy(initial_interval=timedelta(milliseconds=1))
ENDPOINT = "measured"


@activity.defn
async def flaky() -> None:
    """Fails once."""
    if activity.info().attempt == 1:
        raise RuntimeError("not yet")


@nexusrpc.handler.service_handler(name="Echo")
class Echo:
    """Answers at once, or not at all."""

    @nexusrpc.handler.sync_operation
    async def echo(self, ctx: nexusrpc.handler.StartOperationContext, word: str) -> str:
        """The word."""
        del ctx
        if not word:
            raise nexusrpc.OperationError("nothing", state=nexusrpc.OperationErrorState.FAILED)
        return word


@workflow.defn
class Everything:
    """Does one of each."""

    @workflow.run
    async def run(self, again: bool) -> None:
        """Once more, as another run."""
        await workflow.execute_activity(flaky, start_to_close_timeout=LIMIT, retry_policy=QUICK)
        await workflow.execute_local_activity(
            flaky, start_to_close_timeout=LIMIT, retry_policy=QUICK
        )
        nexus: Any = workflow.create_nexus_client(service="Echo", endpoint=ENDPOINT)
        for word in ("hello", ""):
            try:
                await nexus.execute_operation("echo", word, output_type=str)
            except Exception as error:
                if word:
                    raise ApplicationError("an echo") from error
        if again:
            workflow.continue_as_new(False)


failing = True


@workflow.defn
class Fails:
    """Has its first task fail, and fails in its second."""

    @workflow.run
    async def run(self) -> None:
        """Fails."""
        global failing
        if failing:
            failing = False
            raise RuntimeError("a task fails")
        raise ApplicationError("over")


def total(updates: list[BufferedMetricUpdate], name: str, **attributes: str) -> float:
    """What a counter came to, of all values with these attributes."""
    return sum(
        update.value
        for update in updates
        if update.metric.name == f"temporal_{name}"
        and attributes.items() <= update.attributes.items()
    )


async def test_workers_count_and_time_what_they_do(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "perdure")
    buffer = MetricBuffer(100_000, MetricBufferDurationFormat.SECONDS)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    async with await WorkflowEnvironment.start_local(runtime=runtime) as environment:
        client = environment.client
        await environment.create_nexus_endpoint(ENDPOINT, "measured")
        async with Worker(
            client,
            task_queue="measured",
            workflows=[Everything, Fails],
            activities=[flaky],
            nexus_service_handlers=[Echo()],
            max_cached_workflows=1,
            max_concurrent_activities=7,
        ):
            await client.execute_workflow(
                Everything.run, True, id="everything", task_queue="measured"
            )
            with pytest.raises(WorkflowFailureError):
                await client.execute_workflow(
                    Fails.run, id="fails", task_queue="measured", retry_policy=ONCE
                )
    updates = list(buffer.retrieve_updates())
    counts = {
        "worker_start": 1,
        "workflow_completed": 1,
        "workflow_continue_as_new": 1,
        "workflow_failed": 1,
        "workflow_task_execution_failed": 1,
        "activity_task_received": 4,
        "activity_execution_failed": 2,
        "local_activity_total": 4,
        "local_activity_execution_failed": 2,
        "nexus_task_execution_failed": 2,
    }
    assert {name: total(updates, name) for name in counts} == counts
    assert total(updates, "workflow_failed", workflow_type="Fails") == 1
    assert total(updates, "activity_execution_failed", activity_type="flaky") == 2
    assert total(updates, "workflow_task_execution_failed", failure_reason="WorkflowError") == 1
    unsuccessful = "operation_unsuccessful"
    assert total(updates, "nexus_task_execution_failed", failure_reason=unsuccessful) == 2
    times = Counter(update.metric.name for update in updates if update.metric.unit == "s")
    expected = {
        "workflow_endtoend_latency": 3,
        "activity_execution_latency": 4,
        "activity_schedule_to_start_latency": 4,
        "activity_succeed_endtoend_latency": 2,
        "local_activity_execution_latency": 4,
        "local_activity_succeed_endtoend_latency": 2,
        "nexus_task_execution_latency": 4,
        "nexus_task_schedule_to_start_latency": 4,
        "nexus_task_endtoend_latency": 4,
    }
    assert {name: times[f"temporal_{name}"] for name in expected} == expected
    tasks = total(updates, "workflow_task_queue_poll_succeed")
    assert tasks >= times["temporal_workflow_task_execution_latency"] > 8
    hits = total(updates, "sticky_cache_hit") + total(updates, "sticky_cache_miss")
    assert hits > 0
    check_gauges(updates)


def check_gauges(updates: list[BufferedMetricUpdate]) -> None:
    """Places and polls go up and down, and end where they began."""
    last = {
        (update.metric.name, update.attributes.get("worker_type", "")): update.value
        for update in updates
        if "slots" in update.metric.name
    }
    assert last["temporal_worker_task_slots_used", "ActivityWorker"] == 0
    assert last["temporal_worker_task_slots_available", "ActivityWorker"] == 7
    kinds = {"WorkflowWorker", "ActivityWorker", "LocalActivityWorker", "NexusWorker"}
    assert {kind for _, kind in last} == kinds
    most: dict[str, float] = {}
    for update in updates:
        if update.metric.name == "temporal_num_pollers":
            kind = str(update.attributes["poller_type"])
            most[kind] = max(most.get(kind, 0), update.value)
            assert update.attributes["task_queue"] == "measured"
    assert set(most) == {"workflow_task", "sticky_workflow_task", "activity_task", "nexus_task"}
    assert min(most.values()) > 0


async def test_a_run_that_was_forgotten_is_replayed_and_timed() -> None:
    buffer = MetricBuffer(100_000)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer, metric_prefix="mine_"))
    async with (
        await WorkflowEnvironment.start_local(runtime=runtime) as environment,
        Worker(
            environment.client,
            task_queue="forgotten",
            workflows=[Waits],
            max_cached_workflows=0,
        ),
    ):
        handle = await environment.client.start_workflow(
            Waits.run, id="waits", task_queue="forgotten"
        )
        await handle.query(Waits.asked)
        await handle.signal(Waits.go_on)
        await handle.result()
    updates = list(buffer.retrieve_updates())
    replays = [one for one in updates if one.metric.name == "mine_workflow_task_replay_latency"]
    assert len(replays) == 2
    assert {one.metric.unit for one in replays} == {"ms"}
    assert not any(one.metric.name.startswith("temporal_") for one in updates)


@workflow.defn
class Waits:
    """Waits for a signal."""

    def __init__(self) -> None:
        self.told = False

    @workflow.run
    async def run(self) -> None:
        """Until it is told."""
        await workflow.wait_condition(lambda: self.told, timeout=LIMIT)

    @workflow.signal
    def go_on(self) -> None:
        """On."""
        self.told = True

    @workflow.query
    def asked(self) -> bool:
        """Whether it was told."""
        return self.told


class Collector:
    """Takes what is sent to a collector by HTTP."""

    def __init__(self) -> None:
        self.requests: list[ExportMetricsServiceRequest] = []
        self.headers: list[str | None] = []
        self.came = threading.Event()
        collector = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append(ExportMetricsServiceRequest.FromString(body))
                collector.headers.append(self.headers.get("x-key"))
                answer = ExportMetricsServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                collector.came.set()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1/metrics"

    def metrics(self) -> dict[str, Any]:
        """The newest of each name."""
        return {
            metric.name: metric
            for request in self.requests
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


@pytest.mark.parametrize("in_seconds", [False, True])
def test_a_collector_is_sent_sums_gauges_and_buckets(
    collector: Collector, in_seconds: bool
) -> None:
    runtime = Runtime(
        telemetry=TelemetryConfig(
            metrics=OpenTelemetryConfig(
                url=collector.url,
                http=True,
                headers={"x-key": "secret"},
                metric_periodicity=timedelta(milliseconds=20),
                metric_temporality=OpenTelemetryMetricTemporality.DELTA,
                durations_as_seconds=in_seconds,
                histogram_bucket_overrides={"mine": [1, 2]},
            ),
            global_tags={"zone": "west"},
        )
    )
    meter = runtime.metric_meter
    meter.create_counter("counter", "what it counts", "things").add(2, {"size": 1})
    meter.create_gauge_float("gauge").set(1.5)
    meter.create_histogram("mine").record(3)
    meter.create_histogram_timedelta("temporal_workflow_endtoend_latency", unit="duration").record(
        timedelta(seconds=3)
    )
    deadline = time.monotonic() + 20
    while len(collector.metrics()) < 4 and time.monotonic() < deadline:
        collector.came.wait(0.5)
        collector.came.clear()
    assert isinstance(runtime._sink, OpenTelemetrySink)
    runtime._sink.shutdown()
    metrics = collector.metrics()
    counter = metrics["counter"]
    assert (counter.description, counter.unit) == ("what it counts", "things")
    assert counter.sum.data_points[0].as_int == 2
    assert counter.sum.aggregation_temporality == 1
    attributes = {one.key: one.value for one in counter.sum.data_points[0].attributes}
    assert attributes["size"].int_value == 1
    assert metrics["gauge"].gauge.data_points[0].as_double == 1.5
    mine = metrics["mine"].histogram.data_points[0]
    assert (list(mine.explicit_bounds), list(mine.bucket_counts)) == ([1, 2], [0, 0, 1])
    latency = metrics["temporal_workflow_endtoend_latency"]
    assert latency.unit == ("s" if in_seconds else "ms")
    assert latency.histogram.data_points[0].sum == (3 if in_seconds else 3000)
    assert latency.histogram.data_points[0].explicit_bounds[0] == (0.1 if in_seconds else 100)
    told = collector.requests[0].resource_metrics[0].resource.attributes
    resource = {one.key: one.value.string_value for one in told}
    assert resource["zone"] == "west"
    assert resource["service.name"] == "temporal-core-sdk"
    assert collector.headers[0] == "secret"


def test_the_records_of_the_sdk_go_to_a_logger_that_wants_them_as_long_as_the_runtime_lives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mine = logging.getLogger("tests.forwarded")
    sdk = logging.getLogger("perdure.worker")
    caplog.set_level(logging.DEBUG, "perdure")
    with caplog.at_level(logging.DEBUG, "tests.forwarded"):
        runtime = Runtime(
            telemetry=TelemetryConfig(
                logging=LoggingConfig(
                    TelemetryFilter(core_level="WARN", other_level="ERROR"),
                    forwarding=LogForwardingConfig(mine),
                )
            )
        )
        sdk.info("not worth it")
        sdk.warning("worth %s", "it")
        sdk.warning("this", extra={"size": 3, "temporal_workflow": {"run_id": "run"}, "__id": 1})
        logging.getLogger("perdure.activity").warning("of the user's code")
        told = [record for record in caplog.records if record.name.startswith("tests.forwarded")]
        del runtime
        sdk.warning("nobody listens")
    again = [record for record in caplog.records if record.name.startswith("tests.forwarded")]
    assert [record.message for record in told] == [
        "[perdure.worker] worth it",
        "[perdure.worker] this {'size': 3, 'run_id': 'run'}",
    ]
    assert told[0].name == "tests.forwarded-perdure.worker"
    entry: Any = vars(told[1])["temporal_log"]
    assert (entry.target, entry.message, entry.level) == ("perdure.worker", "this", logging.WARNING)
    assert (entry.time, entry.fields) == (told[1].created, {"size": 3, "run_id": "run"})
    assert again == told


def test_a_filter_names_a_level() -> None:
    mine = logging.getLogger("tests.forwarded")
    for text in ("ERROR,perdure=INFO", "info"):
        Runtime(
            telemetry=TelemetryConfig(
                logging=LoggingConfig(text, forwarding=LogForwardingConfig(mine))
            )
        )
    with pytest.raises(ValueError, match="Invalid log level 'loud'"):
        Runtime(
            telemetry=TelemetryConfig(
                logging=LoggingConfig("loud", forwarding=LogForwardingConfig(mine))
            )
        )
