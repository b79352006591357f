"""`TracingInterceptor`: traces by any tracer, with points in time for what workflows do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import opentelemetry.trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind, Tracer
from opentelemetry.util.types import Attributes

from perdure import client, worker
from perdure.contrib.opentelemetry._calls import (
    TracingActivityInboundInterceptor,
    TracingClientOutboundInterceptor,
    TracingNexusOperationInboundInterceptor,
    recorded,
)
from perdure.contrib.opentelemetry._propagation import (
    HEADER_KEY,
    Carrier,
    HasHeaders,
    attached,
    carrier_of,
    default_text_map_propagator,
    put_carrier,
)
from perdure.contrib.opentelemetry._tracing_workflow import (
    COMPLETED_SPAN,
    CompletedSpan,
    TracingWorkflowInboundInterceptor,
)
from perdure.converter import PayloadConverter


class TracingInterceptor(client.Interceptor, worker.Interceptor):
    """Spans of clients, workers and workflows. Given to a client, its workers use it too.

    To change the header, the propagator or the payload converter, set them in a subclass, and in
    one of `TracingWorkflowInboundInterceptor`, which `workflow_interceptor_class` then returns.
    """

    nexus_handlers_hand_on = True

    def __init__(
        self, tracer: Tracer | None = None, *, always_create_workflow_spans: bool = False
    ) -> None:
        """Without a tracer, that of the global provider.

        Workflows that no span led to have spans only with `always_create_workflow_spans`; on
        another worker they may then have no parent.
        """
        self.tracer = tracer or opentelemetry.trace.get_tracer(__name__)
        self.header_key: str = HEADER_KEY
        self.text_map_propagator: TextMapPropagator = default_text_map_propagator
        self.payload_converter: PayloadConverter = PayloadConverter.default
        self._always_create_workflow_spans = always_create_workflow_spans

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:  # noqa: A002
        """Spans of the client's calls."""
        return TracingClientOutboundInterceptor(next, self)

    def intercept_activity(
        self,
        next: worker.ActivityInboundInterceptor,  # noqa: A002 -- the mirrored name
    ) -> worker.ActivityInboundInterceptor:
        """Spans of attempts."""
        return TracingActivityInboundInterceptor(next, self)

    def workflow_interceptor_class(
        self,
        input: worker.WorkflowInterceptorClassInput,  # noqa: A002 -- the mirrored name
    ) -> type[TracingWorkflowInboundInterceptor]:
        """Spans of workflows."""
        input.unsafe_extern_functions[COMPLETED_SPAN] = self._completed_span
        return TracingWorkflowInboundInterceptor

    def intercept_nexus_operation(
        self,
        next: worker.NexusOperationInboundInterceptor,  # noqa: A002 -- the mirrored name
    ) -> worker.NexusOperationInboundInterceptor:
        """Spans of handlers of Nexus operations."""
        return TracingNexusOperationInboundInterceptor(next, self)

    @contextmanager
    def outgoing(self, name: str, attributes: Attributes, *calls: HasHeaders) -> Iterator[None]:
        """A span around calls, which take it along."""
        with recorded(self.tracer, name, attributes, SpanKind.CLIENT, None):
            carrier = carrier_of(self)
            for call in calls:
                put_carrier(self, carrier, call)
            yield

    @contextmanager
    def incoming(
        self, name: str, attributes: Attributes, context: Context | None
    ) -> Iterator[None]:
        """A span around what a call has led to."""
        with (
            attached(context),
            recorded(self.tracer, name, attributes, SpanKind.SERVER, context),
        ):
            yield

    def _completed_span(self, wanted: CompletedSpan) -> Carrier | None:
        """Tells of something a workflow did, and returns the context of that; None: not wanted."""
        if wanted.parent_missing and not self._always_create_workflow_spans:
            return None
        context = self.text_map_propagator.extract(wanted.context)
        span = self.tracer.start_span(
            wanted.name,
            context,
            attributes=wanted.attributes,
            links=self._links_to(wanted.link),
            start_time=wanted.time_ns,
            kind=wanted.kind,
        )
        if wanted.exception is not None:
            span.record_exception(wanted.exception)
        span.end(end_time=wanted.time_ns)
        return carrier_of(self, opentelemetry.trace.set_span_in_context(span, context))

    def _links_to(self, carrier: Carrier | None) -> list[Link]:
        if carrier is None:
            return []
        span = opentelemetry.trace.get_current_span(self.text_map_propagator.extract(carrier))
        return [] if span is INVALID_SPAN else [Link(span.get_span_context())]
