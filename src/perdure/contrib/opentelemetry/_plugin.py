"""The plugin: all that is needed for traces, but the tracer provider."""

from __future__ import annotations

from perdure.contrib.opentelemetry._interceptor import OpenTelemetryInterceptor
from perdure.plugin import SimplePlugin


class OpenTelemetryPlugin(SimplePlugin):
    """Has contexts travel between clients, workflows, activities and Nexus operations.

    With `add_temporal_spans`, there are spans of all calls and handlers, besides those that the
    program makes. The global tracer provider must be of `create_tracer_provider`.
    """

    def __init__(self, *, add_temporal_spans: bool = False) -> None:
        super().__init__(
            "OpenTelemetryPlugin", interceptors=[OpenTelemetryInterceptor(add_temporal_spans)]
        )
