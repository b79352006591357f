"""Worker deployments as operators see and change them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.workflowservice.v1 import (
    CreateWorkerDeploymentRequest,
    CreateWorkerDeploymentVersionRequest,
    DeleteWorkerDeploymentRequest,
    DeleteWorkerDeploymentVersionRequest,
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentVersionRequest,
    ListWorkerDeploymentsRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentManagerRequest,
    SetWorkerDeploymentRampingVersionRequest,
    UpdateWorkerDeploymentVersionMetadataRequest,
)
from temporalio.service import RPCError

from tests.interop.stage import CLIENT_IDENTITY, WAIT_SECONDS, Stage, payloads
from tests.interop.versioned import ACTIVITY, Deployment


async def deployment_grows(stage: Stage) -> None:
    """Versions appear with their workers, and become current, ramping, draining."""
    deployment = Deployment(stage)
    await stage.outcome("absent", deployment.describe())
    await stage.outcome("absent version", deployment.describe_version("1"))
    await stage.outcome("current of nothing", deployment.set_current("1"))
    await stage.outcome("ramping of nothing", deployment.set_ramping("1", 5))
    await deployment.worker("1").register()
    await stage.outcome("one version", deployment.describe())
    await _version_info(deployment, "version 1", "1")
    await deployment.worker("1").register(activities=True, queues=2)
    await deployment.worker("2").register()
    await stage.outcome("unknown current", deployment.set_current("3"))
    await stage.outcome("current", deployment.set_current("1"))
    await deployment.settled()
    await stage.outcome("current again", deployment.set_current("1"))
    await stage.outcome("with current", deployment.describe())
    await _version_info(deployment, "current version", "1")
    await stage.outcome("ramping current", deployment.set_ramping("1", 5))
    await stage.outcome("ramping unknown", deployment.set_ramping("3", 5))
    await stage.outcome("ramping", deployment.set_ramping("2", 25.5))
    await deployment.settled()
    await stage.outcome("ramping again", deployment.set_ramping("2", 25.5))
    await stage.outcome("with ramping", deployment.describe())
    await _version_info(deployment, "ramping version", "2")
    await stage.outcome("other percentage", deployment.set_ramping("2", 50))
    await deployment.settled()
    await _queue(stage, "queue")
    await _queue(stage, "activity queue", task_queue_type=ACTIVITY)
    await _listed(stage, deployment)
    await stage.outcome("promoted", deployment.set_current("2"))
    await deployment.settled()
    await asyncio.sleep(0.5)  # The versions tell their deployment of it a moment later.
    await stage.outcome("drained", deployment.describe())
    await _version_info(deployment, "draining version", "1")
    await _version_info(deployment, "promoted version", "2")
    await stage.outcome("ramp back", deployment.set_ramping("1", 1))
    await deployment.settled()
    await stage.outcome("no ramp", deployment.set_ramping("", 0))
    await deployment.settled()
    await asyncio.sleep(0.5)
    await stage.outcome("without ramp", deployment.describe())
    await stage.outcome("unversioned ramp", deployment.set_ramping("", 10))
    await deployment.settled()
    await stage.outcome("to unversioned", deployment.describe())
    await stage.outcome("no current", deployment.set_current(""))
    await deployment.settled()
    await asyncio.sleep(0.5)
    await stage.outcome("unversioned", deployment.describe())


async def deployment_tokens(stage: Stage) -> None:
    """Conflict tokens, managers, and queues that a new version lacks."""
    deployment = Deployment(stage)
    await deployment.worker("1").register()
    first = await deployment.describe()
    await deployment.worker("2", "other").register()
    await stage.outcome(
        "with token", deployment.set_current("1", conflict_token=first.conflict_token)
    )
    await deployment.settled()
    await stage.outcome(
        "stale token", deployment.set_current("2", conflict_token=first.conflict_token)
    )
    await stage.outcome(
        "stale ramp", deployment.set_ramping("2", 5, conflict_token=first.conflict_token)
    )
    # A queue is only missed if something goes on there.
    await deployment.worker("1").start("backlog")
    await stage.outcome("missing queue", deployment.set_current("2"))
    await stage.outcome("missing queue for ramp", deployment.set_ramping("2", 5))
    await stage.outcome("ignored", deployment.set_current("2", ignore_missing_task_queues=True))
    await deployment.settled()
    quiet = Deployment(stage, "quiet")
    await quiet.worker("1", "quiet").register()
    await quiet.make_current("1")
    await quiet.worker("2", "other").register()
    await stage.outcome("missing queue, idle", quiet.set_ramping("2", 5))
    await stage.outcome("manager", _manage(deployment, manager_identity="boss"))
    await stage.outcome("manager again", _manage(deployment, manager_identity="boss"))
    await stage.outcome("not the manager", deployment.set_current("1"))
    await stage.outcome("ramp of another", deployment.set_ramping("1", 5))
    await stage.outcome("managed", deployment.describe())
    await stage.outcome("delete of another", _delete_version(deployment, "1"))
    await stage.outcome(
        "manager by stale token",
        _manage(deployment, manager_identity="x", conflict_token=first.conflict_token),
    )
    await stage.outcome("self", _manage(deployment, self=True))
    await stage.outcome("no manager", _manage(deployment, manager_identity=""))
    await stage.outcome("unmanaged", deployment.describe())


async def deployment_deletion(stage: Stage) -> None:
    """What can be deleted, and what cannot."""
    deployment = Deployment(stage)
    await stage.outcome("absent version", _delete_version(deployment, "1"))
    await stage.outcome("absent", _delete(deployment))
    async with deployment.worker("1").polling():
        await deployment.worker("2").register()
        await stage.outcome("polled version", _delete_version(deployment, "1"))
        await stage.outcome("unknown version", _delete_version(deployment, "3"))
        await stage.outcome("with versions", _delete(deployment))
        await stage.outcome("current", deployment.set_current("1"))
        await deployment.settled()
        await stage.outcome("current version", _delete_version(deployment, "1"))
        await stage.outcome("ramping", deployment.set_ramping("2", 5))
        await deployment.settled()
        await stage.outcome("ramping version", _delete_version(deployment, "2"))
        await stage.outcome("unversioned", deployment.set_current("", identity="other"))
        await deployment.settled()
        await asyncio.sleep(0.5)
        await stage.outcome("draining version", _delete_version(deployment, "1"))
        await stage.outcome(
            "draining version, skipped", _delete_version(deployment, "1", skip_drainage=True)
        )


async def deployment_created(stage: Stage) -> None:
    """Deployments and versions that are there before their workers are."""
    deployment = Deployment(stage)
    await stage.outcome("version of nothing", _create_version(deployment, "1"))
    await stage.outcome("created", _create(deployment, request_id="a"))
    await stage.outcome("created again", _create(deployment, request_id="a"))
    await stage.outcome("by another request", _create(deployment, request_id="b"))
    await stage.outcome("empty", deployment.describe())
    await stage.outcome("version", _create_version(deployment, "1", request_id="a"))
    await stage.outcome("version again", _create_version(deployment, "1", request_id="a"))
    await stage.outcome("version, other request", _create_version(deployment, "1", request_id="b"))
    await stage.outcome("with version", deployment.describe())
    await stage.outcome("described version", deployment.describe_version("1"))
    await stage.outcome(
        "metadata", _metadata(deployment, "1", upsert_entries={"a": _payload(1), "b": _payload(2)})
    )
    await stage.outcome("less metadata", _metadata(deployment, "1", remove_entries=["a", "x"]))
    await stage.outcome("with metadata", deployment.describe_version("1"))
    await stage.outcome("delete version", _delete_version(deployment, "1"))
    await stage.outcome("deleted", deployment.describe())
    await stage.outcome("delete", _delete(deployment))
    with contextlib.suppress(RPCError, TimeoutError):
        async with asyncio.timeout(5):
            while True:
                await deployment.describe()
                await asyncio.sleep(0.1)
    await stage.outcome("gone", deployment.describe())
    early = Deployment(stage, "early")
    await stage.outcome("no pollers", early.set_current("1", allow_no_pollers=True))
    await asyncio.sleep(0.5)
    await stage.outcome("early", early.describe())
    await stage.outcome("early version", early.describe_version("1"))
    await stage.outcome("create what is there", _create(early))
    polled = Deployment(stage, "polled")
    await polled.worker("1").register()
    await stage.outcome("create what was polled", _create(polled))
    await stage.outcome("create version that was polled", _create_version(polled, "1"))


async def refused_deployments(stage: Stage) -> None:
    """Requests that are refused as they stand."""
    service, namespace = stage.service, stage.namespace
    names = {"no name": "", "dot": "a.b", "colon": "a:b", "reserved": "__a", "long": "a" * 481}
    for name, call in _calls(stage).items():
        unknown = f"none-{name.replace(' ', '-')}-{stage.nonce}"
        for which, text in {**names, "unknown": unknown}.items():
            await stage.outcome(f"{name}: {which}", call(text))
    build_ids = {"no build": "", "reserved": "__b", "long": "b" * 481, "colon": "b:c"}
    for which, build in build_ids.items():
        version = _version("unknown", build)
        await stage.outcome(
            f"version of a deployment: {which}",
            service.describe_worker_deployment_version(
                DescribeWorkerDeploymentVersionRequest(
                    namespace=namespace, deployment_version=version
                )
            ),
        )
        await stage.outcome(
            f"created version: {which}",
            service.create_worker_deployment_version(
                CreateWorkerDeploymentVersionRequest(
                    namespace=namespace, deployment_version=version
                )
            ),
        )
    await _refused_strings(stage)


async def _refused_strings(stage: Stage) -> None:
    """Versions in the old form, numbers out of range, what must be set."""
    service, namespace = stage.service, stage.namespace
    for which, text in {"plain": "none", "two": f"none-{stage.nonce}.1", "other": "o.1"}.items():
        await stage.outcome(
            f"version string: {which}",
            service.describe_worker_deployment_version(
                DescribeWorkerDeploymentVersionRequest(namespace=namespace, version=text)
            ),
        )
        await stage.outcome(
            f"current string: {which}",
            service.set_worker_deployment_current_version(
                SetWorkerDeploymentCurrentVersionRequest(
                    namespace=namespace, deployment_name=f"none-{stage.nonce}", version=text
                )
            ),
        )
        await stage.outcome(
            f"deleted string: {which}",
            service.delete_worker_deployment_version(
                DeleteWorkerDeploymentVersionRequest(namespace=namespace, version=text)
            ),
        )
    await stage.outcome(
        "no version",
        service.describe_worker_deployment_version(
            DescribeWorkerDeploymentVersionRequest(namespace=namespace)
        ),
    )
    for percentage in (-1.0, 100.5):
        await stage.outcome(
            f"percentage {percentage}",
            service.set_worker_deployment_ramping_version(
                SetWorkerDeploymentRampingVersionRequest(
                    namespace=namespace, deployment_name="a", build_id="1", percentage=percentage
                )
            ),
        )
    await stage.outcome(
        "no identity",
        service.set_worker_deployment_manager(
            SetWorkerDeploymentManagerRequest(namespace=namespace, deployment_name="a")
        ),
    )
    await stage.outcome(
        "no metadata",
        service.update_worker_deployment_version_metadata(
            UpdateWorkerDeploymentVersionMetadataRequest(
                namespace=namespace, deployment_version=_version("a", "1")
            )
        ),
    )


def _calls(stage: Stage) -> dict[str, Callable[[str], Awaitable[Message]]]:
    """Calls that name a deployment, by their name."""
    service, namespace = stage.service, stage.namespace
    return {
        "describe": lambda name: service.describe_worker_deployment(
            DescribeWorkerDeploymentRequest(namespace=namespace, deployment_name=name)
        ),
        "create": lambda name: service.create_worker_deployment(
            CreateWorkerDeploymentRequest(namespace=namespace, deployment_name=name)
        ),
        "delete": lambda name: service.delete_worker_deployment(
            DeleteWorkerDeploymentRequest(namespace=namespace, deployment_name=name)
        ),
        "describe version": lambda name: service.describe_worker_deployment_version(
            DescribeWorkerDeploymentVersionRequest(
                namespace=namespace, deployment_version=_version(name, "1")
            )
        ),
        "create version": lambda name: service.create_worker_deployment_version(
            CreateWorkerDeploymentVersionRequest(
                namespace=namespace, deployment_version=_version(name, "1")
            )
        ),
        "delete version": lambda name: service.delete_worker_deployment_version(
            DeleteWorkerDeploymentVersionRequest(
                namespace=namespace, deployment_version=_version(name, "1")
            )
        ),
        "current": lambda name: service.set_worker_deployment_current_version(
            SetWorkerDeploymentCurrentVersionRequest(
                namespace=namespace, deployment_name=name, build_id="1"
            )
        ),
        "ramping": lambda name: service.set_worker_deployment_ramping_version(
            SetWorkerDeploymentRampingVersionRequest(
                namespace=namespace, deployment_name=name, build_id="1", percentage=1
            )
        ),
        "manager": lambda name: service.set_worker_deployment_manager(
            SetWorkerDeploymentManagerRequest(
                namespace=namespace, deployment_name=name, manager_identity="m", identity="i"
            )
        ),
        "metadata": lambda name: service.update_worker_deployment_version_metadata(
            UpdateWorkerDeploymentVersionMetadataRequest(
                namespace=namespace,
                deployment_version=_version(name, "1"),
                upsert_entries={"a": _payload(1)},
            )
        ),
    }


def _version(name: str, build: str) -> WorkerDeploymentVersion:
    return WorkerDeploymentVersion(deployment_name=name, build_id=build)


def _payload(value: Any) -> Any:
    return payloads(value).payloads[0]


async def _queue(stage: Stage, label: str, **fields: Any) -> None:
    """What a queue says of its versions."""
    response = await stage.service.describe_task_queue(
        DescribeTaskQueueRequest(namespace=stage.namespace, task_queue=stage.task_queue(), **fields)
    )
    stage.message(label, response.versioning_info)


async def _version_info(deployment: Deployment, label: str, build: str) -> None:
    """A version; the real server has its queues in no order."""
    response = await deployment.describe_version(build)
    info = response.worker_deployment_version_info
    infos = sorted(info.task_queue_infos, key=lambda queue: queue.type)
    del info.task_queue_infos[:]
    info.task_queue_infos.extend(infos)
    queues = sorted(response.version_task_queues, key=lambda queue: queue.type)
    del response.version_task_queues[:]
    response.version_task_queues.extend(queues)
    deployment.stage.message(label, response)


async def _listed(stage: Stage, deployment: Deployment) -> None:
    """The deployment on a list, once the list knows the newest of it."""
    token = b""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            response = await stage.service.list_worker_deployments(
                ListWorkerDeploymentsRequest(
                    namespace=stage.namespace, page_size=2, next_page_token=token
                )
            )
            token = response.next_page_token
            for summary in response.worker_deployments:
                is_current = summary.routing_config.ramping_version_percentage == 50
                if summary.name == deployment.name and is_current:
                    stage.message("listed", summary)
                    return
            if not token:
                await asyncio.sleep(0.1)


def _manage(deployment: Deployment, **fields: Any) -> Any:
    return deployment.stage.service.set_worker_deployment_manager(
        SetWorkerDeploymentManagerRequest(
            namespace=deployment.stage.namespace,
            deployment_name=deployment.name,
            identity=CLIENT_IDENTITY,
            **fields,
        )
    )


def _create(deployment: Deployment, **fields: Any) -> Any:
    return deployment.stage.service.create_worker_deployment(
        CreateWorkerDeploymentRequest(
            namespace=deployment.stage.namespace,
            deployment_name=deployment.name,
            identity=CLIENT_IDENTITY,
            **fields,
        )
    )


def _create_version(deployment: Deployment, build: str, **fields: Any) -> Any:
    return deployment.stage.service.create_worker_deployment_version(
        CreateWorkerDeploymentVersionRequest(
            namespace=deployment.stage.namespace,
            deployment_version=deployment.version(build),
            identity=CLIENT_IDENTITY,
            **fields,
        )
    )


def _delete(deployment: Deployment) -> Any:
    return deployment.stage.service.delete_worker_deployment(
        DeleteWorkerDeploymentRequest(
            namespace=deployment.stage.namespace,
            deployment_name=deployment.name,
            identity=CLIENT_IDENTITY,
        )
    )


def _delete_version(deployment: Deployment, build: str, **fields: Any) -> Any:
    return deployment.stage.service.delete_worker_deployment_version(
        DeleteWorkerDeploymentVersionRequest(
            namespace=deployment.stage.namespace,
            deployment_version=deployment.version(build),
            identity=CLIENT_IDENTITY,
            **fields,
        )
    )


def _metadata(deployment: Deployment, build: str, **fields: Any) -> Any:
    return deployment.stage.service.update_worker_deployment_version_metadata(
        UpdateWorkerDeploymentVersionMetadataRequest(
            namespace=deployment.stage.namespace,
            deployment_version=deployment.version(build),
            identity=CLIENT_IDENTITY,
            **fields,
        )
    )
