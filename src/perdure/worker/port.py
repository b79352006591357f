"""The port of the worker: where its tasks come from, and where its answers go.

Nothing is decided behind it. Who the worker is (namespace, identity, build, sticky queue) is the
source's to add, so requests hold only what their task is about. Calls raise RPCError when the
service refused, or stayed away for longer than it makes sense to wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    PollActivityTaskQueueResponse,
    PollNexusTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
    RespondNexusTaskCompletedRequest,
    RespondNexusTaskFailedRequest,
    RespondQueryTaskCompletedRequest,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    RespondWorkflowTaskFailedRequest,
)

from perdure.service import ServiceClient
from perdure.worker.polling import PollCount


@dataclass(frozen=True)
class PayloadLimits:
    """What the service takes; beyond it, it ends the workflow. Zero means that it did not say."""

    payloads_bytes_max: int = 0
    """Of the values of one field: an input, a result, details."""


class Polls(NamedTuple):
    """The polls that are open, by the kind of their tasks."""

    workflow: PollCount
    sticky: PollCount
    """For workflow tasks, at the worker's own queue."""
    activity: PollCount
    nexus: PollCount


class TaskSource(Protocol):
    """What a worker needs of the service."""

    polls: Polls
    takes_heartbeats: bool
    """Whether the service wants to know how workers fare, once it is open."""

    async def open(self) -> PayloadLimits:
        """Get ready to give tasks."""
        ...

    async def next_workflow_task(self) -> PollWorkflowTaskQueueResponse | None:
        """The next task of the worker's own (sticky) queue or of its task queue.

        None when there was none in time. Several calls may wait at once.
        """
        ...

    def next_workflow_poll_is_sticky(self) -> bool:
        """Whether the next poll for a workflow task is for the worker's own queue."""
        ...

    async def next_activity_task(self) -> PollActivityTaskQueueResponse | None:
        """The next activity; None when there was none in time."""
        ...

    async def next_nexus_task(self) -> PollNexusTaskQueueResponse | None:
        """The next start or cancellation of an operation; None when there was none in time."""
        ...

    async def history_page(
        self, request: GetWorkflowExecutionHistoryRequest
    ) -> GetWorkflowExecutionHistoryResponse:
        """More of a history."""
        ...

    async def complete_workflow_task(
        self,
        request: RespondWorkflowTaskCompletedRequest,
        *,
        sticky: bool,
        takes_another: bool = True,
    ) -> RespondWorkflowTaskCompletedResponse:
        """Commands. `sticky`: the next task of the run is to come to this very worker.
        `takes_another`: at once, with the answer, if there is one."""
        ...

    async def fail_workflow_task(self, request: RespondWorkflowTaskFailedRequest) -> None:
        """The task cannot be completed."""
        ...

    async def answer_query(self, request: RespondQueryTaskCompletedRequest) -> None:
        """The answer to a task that was only a query."""
        ...

    async def complete_activity(self, request: RespondActivityTaskCompletedRequest) -> None:
        """A result."""
        ...

    async def fail_activity(self, request: RespondActivityTaskFailedRequest) -> None:
        """A failure."""
        ...

    async def cancel_activity(self, request: RespondActivityTaskCanceledRequest) -> None:
        """The activity has stopped, since it was asked to."""
        ...

    async def complete_nexus_task(self, request: RespondNexusTaskCompletedRequest) -> None:
        """What a handler has said."""
        ...

    async def fail_nexus_task(self, request: RespondNexusTaskFailedRequest) -> None:
        """No handler could say anything."""
        ...

    async def heartbeat(
        self, request: RecordActivityTaskHeartbeatRequest
    ) -> RecordActivityTaskHeartbeatResponse:
        """The activity is alive; the answer says whether it should be."""
        ...

    def replace_service(self, service: ServiceClient) -> None:
        """Calls that begin from now on go to this service."""
        ...

    async def record_worker_heartbeat(self, told: WorkerHeartbeat) -> None:
        """Tell the service how the worker fares."""
        ...

    async def stop_giving(self, told: WorkerHeartbeat | None = None) -> bool:
        """Tell the service that the worker goes, and how it fared.

        Answers go on to be taken. True: calls that wait for tasks will end by themselves; they may
        bring a last one. False: cancel them.
        """
        ...
