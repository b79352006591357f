"""A releaser: sends work to versions of a worker deployment, and has single workflows go elsewhere.

Workers of all builds but one are there all the time; that one is created, and deleted again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import WorkerDeploymentVersionStatus
from temporalio.api.workflow.v1 import VersioningOverride, WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    CreateWorkerDeploymentVersionRequest,
    CreateWorkerDeploymentVersionResponse,
    DeleteWorkerDeploymentRequest,
    DeleteWorkerDeploymentResponse,
    DeleteWorkerDeploymentVersionRequest,
    DeleteWorkerDeploymentVersionResponse,
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentResponse,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentCurrentVersionResponse,
    SetWorkerDeploymentRampingVersionRequest,
    SetWorkerDeploymentRampingVersionResponse,
    UpdateWorkflowExecutionOptionsRequest,
    UpdateWorkflowExecutionOptionsResponse,
)

from perdure.server.machines.deployment.names import UNVERSIONED
from sim.ids import SeededIds
from sim.ledger import Ledger, Route
from sim.namespace import NAMESPACE
from sim.workload.facts import DEPLOYMENT
from sim.workload.service import Refused, Service

SPARE = "spare"
"""A build that no worker is of."""
PAUSE_SECONDS_MAX = 1.5
WATCH_SECONDS = 1.0
_DRAINING = WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING
_PINNED = VersioningOverride.PinnedOverrideBehavior.PINNED_OVERRIDE_BEHAVIOR_PINNED


class Releaser:
    """One client process: a fixed number of requests, one after the other."""

    def __init__(
        self,
        name: str,
        service: Service,
        ledger: Ledger,
        dice: random.Random,
        *,
        builds: list[str],
        workflow_ids: list[str],
        requests: int,
    ) -> None:
        self._name = name
        self._service = service
        self._ledger = ledger
        self._dice = dice
        self._ids = SeededIds(dice)
        self._builds = builds
        self._workflow_ids = workflow_ids
        self._requests = requests

    async def run(self) -> None:
        """Make all requests, and wait until nothing drains any more."""
        for _ in range(self._requests):
            await asyncio.sleep(self._dice.random() * PAUSE_SECONDS_MAX)
            try:
                await self._choose()()
            except Refused:
                continue
        while True:
            if not await self._is_draining():
                return
            await asyncio.sleep(WATCH_SECONDS)

    def _choose(self) -> Callable[[], Awaitable[object]]:
        return self._dice.choices(
            (
                self._set_current,
                self._set_ramping,
                self._override,
                self._is_draining,
                self._create,
                self._delete_version,
                self._delete,
            ),
            (6, 4, 6, 2, 1, 3, 0.5),
        )[0]

    async def _set_current(self) -> None:
        build_id = self._dice.choice((*self._builds, UNVERSIONED))
        request = SetWorkerDeploymentCurrentVersionRequest(
            namespace=NAMESPACE.name,
            deployment_name=DEPLOYMENT,
            build_id="" if build_id == UNVERSIONED else build_id,
            identity=self._name,
            ignore_missing_task_queues=self._dice.random() < 0.5,
        )
        with self._ledger.releasing(lambda route: _with_current(route, build_id)):
            await self._service.rpc(request, SetWorkerDeploymentCurrentVersionResponse)

    async def _set_ramping(self) -> None:
        build_id = self._dice.choice((*self._builds, UNVERSIONED, ""))
        percentage = self._dice.choice((30.0, 100.0)) if build_id else 0.0
        request = SetWorkerDeploymentRampingVersionRequest(
            namespace=NAMESPACE.name,
            deployment_name=DEPLOYMENT,
            build_id="" if build_id == UNVERSIONED else build_id,
            percentage=percentage,
            identity=self._name,
            ignore_missing_task_queues=self._dice.random() < 0.5,
        )
        with self._ledger.releasing(lambda route: Route(route.current, build_id, percentage)):
            await self._service.rpc(request, SetWorkerDeploymentRampingVersionResponse)

    async def _override(self) -> None:
        """Say where a workflow goes, or no longer."""
        override, dice = VersioningOverride(), self._dice
        version = WorkerDeploymentVersion(
            deployment_name=DEPLOYMENT, build_id=dice.choice(self._builds)
        )
        match dice.randrange(4):
            case 0:
                override.auto_upgrade = True
            case 1:
                override.one_time.target_deployment_version.CopyFrom(version)
            case 2:
                override.pinned.behavior = _PINNED
                override.pinned.version.CopyFrom(version)
        options = WorkflowExecutionOptions()
        if override.ByteSize():
            options.versioning_override.CopyFrom(override)
        request = UpdateWorkflowExecutionOptionsRequest(
            namespace=NAMESPACE.name,
            workflow_execution=WorkflowExecution(workflow_id=dice.choice(self._workflow_ids)),
            workflow_execution_options=options,
            update_mask=FieldMask(paths=["versioning_override"]),
            identity=self._name,
        )
        with self._ledger.releasing():
            await self._service.rpc(request, UpdateWorkflowExecutionOptionsResponse)

    async def _is_draining(self) -> bool:
        request = DescribeWorkerDeploymentRequest(
            namespace=NAMESPACE.name, deployment_name=DEPLOYMENT
        )
        try:
            described = await self._service.rpc(request, DescribeWorkerDeploymentResponse)
        except Refused:
            return False  # No worker has polled yet.
        summaries = described.worker_deployment_info.version_summaries
        return any(summary.status == _DRAINING for summary in summaries)

    async def _create(self) -> None:
        version = WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=SPARE)
        request = CreateWorkerDeploymentVersionRequest(
            namespace=NAMESPACE.name,
            deployment_version=version,
            request_id=self._ids.uuid(),
            identity=self._name,
        )
        before, self._ledger.is_spare_there = self._ledger.is_spare_there, None
        try:
            await self._service.rpc(request, CreateWorkerDeploymentVersionResponse)
        except Refused:
            self._ledger.is_spare_there = before
            raise
        self._ledger.is_spare_there = True

    async def _delete_version(self) -> None:
        """Of a build with workers too, which make themselves known again."""
        build_id = self._dice.choice((*self._builds, SPARE))
        version = WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=build_id)
        request = DeleteWorkerDeploymentVersionRequest(
            namespace=NAMESPACE.name,
            deployment_version=version,
            skip_drainage=self._dice.random() < 0.5,
            identity=self._name,
        )
        if build_id == SPARE:
            self._ledger.is_spare_there = None  # For good, if that is refused.
        with self._ledger.releasing():
            await self._service.rpc(request, DeleteWorkerDeploymentVersionResponse)
        if build_id == SPARE:
            self._ledger.is_spare_there = False

    async def _delete(self) -> None:
        """Only one without versions goes."""
        request = DeleteWorkerDeploymentRequest(
            namespace=NAMESPACE.name, deployment_name=DEPLOYMENT
        )
        try:
            with self._ledger.releasing(lambda route: Route()):
                await self._service.rpc(request, DeleteWorkerDeploymentResponse)
        except Refused:
            # It may have gone, the answer was lost, and a worker has made it known again.
            self._ledger.routes.add(Route())


def _with_current(route: Route, build_id: str) -> Route:
    """What is current does not ramp any more."""
    if route.ramping == build_id:
        return Route(build_id)
    return Route(build_id, route.ramping, route.percentage)
