"""`OpenTelemetryInterceptor`: contexts travel, and spans in workflows last as long as what they are
around. The tracer provider sees to it that each is told once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, get_tracer, get_tracer_provider
from opentelemetry.util.types import Attributes

from perdure import client, worker, workflow
from perdure.contrib.opentelemetry._calls import (
    TracingActivityInboundInterceptor,
    TracingClientOutboundInterceptor,
    TracingNexusOperationInboundInterceptor,
    recorded,
)
from perdure.contrib.opentelemetry._propagation import (
    DefaultPropagation,
    HasHeaders,
    attached,
    carrier_of,
    context_from,
    put_carrier,
    with_carrier,
)
from perdure.contrib.opentelemetry._tracer_provider import ReplaySafeTracerProvider
from perdure.contrib.opentelemetry._workflow_calls import TracingWorkflowOutboundInterceptor


class OpenTelemetryInterceptor(client.Interceptor, worker.Interceptor):
    """Has contexts travel; with `add_temporal_spans`, there are spans of all calls and handlers.

    The global tracer provider must be of `create_tracer_provider` when a worker is made.
    """

    def __init__(self, add_temporal_spans: bool = False) -> None:
        self._spans = _Spans(add_temporal_spans)

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:  # noqa: A002
        """For the client's calls."""
        return TracingClientOutboundInterceptor(next, self._spans)

    def intercept_activity(
        self,
        next: worker.ActivityInboundInterceptor,  # noqa: A002 -- the mirrored name
    ) -> worker.ActivityInboundInterceptor:
        """For attempts."""
        return TracingActivityInboundInterceptor(next, self._spans)

    def workflow_interceptor_class(
        self,
        input: worker.WorkflowInterceptorClassInput,  # noqa: A002 -- the mirrored name
    ) -> type[worker.WorkflowInboundInterceptor]:
        """For workflows. Raises ValueError for a provider that would tell of spans again."""
        del input
        if not isinstance(get_tracer_provider(), ReplaySafeTracerProvider):
            raise ValueError(
                "When using OpenTelemetryPlugin, the global trace provider must be a"
                " ReplaySafeTracerProvider. Use create_tracer_provider to create one."
            )
        spans = self._spans

        class WithSpans(_WorkflowInboundInterceptor):
            """The interceptor, which is made without arguments of ours, with these spans."""

            _spans = spans

        return WithSpans

    def intercept_nexus_operation(
        self,
        next: worker.NexusOperationInboundInterceptor,  # noqa: A002 -- the mirrored name
    ) -> worker.NexusOperationInboundInterceptor:
        """For handlers of Nexus operations."""
        return TracingNexusOperationInboundInterceptor(next, self._spans)


class _Spans(DefaultPropagation):
    """Spans where they are wanted; contexts travel in any case."""

    nexus_handlers_hand_on = False

    def __init__(self, wanted: bool) -> None:
        super().__init__()
        self._wanted = wanted

    @contextmanager
    def around(self, name: str, attributes: Attributes, kind: SpanKind) -> Iterator[None]:
        if not self._wanted:
            yield
            return
        with recorded(get_tracer(__name__), name, attributes, kind, None):
            yield

    @contextmanager
    def outgoing(self, name: str, attributes: Attributes, *calls: HasHeaders) -> Iterator[None]:
        with self.around(name, attributes, SpanKind.CLIENT):
            for call in calls:
                self.hand_on(call)
            yield

    @contextmanager
    def incoming(
        self, name: str, attributes: Attributes, context: Context | None
    ) -> Iterator[None]:
        with attached(context or Context()), self.around(name, attributes, SpanKind.SERVER):
            yield

    @contextmanager
    def calling(self, name: str, kind: SpanKind, call: HasHeaders) -> Iterator[None]:
        with self.around(name, _of_run(), kind):
            self.hand_on(call)
            yield

    @contextmanager
    def calling_nexus(
        self, name: str, call: worker.StartNexusOperationInput[Any, Any]
    ) -> Iterator[None]:
        with self.around(name, _of_run(), SpanKind.CLIENT):
            call.headers = with_carrier(call.headers, carrier_of(self))
            yield

    def hand_on(self, call: HasHeaders) -> None:
        put_carrier(self, carrier_of(self), call)

    @contextmanager
    def handling(self, name: str, call: HasHeaders) -> Iterator[None]:
        with self.incoming(name, _of_run(), context_from(self, call.headers)):
            yield


class _WorkflowInboundInterceptor(worker.WorkflowInboundInterceptor):
    _spans: _Spans

    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(TracingWorkflowOutboundInterceptor(outbound, self._spans))

    async def execute_workflow(self, input: worker.ExecuteWorkflowInput) -> Any:  # noqa: A002
        with self._spans.handling(f"RunWorkflow:{workflow.info().workflow_type}", input):
            return await super().execute_workflow(input)

    async def handle_signal(self, input: worker.HandleSignalInput) -> None:  # noqa: A002
        with self._spans.handling(f"HandleSignal:{input.signal}", input):
            await super().handle_signal(input)

    async def handle_query(self, input: worker.HandleQueryInput) -> Any:  # noqa: A002
        with self._spans.handling(f"HandleQuery:{input.query}", input):
            return await super().handle_query(input)

    def handle_update_validator(self, input: worker.HandleUpdateInput) -> None:  # noqa: A002
        with self._spans.handling(f"ValidateUpdate:{input.update}", input):
            super().handle_update_validator(input)

    async def handle_update_handler(self, input: worker.HandleUpdateInput) -> Any:  # noqa: A002
        with self._spans.handling(f"HandleUpdate:{input.update}", input):
            return await super().handle_update_handler(input)


def _of_run() -> dict[str, str]:
    info = workflow.info()
    return {"temporalWorkflowID": info.workflow_id, "temporalRunID": info.run_id}
