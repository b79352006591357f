"""Workers of versions, with our SDK, in every home."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentVersionRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)

import perdure
from perdure import activity, workflow
from perdure.client import Client
from perdure.common import PinnedVersioningOverride, RawValue, VersioningBehavior
from perdure.service import RPCError, RPCStatusCode
from perdure.worker import Worker, WorkerDeploymentConfig, WorkerDeploymentVersion

COMPLETED = 2


@activity.defn
async def where() -> str:
    """The queue, so that the activity is one that runs."""
    return activity.info().task_queue


class Told:
    """Waits until it is told to end, and says on which version it did."""

    def __init__(self) -> None:
        self.is_over = False

    @workflow.signal
    def end(self) -> None:
        """End."""
        self.is_over = True


@workflow.defn(name="Told", versioning_behavior=VersioningBehavior.PINNED)
class Pinned(Told):
    """Stays."""

    @workflow.run
    async def run(self) -> str:
        """The build."""
        await workflow.wait_condition(lambda: self.is_over)
        await workflow.execute_activity(where, start_to_close_timeout=timedelta(seconds=10))
        return build()


@workflow.defn(name="Upgraded", versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class Upgraded(Told):
    """Goes where new work goes."""

    @workflow.run
    async def run(self) -> str:
        """The build."""
        await workflow.wait_condition(lambda: self.is_over)
        await workflow.execute_activity(where, start_to_close_timeout=timedelta(seconds=10))
        return build()


@workflow.defn(name="Leaver", versioning_behavior=VersioningBehavior.PINNED)
class Leaver(Told):
    """Continues as new on the version that new work goes to, once there is another."""

    @workflow.run
    async def run(self, has_left: bool) -> str:
        """The build."""
        if not has_left:
            await workflow.wait_condition(lambda: self.is_over)
            assert workflow.info().is_target_worker_deployment_version_changed()
            behavior = workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
            workflow.continue_as_new(args=[True], initial_versioning_behavior=behavior)
        return build()


@workflow.defn(dynamic=True)
class Anything:
    """Whatever else: its function says how it behaves."""

    @workflow.dynamic_config
    def configure(self) -> workflow.DynamicWorkflowConfig:
        """Pinned."""
        return workflow.DynamicWorkflowConfig(versioning_behavior=VersioningBehavior.PINNED)

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> str:
        """The build."""
        return build()


@workflow.defn
class Silent:
    """Does not say how it behaves."""

    @workflow.run
    async def run(self) -> str:
        """The build."""
        return build()


def build() -> str:
    version = workflow.info().get_current_deployment_version()
    assert version is not None
    return version.build_id


class Deployment:
    """A deployment of a test, and its operator."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.name = f"deployment-{uuid.uuid4()}"
        self.queue = f"queue-{uuid.uuid4()}"

    def version(self, build_id: str) -> WorkerDeploymentVersion:
        return WorkerDeploymentVersion(self.name, build_id)

    def worker(
        self,
        build_id: str,
        workflows: Sequence[type] = (Pinned, Upgraded, Leaver, Anything),
        default: VersioningBehavior = VersioningBehavior.UNSPECIFIED,
    ) -> Worker:
        return Worker(
            self.client,
            task_queue=self.queue,
            workflows=workflows,
            activities=[where],
            deployment_config=WorkerDeploymentConfig(self.version(build_id), True, default),
        )

    async def make_current(self, build_id: str) -> None:
        """Once its workers are known; returns when the queues know it."""
        service = self.client.workflow_service
        version = self.version(build_id).to_proto()
        while True:
            try:
                found = await service.describe_worker_deployment_version(
                    DescribeWorkerDeploymentVersionRequest(
                        namespace="default", deployment_version=version
                    )
                )
                if len(found.version_task_queues) == 2:
                    break
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(0.05)
        await service.set_worker_deployment_current_version(
            SetWorkerDeploymentCurrentVersionRequest(
                namespace="default", deployment_name=self.name, build_id=build_id
            )
        )
        while True:
            described = await service.describe_worker_deployment(
                DescribeWorkerDeploymentRequest(namespace="default", deployment_name=self.name)
            )
            if described.worker_deployment_info.routing_config_update_state == COMPLETED:
                return
            await asyncio.sleep(0.05)

    async def start(self, workflow_type: Any, *args: Any, **options: Any) -> Any:
        return await self.client.start_workflow(
            workflow_type, args=args, id=str(uuid.uuid4()), task_queue=self.queue, **options
        )


