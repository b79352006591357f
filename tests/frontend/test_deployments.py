"""Worker deployments over the API: what other tests do not see by comparing with the real
server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest
from temporalio.api.deployment.v1 import WorkerDeploymentOptions, WorkerDeploymentVersion
from temporalio.api.enums.v1 import (
    VersionDrainageStatus,
    VersioningBehavior,
    WorkerVersioningMode,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
    CreateWorkerDeploymentRequest,
    CreateWorkerDeploymentResponse,
    CreateWorkerDeploymentVersionRequest,
    DeleteWorkerDeploymentVersionRequest,
    DeleteWorkerDeploymentVersionResponse,
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    DescribeWorkerDeploymentVersionRequest,
    DescribeWorkerDeploymentVersionResponse,
    ListWorkerDeploymentsRequest,
    ListWorkerDeploymentsResponse,
    PauseWorkflowExecutionRequest,
    PauseWorkflowExecutionResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentCurrentVersionResponse,
)

from perdure.server.frontend.services import Services
from perdure.server.machines.ports import MINUTE_NS
from perdure.transport import Code
from tests.frontend.client import QUEUE, WORKFLOW_ID, Client

PINNED = VersioningBehavior.VERSIONING_BEHAVIOR_PINNED
DRAINING = VersionDrainageStatus.VERSION_DRAINAGE_STATUS_DRAINING
DRAINED = VersionDrainageStatus.VERSION_DRAINAGE_STATUS_DRAINED


def options(build: str) -> WorkerDeploymentOptions:
    return WorkerDeploymentOptions(
        deployment_name="d",
        build_id=build,
        worker_versioning_mode=WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED,
    )


async def poll(client: Client, build: str) -> PollWorkflowTaskQueueResponse:
    request = PollWorkflowTaskQueueRequest(
        namespace="default",
        task_queue=TaskQueue(name=QUEUE),
        identity=f"worker {build}",
        deployment_options=options(build),
    )
    return await client.call(request, PollWorkflowTaskQueueResponse)


@contextlib.asynccontextmanager
async def registered(client: Client, build: str) -> AsyncIterator[asyncio.Task[object]]:
    """A poll of a version that waits."""
    waiting: asyncio.Task[object] = asyncio.ensure_future(poll(client, build))
    for _ in range(100):
        await asyncio.sleep(0)
    try:
        yield waiting
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def set_current(client: Client, build: str) -> None:
    await client.call(
        SetWorkerDeploymentCurrentVersionRequest(
            namespace="default", deployment_name="d", build_id=build
        ),
        SetWorkerDeploymentCurrentVersionResponse,
    )


async def drainage(client: Client, build: str) -> int:
    response = await client.call(
        DescribeWorkerDeploymentVersionRequest(
            namespace="default", deployment_version=version(build)
        ),
        DescribeWorkerDeploymentVersionResponse,
    )
    return response.worker_deployment_version_info.drainage_info.status


def version(build: str) -> WorkerDeploymentVersion:
    return WorkerDeploymentVersion(deployment_name="d", build_id=build)


async def count(client: Client, query: str) -> int:
    response = await client.call(
        CountWorkflowExecutionsRequest(namespace="default", query=query),
        CountWorkflowExecutionsResponse,
    )
    return response.count


async def complete(client: Client, task: PollWorkflowTaskQueueResponse, build: str) -> None:
    await client.call(
        RespondWorkflowTaskCompletedRequest(
            namespace="default",
            task_token=task.task_token,
            deployment_options=options(build),
            versioning_behavior=PINNED,
        ),
        RespondWorkflowTaskCompletedResponse,
    )


class SkippingClock:
    """The time, and what was skipped of it."""

    def __init__(self, services: Services) -> None:
        self._clock = services.clock
        self.skipped_ns = 0

    def now_ns(self) -> int:
        """Now."""
        return self._clock.now_ns() + self.skipped_ns


async def test_a_version_has_drained_when_no_open_workflow_is_pinned_to_it(
    client: Client, services: Services
) -> None:
    clock = SkippingClock(services)
    services.clock = clock
    async with registered(client, "1"), registered(client, "2"):
        pass
    await set_current(client, "1")
    await client.start()
    task = await poll(client, "1")
    await complete(client, task, "1")
    await set_current(client, "2")
    pinned = "TemporalWorkflowVersioningBehavior = 'Pinned' AND ExecutionStatus = 'Running'"
    assert await count(client, f"TemporalWorkerDeploymentVersion = 'd:1' AND {pinned}") == 1
    assert await count(client, "TemporalWorkerDeployment = 'd'") == 1
    assert await count(client, "BuildIds = 'pinned:d:1'") == 1
    assert await count(client, "TemporalUsedWorkerDeploymentVersions = 'd:1'") == 1
    clock.skipped_ns = 4 * MINUTE_NS
    assert await drainage(client, "1") == DRAINING
    await client.terminate()
    clock.skipped_ns = 1 * MINUTE_NS
    assert await drainage(client, "1") == DRAINING, "it was looked at a moment ago"
    clock.skipped_ns = 4 * MINUTE_NS
    assert await drainage(client, "1") == DRAINED


async def test_a_version_that_a_paused_workflow_is_pinned_to_has_not_drained(
    client: Client, services: Services
) -> None:
    services.limits = msgspec.structs.replace(services.limits, is_workflow_pause_enabled=True)
    clock = SkippingClock(services)
    services.clock = clock
    async with registered(client, "1"), registered(client, "2"):
        pass
    await set_current(client, "1")
    await client.start()
    await complete(client, await poll(client, "1"), "1")
    await set_current(client, "2")
    pause = PauseWorkflowExecutionRequest(namespace="default", workflow_id=WORKFLOW_ID)
    await client.call(pause, PauseWorkflowExecutionResponse)
    clock.skipped_ns = 4 * MINUTE_NS
    assert await drainage(client, "1") == DRAINING


async def test_deployments_are_listed_page_by_page(client: Client) -> None:
    names = [f"d{number}" for number in range(5)]
    for name in names:
        await client.call(
            CreateWorkerDeploymentRequest(namespace="default", deployment_name=name),
            CreateWorkerDeploymentResponse,
        )
    found: list[str] = []
    token = b""
    while True:
        page = await client.call(
            ListWorkerDeploymentsRequest(namespace="default", page_size=2, next_page_token=token),
            ListWorkerDeploymentsResponse,
        )
        assert len(page.worker_deployments) <= 2
        found += [one.name for one in page.worker_deployments]
        token = page.next_page_token
        if not token:
            break
    assert found == names[::-1]
    wrong = ListWorkerDeploymentsRequest(namespace="default", next_page_token=b"nonsense")
    assert (await client.refusal(wrong)).code is Code.INVALID_ARGUMENT


async def test_deployments_are_limited_in_number(client: Client) -> None:
    for number in range(100):
        await client.call(
            CreateWorkerDeploymentRequest(namespace="default", deployment_name=f"d{number}"),
            CreateWorkerDeploymentResponse,
        )
    one_more = CreateWorkerDeploymentRequest(namespace="default", deployment_name="one-more")
    failure = await client.refusal(one_more)
    assert failure.code is Code.RESOURCE_EXHAUSTED
    assert "reached maximum deployments in namespace (100)" in failure.message


async def test_pollers_of_versions_are_shown_with_them(client: Client) -> None:
    async with registered(client, "1"), registered(client, "2"):
        response = await client.call(
            DescribeTaskQueueRequest(namespace="default", task_queue=TaskQueue(name=QUEUE)),
            DescribeTaskQueueResponse,
        )
        shown = {poller.identity: poller.deployment_options for poller in response.pollers}
        assert shown == {f"worker {build}": options(build) for build in "12"}
        failure = await client.refusal(
            DeleteWorkerDeploymentVersionRequest(
                namespace="default", deployment_version=version("1")
            )
        )
        assert failure.code is Code.FAILED_PRECONDITION


async def test_a_version_that_the_server_would_start_workers_for_is_refused(
    client: Client,
) -> None:
    await client.call(
        CreateWorkerDeploymentRequest(namespace="default", deployment_name="d"),
        CreateWorkerDeploymentResponse,
    )
    request = CreateWorkerDeploymentVersionRequest(
        namespace="default", deployment_version=version("1")
    )
    request.compute_config.SetInParent()
    assert "at least one entry" in str((await client.refusal(request)).message)
    request.compute_config.scaling_groups["g"].provider.type = "aws-lambda"
    refusal = await client.refusal(request)
    assert (refusal.code, str(refusal.message)) == (
        Code.INVALID_ARGUMENT,
        "g: Could not instantiate compute provider with type 'aws-lambda'",
    )


WRONG_NAMES = {"": "Deployment name and build id", "a.b": "cannot contain '.'", "__a": "start with"}


@pytest.mark.parametrize(("name", "text"), WRONG_NAMES.items())
async def test_a_poll_must_name_a_version_that_can_be(client: Client, name: str, text: str) -> None:
    wrong = options("1")
    wrong.deployment_name = name
    request = PollWorkflowTaskQueueRequest(
        namespace="default", task_queue=TaskQueue(name=QUEUE), deployment_options=wrong
    )
    failure = await client.refusal(request)
    assert failure.code is Code.INVALID_ARGUMENT
    assert text in failure.message


async def test_a_version_that_is_not_there_is_deleted_all_the_same(client: Client) -> None:
    await client.call(
        CreateWorkerDeploymentRequest(namespace="default", deployment_name="d"),
        CreateWorkerDeploymentResponse,
    )
    await client.call(
        DeleteWorkerDeploymentVersionRequest(namespace="default", deployment_version=version("1")),
        DeleteWorkerDeploymentVersionResponse,
    )
