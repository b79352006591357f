"""Points in time for what a workflow does, told once: not when it replays.

A span that is open cannot move with its workflow to another worker, so each ends when it begins,
and only its context goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import opentelemetry.context
import opentelemetry.trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import INVALID_SPAN, SpanKind
from opentelemetry.util.types import Attributes

from perdure import workflow
from perdure.contrib.opentelemetry._propagation import (
    HEADER_KEY,
    Carrier,
    HasHeaders,
    attached,
    carrier_from,
    carrier_of,
    default_text_map_propagator,
    put_carrier,
    with_carrier,
)
from perdure.contrib.opentelemetry._workflow_calls import TracingWorkflowOutboundInterceptor
from perdure.converter import PayloadConverter
from perdure.exceptions import FailureError
from perdure.worker import (
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
    HandleUpdateInput,
    StartNexusOperationInput,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)

COMPLETED_SPAN = "__perdure_opentelemetry_completed_span"
"""The function outside the workflow that tells of what it did."""

_INTERCEPTOR = opentelemetry.context.create_key("perdure_workflow_interceptor")


@dataclass(frozen=True)
class CompletedSpan:
    """What is told of something a workflow did."""

    context: Carrier
    name: str
    attributes: Attributes
    time_ns: int
    link: Carrier | None
    exception: BaseException | None
    kind: SpanKind
    parent_missing: bool


class TracingWorkflowInboundInterceptor(WorkflowInboundInterceptor):
    """Spans of one run. See `TracingInterceptor` on what a subclass may set."""

    def __init__(self, next: WorkflowInboundInterceptor) -> None:  # noqa: A002 -- the mirrored name
        super().__init__(next)
        self._tell = cast(
            Callable[[CompletedSpan], Carrier | None], workflow.extern_functions()[COMPLETED_SPAN]
        )
        self.header_key: str = HEADER_KEY
        self.text_map_propagator: TextMapPropagator = default_text_map_propagator
        self.payload_converter: PayloadConverter = PayloadConverter.default
        self._started_by: Carrier | None = None

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """Spans of the run's calls too."""
        super().init(TracingWorkflowOutboundInterceptor(outbound, self))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        """Runs the workflow."""
        with self._within_run(ends_run=True):
            self.completed_span(
                f"RunWorkflow:{workflow.info().workflow_type}", kind=SpanKind.SERVER
            )
            return await super().execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        """Handles a signal."""
        with self._handling(f"HandleSignal:{input.signal}", input):
            await super().handle_signal(input)

    async def handle_query(self, input: HandleQueryInput) -> Any:  # noqa: A002
        """Answers a query, in the context of who asks: it is no part of the run."""
        asked_in = carrier_from(self, input.headers)
        context = Context() if asked_in is None else self.text_map_propagator.extract(asked_in)
        with attached(self._marked(context)):
            self.completed_span(
                f"HandleQuery:{input.query}",
                link=None if asked_in is None else self._run_carrier(),
                kind=SpanKind.SERVER,
                also_in_replay=True,
            )
            return await super().handle_query(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:  # noqa: A002
        """Validates an update."""
        with self._handling(f"ValidateUpdate:{input.update}", input):
            super().handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002
        """Handles an update."""
        with self._handling(f"HandleUpdate:{input.update}", input):
            return await super().handle_update_handler(input)

    def calling(self, name: str, kind: SpanKind, call: HasHeaders) -> AbstractContextManager[None]:
        """Tells of a call of the run, which takes the context of that along."""
        put_carrier(self, self.completed_span(name, kind=kind), call)
        return nullcontext()

    def calling_nexus(
        self, name: str, call: StartNexusOperationInput[Any, Any]
    ) -> AbstractContextManager[None]:
        """Tells of the call of a Nexus operation."""
        call.headers = with_carrier(call.headers, self.completed_span(name, kind=SpanKind.CLIENT))
        return nullcontext()

    def hand_on(self, call: HasHeaders) -> None:
        """Have a call take the current context along."""
        put_carrier(self, carrier_of(self), call)

    def completed_span(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        link: Carrier | None = None,
        attributes: Attributes = None,
        exception: BaseException | None = None,
        also_in_replay: bool = False,
    ) -> Carrier | None:
        """Tells of something that the run did now; its context, unless nothing was told."""
        if workflow.unsafe.is_replaying() and not also_in_replay:
            return None
        info = workflow.info()
        told = CompletedSpan(
            context=carrier_of(self),
            name=name,
            attributes={
                "temporalWorkflowID": info.workflow_id,
                "temporalRunID": info.run_id,
                **(attributes or {}),
            },
            time_ns=workflow.time_ns(),
            link=link,
            exception=exception,
            kind=kind,
            parent_missing=opentelemetry.trace.get_current_span() is INVALID_SPAN,
        )
        # Tracers draw ids, and exporters may do what they like.
        with workflow.unsafe.sandbox_unrestricted():
            return self._tell(told)

    @contextmanager
    def _handling(self, name: str, call: HasHeaders) -> Iterator[None]:
        with self._within_run(ends_run=False):
            link = carrier_from(self, call.headers)
            self.completed_span(name, link=link, kind=SpanKind.SERVER)
            yield

    @contextmanager
    def _within_run(self, *, ends_run: bool) -> Iterator[None]:
        """The context that the run was started in; tells how the run ends, if it does."""
        carrier = self._run_carrier()
        context = Context() if carrier is None else self.text_map_propagator.extract(carrier)
        name = f"CompleteWorkflow:{workflow.info().workflow_type}"
        with attached(self._marked(context)):
            try:
                yield
            except FailureError as error:
                # Nothing else fails a run.
                self.completed_span(name, exception=error)
                raise
            if ends_run:
                self.completed_span(name)

    def _run_carrier(self) -> Carrier | None:
        if self._started_by is None:
            self._started_by = carrier_from(self, workflow.info().headers)
        return self._started_by

    def _marked(self, context: Context) -> Context:
        return opentelemetry.context.set_value(_INTERCEPTOR, self, context)


def current_interceptor() -> TracingWorkflowInboundInterceptor | None:
    """The interceptor of the running code, if a `TracingInterceptor` traces it."""
    found = opentelemetry.context.get_value(_INTERCEPTOR)
    return found if isinstance(found, TracingWorkflowInboundInterceptor) else None