async def has_completed_a_task(handle: Any) -> None:
    """Wait until a worker has said how the workflow behaves."""
    while True:
        description = await handle.describe()
        if description.raw_description.workflow_execution_info.versioning_info.behavior:
            return
        await asyncio.sleep(0.05)


async def test_workflows_stay_on_their_version_or_go_on_with_the_deployment(
    client: Client,
) -> None:
    deployment = Deployment(client)
    async with deployment.worker("1.0"), deployment.worker("2.0"):
        await deployment.make_current("1.0")
        handles = [
            await deployment.start("Told"),
            await deployment.start("Upgraded"),
            await deployment.start("Leaver", False),
        ]
        for handle in handles:
            await has_completed_a_task(handle)
        assert await (await deployment.start("Other")).result() == "1.0"
        await deployment.make_current("2.0")
        for handle in handles:
            await handle.signal("end")
        assert [await handle.result() for handle in handles] == ["1.0", "2.0", "2.0"]
        pinned = PinnedVersioningOverride(deployment.version("1.0"))
        handle = await deployment.start("Upgraded", versioning_override=pinned)
        await handle.signal("end")
        assert await handle.result() == "1.0"


async def test_a_worker_says_how_its_workflows_behave_that_do_not_say_it(client: Client) -> None:
    deployment = Deployment(client)
    pinned = VersioningBehavior.PINNED
    async with deployment.worker("1.0", [Silent], pinned):
        await deployment.make_current("1.0")
        handle = await deployment.start("Silent")
        assert await handle.result() == "1.0"
        events = (await handle.fetch_history()).events
        behaviors = [
            event.workflow_task_completed_event_attributes.versioning_behavior
            for event in events
            if event.HasField("workflow_task_completed_event_attributes")
        ]
        assert behaviors == [pinned]


async def test_an_unversioned_worker_may_name_its_version_all_the_same(client: Client) -> None:
    deployment = Deployment(client)
    config = WorkerDeploymentConfig(deployment.version("1.0"), use_worker_versioning=False)
    async with Worker(
        client,
        task_queue=deployment.queue,
        workflows=[Pinned],
        activities=[where],
        deployment_config=config,
    ):
        handle = await deployment.start("Told")
        await handle.signal("end")
        assert await handle.result() == "1.0"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no behaviour": (
        {"deployment_config": WorkerDeploymentConfig(WorkerDeploymentVersion("d", "1"), True)},
        "must specify a versioning behavior",
    ),
    "a behaviour of an unversioned worker": (
        {
            "deployment_config": WorkerDeploymentConfig(
                WorkerDeploymentVersion("d", "1"), False, VersioningBehavior.PINNED
            )
        },
        "default_versioning_behavior must be UNSPECIFIED",
    ),
    "two builds": (
        {
            "build_id": "1",
            "deployment_config": WorkerDeploymentConfig(
                WorkerDeploymentVersion("d", "1"), True, VersioningBehavior.PINNED
            ),
        },
        "deployment_config cannot be used with build_id",
    ),
    "versioning by builds without one": (
        {"use_worker_versioning": True},
        "build_id must be specified when use_worker_versioning is True",
    ),
    "two kinds of versioning": (
        {
            "use_worker_versioning": True,
            "deployment_config": WorkerDeploymentConfig(
                WorkerDeploymentVersion("d", "1"), True, VersioningBehavior.PINNED
            ),
        },
        "deployment_config cannot be used with build_id or use_worker_versioning",
    ),
}


@pytest.mark.parametrize(("options", "text"), REFUSED.values(), ids=REFUSED)
async def test_what_does_not_fit_together_is_refused(options: dict[str, Any], text: str) -> None:
    async with perdure.embedded() as client:
        with pytest.raises(ValueError, match=text):
            Worker(client, task_queue="queue", workflows=[Silent], **options)
