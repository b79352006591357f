"""The worker's port over unary calls: long polls for tasks, a call for each answer."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import DoubleValue
from temporalio.api.common.v1 import (
    MeteringMetadata,
    WorkerVersionCapabilities,
    WorkerVersionStamp,
)
from temporalio.api.deployment.v1 import WorkerDeploymentOptions
from temporalio.api.enums.v1 import TaskQueueKind, TaskQueueType
from temporalio.api.taskqueue.v1 import StickyExecutionAttributes, TaskQueue, TaskQueueMetadata
from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollNexusTaskQueueRequest,
    PollNexusTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
    RecordWorkerHeartbeatRequest,
    RecordWorkerHeartbeatResponse,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCanceledResponse,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskCompletedResponse,
    RespondActivityTaskFailedRequest,
    RespondActivityTaskFailedResponse,
    RespondNexusTaskCompletedRequest,
    RespondNexusTaskCompletedResponse,
    RespondNexusTaskFailedRequest,
    RespondNexusTaskFailedResponse,
    RespondQueryTaskCompletedRequest,
    RespondQueryTaskCompletedResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    RespondWorkflowTaskFailedRequest,
    RespondWorkflowTaskFailedResponse,
    ShutdownWorkerRequest,
    ShutdownWorkerResponse,
)

from perdure.service import LONG_POLL_TIMEOUT_SECONDS, RPCError, ServiceClient
from perdure.worker.polling import PollCount
from perdure.worker.port import PayloadLimits, Polls

_Response = TypeVar("_Response", bound=Message)
_Task = TypeVar(
    "_Task",
    PollWorkflowTaskQueueResponse,
    PollActivityTaskQueueResponse,
    PollNexusTaskQueueResponse,
)
_POLL_TIMEOUT = timedelta(seconds=LONG_POLL_TIMEOUT_SECONDS)
_SHUTDOWN_TIMEOUT = timedelta(seconds=5)

_COMPLETED_METADATA = RespondWorkflowTaskCompletedRequest(
    metering_metadata=MeteringMetadata(),
    capabilities=RespondWorkflowTaskCompletedRequest.Capabilities(
        discard_speculative_workflow_task_with_events=True
    ),
)


@dataclass(frozen=True, kw_only=True)
class WorkerIdentity:
    """Who the worker is, and which tasks it wants."""

    namespace: str
    task_queue: str
    identity: str
    build_id: str
    uses_build_ids: bool
    """Whether the build id decides which tasks it is given, as it did before there were
    deployments."""
    deployment: WorkerDeploymentOptions | None
    """The version of a worker deployment that it belongs to."""
    default_behavior: int | None
    """Of workflows that do not say how they behave; None when the worker is not versioned."""
    instance_key: str
    """Tells this worker from all others, past and present."""
    sticky_queue: str | None
    """None: no run is kept."""
    sticky_schedule_to_start_timeout: timedelta
    workflow_polls_normal_share: float
    """This share of the polls for workflow tasks, but at least one, is at the task queue; the
    others are at the sticky queue."""
    activities_per_second_of_queue: float | None
    task_types: tuple[TaskQueueType.ValueType, ...]


class UnaryTaskSource:
    """Tasks of a service that knows unary calls only."""

    def __init__(self, service: ServiceClient, worker: WorkerIdentity) -> None:
        self._service = service
        self._worker = worker
        self.polls = Polls(PollCount(), PollCount(), PollCount(), PollCount())
        self.takes_heartbeats = False
        self._polls_end_by_themselves = False
        self._prepare_polls()
        self._prepare_answers()

    def _prepare_polls(self) -> None:
        worker = self._worker
        normal = TaskQueue(name=worker.task_queue, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL)
        sticky = TaskQueue(
            name=worker.sticky_queue or "",
            kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY,
            normal_name=worker.task_queue,
        )
        capabilities = WorkerVersionCapabilities(
            build_id=worker.build_id, use_versioning=worker.uses_build_ids
        )
        common: dict[str, Any] = {
            "namespace": worker.namespace,
            "identity": worker.identity,
            "worker_version_capabilities": capabilities,
            "worker_instance_key": worker.instance_key,
            "deployment_options": worker.deployment,
        }
        self._poll_normal = PollWorkflowTaskQueueRequest(task_queue=normal, **common)
        self._poll_sticky = PollWorkflowTaskQueueRequest(task_queue=sticky, **common)
        self._poll_activity = PollActivityTaskQueueRequest(task_queue=normal, **common)
        self._poll_nexus = PollNexusTaskQueueRequest(task_queue=normal, **common)
        if worker.activities_per_second_of_queue is not None:
            self._poll_activity.task_queue_metadata.CopyFrom(
                TaskQueueMetadata(
                    max_tasks_per_second=DoubleValue(value=worker.activities_per_second_of_queue)
                )
            )
        self._sticky_attributes = StickyExecutionAttributes(worker_task_queue=sticky)
        self._sticky_attributes.schedule_to_start_timeout.FromTimedelta(
            worker.sticky_schedule_to_start_timeout
        )

    def _prepare_answers(self) -> None:
        worker = self._worker
        names: dict[str, Any] = {"namespace": worker.namespace, "identity": worker.identity}
        stamp = WorkerVersionStamp(build_id=worker.build_id, use_versioning=worker.uses_build_ids)
        self._completed = RespondWorkflowTaskCompletedRequest(
            **names,
            worker_version_stamp=stamp,
            deployment_options=worker.deployment,
            worker_instance_key=worker.instance_key,
            return_new_workflow_task=True,
        )
        self._completed.MergeFrom(_COMPLETED_METADATA)
        self._failed = RespondWorkflowTaskFailedRequest(**names, worker_version=stamp)
        self._activity_completed = RespondActivityTaskCompletedRequest(
            **names, worker_version=stamp
        )
        self._activity_failed = RespondActivityTaskFailedRequest(**names, worker_version=stamp)
        self._activity_canceled = RespondActivityTaskCanceledRequest(**names, worker_version=stamp)
        self._heartbeat = RecordActivityTaskHeartbeatRequest(**names)
        self._nexus_completed = RespondNexusTaskCompletedRequest(**names)
        self._nexus_failed = RespondNexusTaskFailedRequest(**names)

    def replace_service(self, service: ServiceClient) -> None:
        """Calls that begin from now on go to this service."""
        self._service = service

    # Tasks

    async def open(self) -> PayloadLimits:
        """Ask what the service can do. Raises RPCError when the namespace does not exist."""
        response = await self._call(
            "DescribeNamespace",
            DescribeNamespaceRequest(namespace=self._worker.namespace),
            DescribeNamespaceResponse,
        )
        capabilities = response.namespace_info.capabilities
        self.takes_heartbeats = capabilities.worker_heartbeats
        self._polls_end_by_themselves = capabilities.worker_poll_complete_on_shutdown
        return PayloadLimits(response.namespace_info.limits.blob_size_limit_error)

    async def next_workflow_task(self) -> PollWorkflowTaskQueueResponse | None:
        """Polls the task queue as long as too few do, else the sticky queue."""
        sticky = self.next_workflow_poll_is_sticky()
        return await self._poll(
            "PollWorkflowTaskQueue",
            self._poll_sticky if sticky else self._poll_normal,
            PollWorkflowTaskQueueResponse,
            self.polls.sticky if sticky else self.polls.workflow,
        )

    def next_workflow_poll_is_sticky(self) -> bool:
        """Whether enough polls are at the task queue already."""
        normal = self.polls.workflow.current
        share = (normal + self.polls.sticky.current + 1) * self._worker.workflow_polls_normal_share
        return self._worker.sticky_queue is not None and normal >= max(1, int(share))

    async def next_activity_task(self) -> PollActivityTaskQueueResponse | None:
        """Polls the task queue."""
        return await self._poll(
            "PollActivityTaskQueue",
            self._poll_activity,
            PollActivityTaskQueueResponse,
            self.polls.activity,
        )

    async def next_nexus_task(self) -> PollNexusTaskQueueResponse | None:
        """Polls the task queue."""
        return await self._poll(
            "PollNexusTaskQueue", self._poll_nexus, PollNexusTaskQueueResponse, self.polls.nexus
        )

    async def history_page(
        self, request: GetWorkflowExecutionHistoryRequest
    ) -> GetWorkflowExecutionHistoryResponse:
        """More of a history."""
        request.namespace = self._worker.namespace
        return await self._call(
            "GetWorkflowExecutionHistory", request, GetWorkflowExecutionHistoryResponse
        )

    async def record_worker_heartbeat(self, told: WorkerHeartbeat) -> None:
        """How the worker fares."""
        worker = self._worker
        request = RecordWorkerHeartbeatRequest(
            namespace=worker.namespace, identity=worker.identity, worker_heartbeat=[told]
        )
        await self._call("RecordWorkerHeartbeat", request, RecordWorkerHeartbeatResponse)

    async def stop_giving(self, told: WorkerHeartbeat | None = None) -> bool:
        """Say that the worker goes. A service that cannot be reached will notice by itself."""
        worker = self._worker
        request = ShutdownWorkerRequest(
            namespace=worker.namespace,
            identity=worker.identity,
            sticky_task_queue=worker.sticky_queue or "",
            reason="graceful shutdown",
            worker_instance_key=worker.instance_key,
            task_queue=worker.task_queue,
            task_queue_types=worker.task_types,
            worker_heartbeat=told,
        )
        try:
            await self._service.call(
                "ShutdownWorker",
                request,
                ShutdownWorkerResponse,
                retry=False,
                namespace=worker.namespace,
                timeout=_SHUTDOWN_TIMEOUT,
            )
        except RPCError:
            return False
        return self._polls_end_by_themselves

    # Answers

    async def complete_workflow_task(
        self,
        request: RespondWorkflowTaskCompletedRequest,
        *,
        sticky: bool,
        takes_another: bool = True,
    ) -> RespondWorkflowTaskCompletedResponse:
        """Commands."""
        request.MergeFrom(self._completed)
        default = self._worker.default_behavior
        if default is None:
            request.ClearField("versioning_behavior")
        elif not request.versioning_behavior:
            request.versioning_behavior = default  # type: ignore[assignment]
        request.return_new_workflow_task = takes_another
        if sticky:
            request.sticky_attributes.CopyFrom(self._sticky_attributes)
        return await self._call(
            "RespondWorkflowTaskCompleted", request, RespondWorkflowTaskCompletedResponse
        )

    async def fail_workflow_task(self, request: RespondWorkflowTaskFailedRequest) -> None:
        """The task cannot be completed."""
        request.MergeFrom(self._failed)
        await self._call("RespondWorkflowTaskFailed", request, RespondWorkflowTaskFailedResponse)

    async def answer_query(self, request: RespondQueryTaskCompletedRequest) -> None:
        """The answer to a task that was only a query."""
        request.namespace = self._worker.namespace
        await self._call("RespondQueryTaskCompleted", request, RespondQueryTaskCompletedResponse)

    async def complete_activity(self, request: RespondActivityTaskCompletedRequest) -> None:
        """A result."""
        request.MergeFrom(self._activity_completed)
        await self._call(
            "RespondActivityTaskCompleted", request, RespondActivityTaskCompletedResponse
        )

    async def fail_activity(self, request: RespondActivityTaskFailedRequest) -> None:
        """A failure."""
        request.MergeFrom(self._activity_failed)
        await self._call("RespondActivityTaskFailed", request, RespondActivityTaskFailedResponse)

    async def cancel_activity(self, request: RespondActivityTaskCanceledRequest) -> None:
        """The activity has stopped."""
        request.MergeFrom(self._activity_canceled)
        await self._call(
            "RespondActivityTaskCanceled", request, RespondActivityTaskCanceledResponse
        )

    async def complete_nexus_task(self, request: RespondNexusTaskCompletedRequest) -> None:
        """What a handler has said."""
        request.MergeFrom(self._nexus_completed)
        await self._call("RespondNexusTaskCompleted", request, RespondNexusTaskCompletedResponse)

    async def fail_nexus_task(self, request: RespondNexusTaskFailedRequest) -> None:
        """No handler could say anything."""
        request.MergeFrom(self._nexus_failed)
        await self._call("RespondNexusTaskFailed", request, RespondNexusTaskFailedResponse)

    async def heartbeat(
        self, request: RecordActivityTaskHeartbeatRequest
    ) -> RecordActivityTaskHeartbeatResponse:
        """The activity is alive."""
        request.MergeFrom(self._heartbeat)
        return await self._call(
            "RecordActivityTaskHeartbeat", request, RecordActivityTaskHeartbeatResponse
        )

    # Calls

    async def _poll(
        self, rpc: str, request: Message, response_type: type[_Task], polls: PollCount
    ) -> _Task | None:
        polls.current += 1
        try:
            task = await self._service.call(
                rpc,
                request,
                response_type,
                retry=False,
                namespace=self._worker.namespace,
                timeout=_POLL_TIMEOUT,
            )
        finally:
            polls.current -= 1
        if not task.task_token:
            return None
        polls.last_task_ns = time.time_ns()
        return task

    def _call(
        self, rpc: str, request: Message, response_type: type[_Response]
    ) -> Coroutine[Any, Any, _Response]:
        return self._service.call(rpc, request, response_type, namespace=self._worker.namespace)
