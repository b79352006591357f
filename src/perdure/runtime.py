"""What clients and workers of a process have in common: where their metrics go.

The SDK is Python all the way down, so its log records are Python's already: they are those of the
logger `perdure`. Where a program asks for them to be forwarded, another logger has them too.
"""

from __future__ import annotations

import logging
import threading
import uuid
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import ClassVar

from perdure._log_forwarding import ForwardingHandler, level_of
from perdure._metrics.buffer import (
    BUFFERED_METRIC_KIND_COUNTER,
    BUFFERED_METRIC_KIND_GAUGE,
    BUFFERED_METRIC_KIND_HISTOGRAM,
    BufferedMetric,
    BufferedMetricKind,
    BufferedMetricUpdate,
    MetricBuffer,
    MetricBufferDurationFormat,
)
from perdure._metrics.meter import Sink, SinkMeter
from perdure._metrics.requests import RequestMetrics
from perdure.common.metrics import MetricAttributes, MetricMeter

__all__ = [
    "BUFFERED_METRIC_KIND_COUNTER",
    "BUFFERED_METRIC_KIND_GAUGE",
    "BUFFERED_METRIC_KIND_HISTOGRAM",
    "BufferedMetric",
    "BufferedMetricKind",
    "BufferedMetricUpdate",
    "LogForwardingConfig",
    "LoggingConfig",
    "LoggingFormat",
    "MetricBuffer",
    "MetricBufferDurationFormat",
    "OpenTelemetryConfig",
    "OpenTelemetryMetricTemporality",
    "PrometheusConfig",
    "Runtime",
    "TelemetryConfig",
    "TelemetryFilter",
]

SERVICE_NAME = "temporal-core-sdk"
METRIC_PREFIX = "temporal_"
WORKER_HEARTBEAT_INTERVAL = timedelta(seconds=60)


@dataclass(frozen=True)
class TelemetryFilter:
    """Log levels of the SDK, and of everything else, as names."""

    core_level: str
    other_level: str

    def formatted(self) -> str:
        """As one string."""
        return f"{self.other_level},perdure={self.core_level}"


class LoggingFormat(Enum):
    """How a line of a log looks."""

    COMPACT = "compact"
    PRETTY = "pretty"
    JSON = "json"


@dataclass
class LogForwardingConfig:
    """Has a logger take the SDK's own records too, as long as the runtime lives.

    - `append_target_to_name`: whether they are named `LOGGER-TARGET`, where the target is the
      logger of the SDK's that they are from
    - `prepend_target_on_message`: whether their messages begin with `[TARGET]`
    - `append_log_fields_to_message`: whether their messages end with what else they tell
    - `overwrite_log_record_time`: accepted so that programs run unchanged; records have their own
      time

    Each record has a `temporal_log` with its `target`, `message`, `time`, `level` and `fields`, of
    which workflow it tells, for instance.
    """

    logger: logging.Logger
    append_target_to_name: bool = True
    prepend_target_on_message: bool = True
    overwrite_log_record_time: bool = True
    append_log_fields_to_message: bool = True


@dataclass(frozen=True)
class LoggingConfig:
    """Which of the SDK's own records are forwarded, and to whom; without `forwarding`, none.

    The logger `perdure` itself is configured as any other, and `format` is accepted so that
    programs run unchanged.
    """

    filter: TelemetryFilter | str
    forwarding: LogForwardingConfig | None = None
    format: LoggingFormat | None = None

    default: ClassVar[LoggingConfig]


LoggingConfig.default = LoggingConfig(
    filter=TelemetryFilter(core_level="WARN", other_level="ERROR")
)


@dataclass(frozen=True)
class PrometheusConfig:
    """Serves metrics to Prometheus, at `http://bind_address/metrics`.

    `histogram_bucket_overrides` has the upper bounds of the buckets of the histograms whose name
    contains the key.
    """

    bind_address: str
    counters_total_suffix: bool = False
    unit_suffix: bool = False
    durations_as_seconds: bool = False
    histogram_bucket_overrides: Mapping[str, Sequence[float]] | None = None


class OpenTelemetryMetricTemporality(Enum):
    """Whether sums are told since the beginning, or since they were told before."""

    CUMULATIVE = 1
    DELTA = 2


@dataclass(frozen=True)
class OpenTelemetryConfig:
    """Sends metrics to an OpenTelemetry collector. Needs `perdure[opentelemetry]`.

    - `url`: for gRPC such as `http://localhost:4317`; with `http`, such as
      `http://localhost:4318/v1/metrics`
    - `headers`: go along with each request
    - `metric_periodicity`: how often something is sent; every second without it
    - `histogram_bucket_overrides`: as of `PrometheusConfig`
    """

    url: str
    headers: Mapping[str, str] | None = None
    metric_periodicity: timedelta | None = None
    metric_temporality: OpenTelemetryMetricTemporality = OpenTelemetryMetricTemporality.CUMULATIVE
    durations_as_seconds: bool = False
    http: bool = False
    histogram_bucket_overrides: Mapping[str, Sequence[float]] | None = None


@dataclass(frozen=True)
class TelemetryConfig:
    """What is told of what the SDK does, and to whom.

    - `metrics`: where metrics go; nowhere without it
    - `global_tags`: attributes of all metrics
    - `attach_service_name`: whether all metrics have the attribute `service_name`
    - `metric_prefix`: how the names of the SDK's own metrics begin; `temporal_` without it
    """

    logging: LoggingConfig | None = LoggingConfig.default
    metrics: OpenTelemetryConfig | PrometheusConfig | MetricBuffer | None = None
    global_tags: Mapping[str, str] = field(default_factory=dict)
    attach_service_name: bool = True
    metric_prefix: str | None = None


