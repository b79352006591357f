"""Who has Nexus operations: workflows, and those that are their own subjects. What is asked of
either is the same, and is looked up here by kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from temporalio.api.common.v1 import Link
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionRequest

from perdure.server.engine.api import NamespaceRef
from perdure.server.engine.execution import Execution
from perdure.server.engine.nexus.calls import Completion
from perdure.server.machines.errors import NotFound
from perdure.server.machines.ports import Kind
from perdure.server.machines.standalone_nexus.inputs import CompleteOperation
from perdure.server.machines.standalone_nexus.state import OperationRun
from perdure.server.machines.workflow.effects import CallNexus
from perdure.server.machines.workflow.inputs import CompleteNexusOperation
from perdure.server.machines.workflow.nexus.state import PendingOperation
from perdure.server.machines.workflow.state import Run

ReadEvent = Callable[[NamespaceRef, str, str, int], Awaitable[bytes]]
"""Reads an event of a run."""


class Content(msgspec.Struct, frozen=True):
    """What a call brings to the handler."""

    payload: bytes
    header: dict[str, str]
    link: Link
    """To whoever calls."""


class Owner(Protocol):
    """One kind of subject that has operations."""

    def pending(self, execution: Execution, effect: CallNexus) -> PendingOperation | None:
        """The operation that a call is about, if it is not over."""
        ...

    async def content(
        self, namespace: NamespaceRef, execution: Execution, effect: CallNexus
    ) -> Content:
        """What the handler is given."""
        ...

    def completion(self, completion: Completion) -> Any:
        """The input that tells of the end of an operation."""
        ...


class OfWorkflows:
    """Operations that workflows have scheduled: what they are given stands in an event."""

    def __init__(self, read_event: ReadEvent) -> None:
        self._read_event = read_event

    def pending(self, execution: Execution, effect: CallNexus) -> PendingOperation | None:
        """See `Owner`."""
        run: Run | None = execution.workflow.run
        if run is None or run.recorded.run_id != effect.run_id or not run.is_open:
            return None
        return run.nexus_operations.get(effect.scheduled_event_id)

    async def content(
        self, namespace: NamespaceRef, execution: Execution, effect: CallNexus
    ) -> Content:
        """See `Owner`."""
        workflow_id, event_id = execution.key[1], effect.scheduled_event_id
        event = await self._read_event(namespace, workflow_id, effect.run_id, event_id)
        attributes = HistoryEvent.FromString(event).nexus_operation_scheduled_event_attributes
        link = Link(
            workflow_event=Link.WorkflowEvent(
                namespace=namespace.name,
                workflow_id=workflow_id,
                run_id=effect.run_id,
                event_ref=Link.WorkflowEvent.EventReference(
                    event_id=event_id,
                    event_type=EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED,
                ),
            )
        )
        return Content(_payload(attributes), dict(attributes.nexus_header), link)

    def completion(self, completion: Completion) -> CompleteNexusOperation:
        """See `Owner`."""
        address = completion.address
        return CompleteNexusOperation(
            address.scheduled_event_id,
            address.request_id,
            completion.outcome,
            completion.operation_token,
            completion.start_time_ns,
            completion.links,
        )


class Standalone:
    """Operations without a workflow: what they are given stands in the request that started
    them."""

    def pending(self, execution: Execution, effect: CallNexus) -> PendingOperation | None:
        """See `Owner`."""
        run: OperationRun | None = execution.subject.run
        if run is None or run.run_id != effect.run_id or not run.is_open:
            return None
        return run.head.pending

    async def content(
        self, namespace: NamespaceRef, execution: Execution, effect: CallNexus
    ) -> Content:
        """See `Owner`."""
        run: OperationRun | None = execution.subject.run
        if run is None or run.run_id != effect.run_id:
            raise NotFound("the operation is over")
        start = StartNexusOperationExecutionRequest.FromString(run.start)
        link = Link(
            nexus_operation=Link.NexusOperation(
                namespace=namespace.name, operation_id=execution.key[1], run_id=effect.run_id
            )
        )
        return Content(_payload(start), dict(start.nexus_header), link)

    def completion(self, completion: Completion) -> CompleteOperation:
        """See `Owner`."""
        address = completion.address
        return CompleteOperation(
            address.run_id,
            address.request_id,
            completion.outcome,
            completion.operation_token,
            completion.start_time_ns,
            completion.links,
        )


def owners(read_event: ReadEvent) -> dict[int, Owner]:
    """All of them, by kind."""
    return {Kind.WORKFLOW: OfWorkflows(read_event), Kind.NEXUS_OPERATION: Standalone()}


def _payload(message: Any) -> bytes:
    """The input of an operation; b"" for none."""
    if not message.HasField("input"):
        return b""
    payload: bytes = message.input.SerializeToString(deterministic=True)
    return payload
