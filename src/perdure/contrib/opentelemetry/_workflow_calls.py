"""Spans of the calls that workflows make: which there are and what they are called.

`CallSpans` makes them, as an interceptor for workflows does.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NoReturn, Protocol

from opentelemetry.trace import SpanKind

from perdure.contrib.opentelemetry._propagation import HasHeaders, Propagating
from perdure.worker import (
    ContinueAsNewInput,
    SignalChildWorkflowInput,
    SignalExternalWorkflowInput,
    StartActivityInput,
    StartChildWorkflowInput,
    StartLocalActivityInput,
    StartNexusOperationInput,
    WorkflowOutboundInterceptor,
)
from perdure.workflow import ActivityHandle, ChildWorkflowHandle, NexusOperationHandle


class CallSpans(Propagating, Protocol):
    """Makes the spans of a workflow's calls."""

    def calling(self, name: str, kind: SpanKind, call: HasHeaders) -> AbstractContextManager[None]:
        """Around a call, which takes the context along."""

    def calling_nexus(
        self, name: str, call: StartNexusOperationInput[Any, Any]
    ) -> AbstractContextManager[None]:
        """Around the call of a Nexus operation, which takes the context along."""

    def hand_on(self, call: HasHeaders) -> None:
        """Have a call take the context along, without a span of its own."""


class TracingWorkflowOutboundInterceptor(WorkflowOutboundInterceptor):
    """A span for each call of a workflow that reaches a worker."""

    def __init__(self, next: WorkflowOutboundInterceptor, spans: CallSpans) -> None:  # noqa: A002
        super().__init__(next)
        self._spans = spans

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002
        """Goes on as a new run, in the same context."""
        self._spans.hand_on(input)
        super().continue_as_new(input)

    async def signal_child_workflow(self, input: SignalChildWorkflowInput) -> None:  # noqa: A002
        """Signals a child."""
        name = f"SignalChildWorkflow:{input.signal}"
        with self._spans.calling(name, SpanKind.SERVER, input):
            await super().signal_child_workflow(input)

    async def signal_external_workflow(self, input: SignalExternalWorkflowInput) -> None:  # noqa: A002
        """Signals another workflow."""
        name = f"SignalExternalWorkflow:{input.signal}"
        with self._spans.calling(name, SpanKind.CLIENT, input):
            await super().signal_external_workflow(input)

    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        """Starts an activity."""
        with self._spans.calling(f"StartActivity:{input.activity}", SpanKind.CLIENT, input):
            return super().start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        """Starts a local activity."""
        with self._spans.calling(f"StartActivity:{input.activity}", SpanKind.CLIENT, input):
            return super().start_local_activity(input)

    async def start_child_workflow(
        self,
        input: StartChildWorkflowInput,  # noqa: A002 -- the mirrored name
    ) -> ChildWorkflowHandle[Any, Any]:
        """Starts a child."""
        with self._spans.calling(f"StartChildWorkflow:{input.workflow}", SpanKind.CLIENT, input):
            return await super().start_child_workflow(input)

    async def start_nexus_operation(
        self,
        input: StartNexusOperationInput[Any, Any],  # noqa: A002 -- the mirrored name
    ) -> NexusOperationHandle[Any]:
        """Starts a Nexus operation."""
        name = f"StartNexusOperation:{input.service}/{input.operation_name}"
        with self._spans.calling_nexus(name, input):
            return await super().start_nexus_operation(input)