class Runtime:
    """What the clients and workers that are given it have in common."""

    def __init__(
        self,
        *,
        telemetry: TelemetryConfig,
        worker_heartbeat_interval: timedelta | None = WORKER_HEARTBEAT_INTERVAL,
        disable_environment_info: bool = False,
    ) -> None:
        """Raises what the address of its metrics raises, and ValueError for a negative interval.

        Workers tell the service every `worker_heartbeat_interval` how they fare, None never; what
        they run on too, unless `disable_environment_info`.
        """
        if worker_heartbeat_interval is not None and worker_heartbeat_interval <= timedelta():
            raise ValueError("worker_heartbeat_interval must be positive")
        self._worker_heartbeat_interval = worker_heartbeat_interval
        self._tells_environment = not disable_environment_info
        self._grouping_key = str(uuid.uuid4())
        self._connected_in: int | None = None
        """The process in which a client has connected. gRPC does not survive a fork after that."""
        self._sink = _sink_of(telemetry)
        _forward(self, telemetry.logging)
        self._attributes: MetricAttributes = (
            {"service_name": SERVICE_NAME} if telemetry.attach_service_name else {}
        )
        self._meter = SinkMeter(self._sink, self._attributes)
        prefix = telemetry.metric_prefix
        self._metric_prefix = prefix = METRIC_PREFIX if prefix is None else prefix
        self._request_metrics = None if self._sink is None else RequestMetrics(self._meter, prefix)

    @classmethod
    def default(cls) -> Runtime:
        """The runtime of those that are given none; made when it is first wanted."""
        return _default.default()

    @classmethod
    def prevent_default(cls) -> None:
        """Has `default` fail until there is one by `set_default`. Raises RuntimeError when there
        is one already."""
        _default.prevent_default()

    @staticmethod
    def set_default(runtime: Runtime, *, error_if_already_set: bool = True) -> None:
        """Makes a runtime the default. Raises RuntimeError when there is one already."""
        _default.set_default(runtime, error_if_already_set=error_if_already_set)

    @property
    def metric_meter(self) -> MetricMeter:
        """The meter for metrics that belong to no workflow and no activity."""
        return self._meter


def _forward(runtime: Runtime, logging_: LoggingConfig | None) -> None:
    if logging_ is None or logging_.forwarding is None:
        return
    wanted = logging_.filter
    forwarding = logging_.forwarding
    handler = ForwardingHandler(
        forwarding.logger,
        level_of(wanted.core_level if isinstance(wanted, TelemetryFilter) else wanted),
        names_target=forwarding.append_target_to_name,
        tells_target=forwarding.prepend_target_on_message,
        tells_fields=forwarding.append_log_fields_to_message,
    )
    weakref.finalize(runtime, handler.attached())


def _sink_of(telemetry: TelemetryConfig) -> Sink | None:
    match telemetry.metrics:
        case MetricBuffer() as buffer:
            buffer.attach()
            return buffer
        case PrometheusConfig() as config:
            # It brings an HTTP server, which takes long to import.
            from perdure._metrics.prometheus import PrometheusSink

            return PrometheusSink(
                config.bind_address,
                global_tags=telemetry.global_tags,
                counters_total_suffix=config.counters_total_suffix,
                unit_suffix=config.unit_suffix,
                durations_as_seconds=config.durations_as_seconds,
                bound_overrides=config.histogram_bucket_overrides or {},
            )
        case OpenTelemetryConfig() as config:
            from perdure._metrics.opentelemetry import OpenTelemetrySink

            return OpenTelemetrySink(
                config.url,
                by_http=config.http,
                headers=config.headers or {},
                period=config.metric_periodicity,
                deltas=config.metric_temporality is OpenTelemetryMetricTemporality.DELTA,
                durations_as_seconds=config.durations_as_seconds,
                bound_overrides=config.histogram_bucket_overrides or {},
                global_tags=telemetry.global_tags,
                service_name=SERVICE_NAME,
            )
        case None:
            return None
    raise TypeError(f"metrics cannot go to {telemetry.metrics!r}")


class _RuntimeRef:
    """The default runtime, which there may not be yet."""

    def __init__(self) -> None:
        self._default_runtime: Runtime | None = None
        self._prevent_default = False
        self._lock = threading.Lock()

    def default(self) -> Runtime:
        """The default; made if there is none. Raises RuntimeError when that is not wanted."""
        with self._lock:
            if self._default_runtime is None:
                if self._prevent_default:
                    raise RuntimeError(
                        "Cannot create default Runtime after Runtime.prevent_default has been "
                        "called"
                    )
                self._default_runtime = Runtime(telemetry=TelemetryConfig())
            return self._default_runtime

    def prevent_default(self) -> None:
        """None is made any more. Raises RuntimeError when there is one already."""
        with self._lock:
            if self._default_runtime is not None:
                raise RuntimeError(
                    "Runtime.prevent_default called after default runtime has been created"
                )
            self._prevent_default = True

    def set_default(self, runtime: Runtime, *, error_if_already_set: bool = True) -> None:
        """This is it now. Raises RuntimeError when there is one already."""
        with self._lock:
            if self._default_runtime is not None and error_if_already_set:
                raise RuntimeError("Runtime default already set")
            self._default_runtime = runtime


_default = _RuntimeRef()
