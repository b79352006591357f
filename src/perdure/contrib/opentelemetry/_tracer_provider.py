"""A tracer provider for workflow code: the same ids on replay, and each span told once.

A replayed span is made again, since later ones are its children; but it is never ended, and so
never told. Nor is one ended that a failing workflow task has left: the next attempt makes it anew.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    SpanLimits,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
)
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import (
    INVALID_SPAN_ID,
    INVALID_TRACE_ID,
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
    use_span,
)
from opentelemetry.util._decorator import _agnosticcontextmanager
from opentelemetry.util.types import Attributes, AttributeValue

from perdure import workflow
from perdure.contrib.opentelemetry._replaying import outside_guard, repeats

_RANDOM: Final = "_perdure_span_id_random"


class WorkflowIdGenerator(IdGenerator):
    """Draws ids in a workflow from its own randomness, so that they are the same on replay."""

    def __init__(self, outside: IdGenerator) -> None:
        """`outside` makes the ids that are not of workflows."""
        self._outside = outside

    def generate_span_id(self) -> int:
        """The id of a span."""
        return _drawn(64, INVALID_SPAN_ID) or self._outside.generate_span_id()

    def generate_trace_id(self) -> int:
        """The id of a trace."""
        return _drawn(128, INVALID_TRACE_ID) or self._outside.generate_trace_id()


def _drawn(bits: int, invalid: int) -> int | None:
    """A number that the running workflow draws; None outside, and where it may only look."""
    if not workflow.in_workflow() or workflow.unsafe.is_read_only():
        return None
    instance = workflow.instance()
    # A stream of its own: what the workflow draws does not depend on whether it is traced.
    stream: random.Random | None = getattr(instance, _RANDOM, None)
    if stream is None:
        stream = workflow.new_random()
        setattr(instance, _RANDOM, stream)
    drawn = invalid
    while drawn == invalid:
        drawn = stream.getrandbits(bits)
    return drawn


class ReplaySafeTracerProvider(TracerProvider):
    """A tracer provider for programs with workflows."""

    def __init__(
        self, tracer_provider: sdk.TracerProvider, id_generator: WorkflowIdGenerator
    ) -> None:
        """Raises ValueError when the provider has another id generator. `create_tracer_provider`
        makes one that has it."""
        if not isinstance(tracer_provider.id_generator, WorkflowIdGenerator):
            raise ValueError(
                "ReplaySafeTracerProvider should only be used with a provider whose ids are the"
                " same on replay. Use create_tracer_provider to create one."
            )
        self._tracer_provider = tracer_provider
        self._id_generator = id_generator

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Has a processor see all spans that end."""
        self._tracer_provider.add_span_processor(span_processor)

    def shutdown(self) -> None:
        """Ends the provider and its processors."""
        self._tracer_provider.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Whether all spans were exported in time."""
        return self._tracer_provider.force_flush(timeout_millis)

    def id_generator(self) -> WorkflowIdGenerator:
        """What makes the ids."""
        return self._id_generator

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        """A tracer for inside and outside of workflows."""
        return _ReplaySafeTracer(
            self._tracer_provider.get_tracer(
                instrumenting_module_name, instrumenting_library_version, schema_url, attributes
            )
        )


class _ReplaySafeTracer(Tracer):
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        if start_time is None and workflow.in_workflow() and repeats():
            start_time = workflow.time_ns()
        with outside_guard():
            span = self._tracer.start_span(
                name,
                context,
                kind,
                attributes,
                links,
                start_time,
                record_exception,
                set_status_on_exception,
            )
        return _ReplaySafeSpan(span)

    @_agnosticcontextmanager
    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> Iterator[Span]:
        span = self.start_span(name, context, kind, attributes, links, start_time)
        with use_span(
            span,
            end_on_exit=end_on_exit,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        ):
            yield span


class _ReplaySafeSpan(Span):
    """A span, which is not ended where it would be told again."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._exception: BaseException | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._span, name)

    def end(self, end_time: int | None = None) -> None:
        if workflow.in_workflow() and (repeats() or self._fails_task()):
            return
        with outside_guard():
            self._span.end(end_time)

    def get_span_context(self) -> SpanContext:
        return self._span.get_span_context()

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        self._span.set_attributes(attributes)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self._span.set_attribute(key, value)

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        with outside_guard():
            self._span.add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        self._span.add_link(context, attributes)

    def update_name(self, name: str) -> None:
        self._span.update_name(name)

    def is_recording(self) -> bool:
        return self._span.is_recording()

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self._span.set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        self._exception = exception
        with outside_guard():
            self._span.record_exception(exception, attributes, timestamp, escaped)

    def _fails_task(self) -> bool:
        return self._exception is not None and not workflow.is_failure_exception(self._exception)


def create_tracer_provider(
    sampler: Sampler | None = None,
    resource: Resource | None = None,
    shutdown_on_exit: bool = True,
    active_span_processor: (
        SynchronousMultiSpanProcessor | ConcurrentMultiSpanProcessor | None
    ) = None,
    id_generator: IdGenerator | None = None,
    span_limits: SpanLimits | None = None,
) -> ReplaySafeTracerProvider:
    """A tracer provider for programs with workflows; the arguments are OpenTelemetry's."""
    generator = WorkflowIdGenerator(id_generator or RandomIdGenerator())
    provider = sdk.TracerProvider(
        sampler=sampler,
        resource=resource,
        shutdown_on_exit=shutdown_on_exit,
        active_span_processor=active_span_processor,
        span_limits=span_limits,
        id_generator=generator,
    )
    return ReplaySafeTracerProvider(provider, generator)
