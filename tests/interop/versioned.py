"""Workers by hand that belong to versions of a worker deployment."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message
from temporalio.api.deployment.v1 import WorkerDeploymentOptions, WorkerDeploymentVersion
from temporalio.api.enums.v1 import (
    RoutingConfigUpdateState,
    TaskQueueType,
    VersioningBehavior,
    WorkerVersioningMode,
)
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentResponse,
    DescribeWorkerDeploymentVersionRequest,
    DescribeWorkerDeploymentVersionResponse,
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedResponse,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
)
from temporalio.service import RPCError, RPCStatusCode

from tests.interop.raw import IDENTITY, HandWorker
from tests.interop.stage import CLIENT_IDENTITY, WAIT_SECONDS, Stage

WORKFLOW = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
ACTIVITY = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
PINNED = VersioningBehavior.VERSIONING_BEHAVIOR_PINNED
AUTO_UPGRADE = VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE
COMPLETED = RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_COMPLETED


class Deployment:
    """A deployment of a stage, as its operator sees it."""

    def __init__(self, stage: Stage, name: str = "deployment") -> None:
        self.stage = stage
        self.name = f"{stage.program}-{name}-{stage.nonce}"

    def version(self, build: str) -> WorkerDeploymentVersion:
        """One of its versions."""
        return WorkerDeploymentVersion(deployment_name=self.name, build_id=build)

    def worker(self, build: str, queue: str = "queue") -> VersionedWorker:
        """A worker of a version."""
        return VersionedWorker(self, build, queue)

    def set_current(self, build: str, **fields: Any) -> Awaitable[Message]:
        """Send new workflows to a version."""
        return self.stage.service.set_worker_deployment_current_version(
            SetWorkerDeploymentCurrentVersionRequest(
                **{
                    "namespace": self.stage.namespace,
                    "deployment_name": self.name,
                    "build_id": build,
                    "identity": CLIENT_IDENTITY,
                    **fields,
                }
            )
        )

    def set_ramping(self, build: str, percentage: float, **fields: Any) -> Awaitable[Message]:
        """Send some of the new workflows to a version."""
        return self.stage.service.set_worker_deployment_ramping_version(
            SetWorkerDeploymentRampingVersionRequest(
                **{
                    "namespace": self.stage.namespace,
                    "deployment_name": self.name,
                    "build_id": build,
                    "percentage": percentage,
                    "identity": CLIENT_IDENTITY,
                    **fields,
                }
            )
        )

    def describe(self) -> Awaitable[DescribeWorkerDeploymentResponse]:
        """The call."""
        return self.stage.service.describe_worker_deployment(
            DescribeWorkerDeploymentRequest(
                namespace=self.stage.namespace, deployment_name=self.name
            )
        )

    def describe_version(
        self, build: str, **fields: Any
    ) -> Awaitable[DescribeWorkerDeploymentVersionResponse]:
        """The call."""
        return self.stage.service.describe_worker_deployment_version(
            DescribeWorkerDeploymentVersionRequest(
                namespace=self.stage.namespace, deployment_version=self.version(build), **fields
            )
        )

    async def settled(self) -> DescribeWorkerDeploymentResponse:
        """Wait until all task queues know the newest routing."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                response = await self.describe()
                if response.worker_deployment_info.routing_config_update_state == COMPLETED:
                    return response
                await asyncio.sleep(0.05)

    async def make_current(self, build: str, **fields: Any) -> None:
        """Send new workflows to a version, and wait until the task queues know it."""
        await self.set_current(build, **fields)
        await self.settled()

    async def registered(self, build: str, queues: int = 1) -> None:
        """Wait until a version has so many task queues."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                with contextlib.suppress(RPCError):
                    response = await self.describe_version(build)
                    if len(response.worker_deployment_version_info.task_queue_infos) >= queues:
                        await self.settled()
                        return
                await asyncio.sleep(0.05)


class VersionedWorker(HandWorker):
    """Polls and answers as a version of a deployment."""

    def __init__(self, deployment: Deployment, build: str, queue: str) -> None:
        super().__init__(deployment.stage, queue)
        self.deployment = deployment
        self.build = build
        self.options = WorkerDeploymentOptions(
            deployment_name=deployment.name,
            build_id=build,
            worker_versioning_mode=WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED,
        )

    def poll_request(self, *, sticky: bool = False) -> PollWorkflowTaskQueueRequest:
        """A poll for workflow tasks."""
        return PollWorkflowTaskQueueRequest(
            namespace=self._stage.namespace,
            task_queue=self.sticky if sticky else self._queue,
            identity=IDENTITY,
            deployment_options=self.options,
        )

    async def poll(self, *, sticky: bool = False) -> PollWorkflowTaskQueueResponse:
        """The next workflow task of this version."""
        while True:
            task = await self._service.poll_workflow_task_queue(
                self.poll_request(sticky=sticky), timeout=timedelta(seconds=70)
            )
            if task.task_token:
                return task

    async def poll_activity(self) -> PollActivityTaskQueueResponse:
        """The next activity task of this version."""
        while True:
            task = await self._service.poll_activity_task_queue(
                PollActivityTaskQueueRequest(
                    namespace=self._stage.namespace,
                    task_queue=self._queue,
                    identity=IDENTITY,
                    deployment_options=self.options,
                ),
                timeout=timedelta(seconds=70),
            )
            if task.task_token:
                return task

    async def complete(
        self, task: PollWorkflowTaskQueueResponse, *commands: Any, **fields: Any
    ) -> RespondWorkflowTaskCompletedResponse:
        """Answers a workflow task as this version; `behavior` is that of the workflow."""
        fields["versioning_behavior"] = fields.pop("behavior", PINNED)
        return await super().complete(task, *commands, deployment_options=self.options, **fields)

    async def gets_nothing(self, seconds: float = 1.5) -> bool:
        """Whether a poll of that length gets no workflow task."""
        try:
            task = await self._service.poll_workflow_task_queue(
                self.poll_request(), timeout=timedelta(seconds=seconds)
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.DEADLINE_EXCEEDED:
                raise
            return True
        return not task.task_token

    @contextlib.asynccontextmanager
    async def polling(
        self, *, activities: bool = False, queues: int = 1
    ) -> AsyncIterator[list[Any]]:
        """Polls in the background as long as it is used, once its version has so many queues."""
        polls = [asyncio.ensure_future(self.poll_activity() if activities else self.poll())]
        try:
            await self.deployment.registered(self.build, queues)
            yield polls
        finally:
            for poll in polls:
                poll.cancel()
            await asyncio.gather(*polls, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def sticky_polling(self) -> AsyncIterator[list[Any]]:
        """Polls its sticky queue in the background, as long as it is used."""
        polls = [asyncio.ensure_future(self.poll(sticky=True))]
        try:
            await asyncio.sleep(0.2)  # Nothing tells that a poll has arrived.
            yield polls
        finally:
            for poll in polls:
                poll.cancel()
            await asyncio.gather(*polls, return_exceptions=True)

    async def register(self, *, activities: bool = False, queues: int = 1) -> None:
        """Makes its version and queue known; so many queues has the version then."""
        async with self.polling(activities=activities, queues=queues):
            pass
