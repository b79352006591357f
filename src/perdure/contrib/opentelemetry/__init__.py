"""Traces of clients, workflows, activities and Nexus operations, by OpenTelemetry.

    client = await Client.connect("localhost:7233", plugins=[OpenTelemetryPlugin()])

Two kinds of spans in workflows can be had:

- `OpenTelemetryPlugin` lets workflow code make spans of its own, by OpenTelemetry's own functions,
  which last as long as what they are around. The tracer provider must be of
  `create_tracer_provider`: it gives spans the same ids on replay, and tells of each once.
- `TracingInterceptor` works with any tracer. Its spans in workflows are points in time, since one
  that is open cannot move to another worker; `workflow.completed_span` makes one more.

What libraries record and log in workflow code by OpenTelemetry's own functions is told once, where
the program's providers are in a `ReplaySafeMeterProvider` and a `ReplaySafeLoggerProvider`; and a
`MetricsExporter` records the SDK's own metrics on a meter provider of the program.

Needs `perdure[opentelemetry]`.
"""

from __future__ import annotations

from perdure.contrib.opentelemetry._interceptor import OpenTelemetryInterceptor
from perdure.contrib.opentelemetry._logger_provider import ReplaySafeLoggerProvider
from perdure.contrib.opentelemetry._meter_provider import ReplaySafeMeterProvider
from perdure.contrib.opentelemetry._metrics_exporter import MetricsExporter
from perdure.contrib.opentelemetry._plugin import OpenTelemetryPlugin
from perdure.contrib.opentelemetry._tracer_provider import (
    ReplaySafeTracerProvider,
    create_tracer_provider,
)
from perdure.contrib.opentelemetry._tracing import TracingInterceptor
from perdure.contrib.opentelemetry._tracing_workflow import TracingWorkflowInboundInterceptor

__all__ = [
    "MetricsExporter",
    "OpenTelemetryInterceptor",
    "OpenTelemetryPlugin",
    "ReplaySafeLoggerProvider",
    "ReplaySafeMeterProvider",
    "ReplaySafeTracerProvider",
    "TracingInterceptor",
    "TracingWorkflowInboundInterceptor",
    "create_tracer_provider",
]
