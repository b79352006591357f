"""Spans of what is outside workflows: calls of clients, attempts of activities, Nexus handlers.

Which spans there are and what they are called is said here, once; `Spans` makes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import Attributes

from perdure import activity
from perdure.client import (
    ActivityHandle,
    OutboundInterceptor,
    QueryWorkflowInput,
    SignalWorkflowInput,
    StartActivityInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    StartWorkflowUpdateWithStartInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from perdure.contrib.opentelemetry._propagation import (
    HasHeaders,
    Propagating,
    carrier_of,
    context_from,
    with_carrier,
)
from perdure.exceptions import ApplicationError, ApplicationErrorCategory
from perdure.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteNexusOperationCancelInput,
    ExecuteNexusOperationStartInput,
    NexusOperationInboundInterceptor,
)

if TYPE_CHECKING:
    from nexusrpc.handler import StartOperationResultAsync, StartOperationResultSync


class Spans(Propagating, Protocol):
    """Makes the spans of one interceptor."""

    nexus_handlers_hand_on: bool
    """Whether the handler of a Nexus operation finds its own span in its headers."""

    def outgoing(
        self, name: str, attributes: Attributes, *calls: HasHeaders
    ) -> AbstractContextManager[None]:
        """Around a call, or several that are made as one; they take the context along."""

    def incoming(
        self, name: str, attributes: Attributes, context: Context | None
    ) -> AbstractContextManager[None]:
        """Around what a call has led to; None: it brought no context."""


@contextmanager
def recorded(
    tracer: Tracer, name: str, attributes: Attributes, kind: SpanKind, context: Context | None
) -> Iterator[None]:
    """A span that tells how what is inside has failed, unless such failures are nothing bad."""
    with tracer.start_as_current_span(
        name, attributes=attributes, kind=kind, context=context, set_status_on_exception=False
    ) as span:
        try:
            yield
        except Exception as error:
            benign = (
                isinstance(error, ApplicationError)
                and error.category is ApplicationErrorCategory.BENIGN
            )
            if not benign:
                span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
            raise


class TracingClientOutboundInterceptor(OutboundInterceptor):
    """A span around each call of a client that reaches a worker."""

    def __init__(self, next: OutboundInterceptor, spans: Spans) -> None:  # noqa: A002 -- mirrored
        super().__init__(next)
        self._spans = spans

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        """Starts a workflow, perhaps with a signal."""
        what = "SignalWithStartWorkflow" if input.start_signal else "StartWorkflow"
        with self._spans.outgoing(f"{what}:{input.workflow}", _of_workflow(input.id), input):
            return await super().start_workflow(input)

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002
        """Asks a workflow."""
        with self._spans.outgoing(f"QueryWorkflow:{input.query}", _of_workflow(input.id), input):
            return await super().query_workflow(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:  # noqa: A002
        """Signals a workflow."""
        with self._spans.outgoing(f"SignalWorkflow:{input.signal}", _of_workflow(input.id), input):
            await super().signal_workflow(input)

    async def start_workflow_update(
        self,
        input: StartWorkflowUpdateInput,  # noqa: A002 -- the mirrored name
    ) -> WorkflowUpdateHandle[Any]:
        """Updates a workflow."""
        name = f"StartWorkflowUpdate:{input.update}"
        with self._spans.outgoing(name, _of_workflow(input.id), input):
            return await super().start_workflow_update(input)

    async def start_update_with_start_workflow(
        self,
        input: StartWorkflowUpdateWithStartInput,  # noqa: A002 -- the mirrored name
    ) -> WorkflowUpdateHandle[Any]:
        """Updates a workflow, which it starts first if need be."""
        start, update = input.start_workflow_input, input.update_workflow_input
        attributes = _of_workflow(start.id)
        if update.update_id is not None:
            attributes["temporalUpdateID"] = update.update_id
        name = f"StartUpdateWithStartWorkflow:{start.workflow}"
        with self._spans.outgoing(name, attributes, start, update):
            return await super().start_update_with_start_workflow(input)

    async def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        """Starts an activity without a workflow."""
        attributes = {
            "temporalActivityID": input.id,
            "temporalActivityType": input.activity_type,
        }
        with self._spans.outgoing(f"StartActivity:{input.activity_type}", attributes, input):
            return await super().start_activity(input)


class TracingActivityInboundInterceptor(ActivityInboundInterceptor):
    """A span around each attempt of an activity."""

    def __init__(self, next: ActivityInboundInterceptor, spans: Spans) -> None:  # noqa: A002
        super().__init__(next)
        self._spans = spans

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        """Runs the activity."""
        info = activity.info()
        attributes = {"temporalActivityID": info.activity_id}
        if info.workflow_id:
            attributes["temporalWorkflowID"] = info.workflow_id
        if info.workflow_run_id:
            attributes["temporalRunID"] = info.workflow_run_id
        context = context_from(self._spans, input.headers)
        with self._spans.incoming(f"RunActivity:{info.activity_type}", attributes, context):
            return await super().execute_activity(input)


class TracingNexusOperationInboundInterceptor(NexusOperationInboundInterceptor):
    """A span around each call of a handler of a Nexus operation."""

    def __init__(self, next: NexusOperationInboundInterceptor, spans: Spans) -> None:  # noqa: A002
        super().__init__(next)
        self._spans = spans

    async def execute_nexus_operation_start(
        self,
        input: ExecuteNexusOperationStartInput,  # noqa: A002 -- the mirrored name
    ) -> StartOperationResultSync[Any] | StartOperationResultAsync:
        """Starts the operation."""
        with self._handling("RunStartNexusOperationHandler", input.ctx):
            input.ctx = dataclasses.replace(input.ctx, headers=self._headers_of(input.ctx))
            return await self.next.execute_nexus_operation_start(input)

    async def execute_nexus_operation_cancel(
        self,
        input: ExecuteNexusOperationCancelInput,  # noqa: A002 -- the mirrored name
    ) -> None:
        """Cancels the operation."""
        with self._handling("RunCancelNexusOperationHandler", input.ctx):
            input.ctx = dataclasses.replace(input.ctx, headers=self._headers_of(input.ctx))
            await self.next.execute_nexus_operation_cancel(input)

    def _handling(self, what: str, context: Any) -> AbstractContextManager[None]:
        name = f"{what}:{context.service}/{context.operation}"
        parent = self._spans.text_map_propagator.extract(context.headers)
        return self._spans.incoming(name, {}, parent)

    def _headers_of(self, context: Any) -> Mapping[str, str]:
        headers: Mapping[str, str] = context.headers
        if not self._spans.nexus_handlers_hand_on:
            return headers
        return with_carrier(headers, carrier_of(self._spans))


def _of_workflow(workflow_id: str) -> dict[str, str]:
    return {"temporalWorkflowID": workflow_id}
