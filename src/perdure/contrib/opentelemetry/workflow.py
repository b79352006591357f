"""Spans of workflow code, where a `TracingInterceptor` traces it."""

from __future__ import annotations

import warnings

from opentelemetry.trace import get_tracer
from opentelemetry.util.types import Attributes

from perdure.contrib.opentelemetry._tracing_workflow import current_interceptor


def completed_span(
    name: str, *, attributes: Attributes = None, exception: Exception | None = None
) -> None:
    """A span that ends when it begins; none while the workflow replays, or when nothing traces it.

    With `OpenTelemetryPlugin`, OpenTelemetry's own functions do better.
    """
    interceptor = current_interceptor()
    if interceptor is not None:
        interceptor.completed_span(name, attributes=attributes, exception=exception)
        return
    warnings.warn(
        "With OpenTelemetryPlugin, make spans by opentelemetry.trace.get_tracer().",
        DeprecationWarning,
        stacklevel=2,
    )
    span = get_tracer(__name__).start_span(name, attributes=attributes)
    if exception is not None:
        span.record_exception(exception)
    span.end()
