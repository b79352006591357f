"""What operators do with a program's deployment: a function per kind of action.

Much of it takes effect in the background on the real server. So each waits until the task queues
know the newest routing and the versions what it makes of them, before anything else is done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from temporalio.api.deployment.v1 import RoutingConfig, WorkerDeploymentVersionInfo
from temporalio.api.enums.v1 import (
    RoutingConfigUpdateState,
    TaskQueueType,
    WorkerDeploymentVersionStatus,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    CreateWorkerDeploymentRequest,
    CreateWorkerDeploymentVersionRequest,
    DeleteWorkerDeploymentRequest,
    DeleteWorkerDeploymentVersionRequest,
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentResponse,
    DescribeWorkerDeploymentVersionRequest,
    DescribeWorkerDeploymentVersionResponse,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentManagerRequest,
    SetWorkerDeploymentRampingVersionRequest,
    UpdateWorkerDeploymentVersionMetadataRequest,
    UpdateWorkflowExecutionOptionsRequest,
)
from temporalio.service import RPCError, RPCStatusCode

from tests.differential.actions import Place
from tests.differential.board import Board
from tests.differential.program import Action
from tests.differential.versions import deployment_of, override_of, version
from tests.interop.stage import CLIENT_IDENTITY, payloads

WAIT_SECONDS_MAX = 25.0
GLANCE_SECONDS = 0.05
BELIEVED_SECONDS = 1.0
QUEUES_OF_A_WORKER = 2
"""One for workflow tasks and one for activities."""
_COMPLETED = RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_COMPLETED
_QUEUE_TYPES = (
    TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
)
_CURRENT = WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT
_RAMPING = WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_RAMPING
_INACTIVE = WorkerDeploymentVersionStatus.WORKER_DEPLOYMENT_VERSION_STATUS_INACTIVE


async def begin_worker(place: Place, action: Action, board: Board) -> Message:
    """A worker of the version `target`: told of when the version is known to have it."""
    assert place.crew is not None
    place.crew.begin(action.target)
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            with contextlib.suppress(RPCError):
                described = await _describe_version(place, action.target)
                if len(described.version_task_queues) >= QUEUES_OF_A_WORKER:
                    break
            await asyncio.sleep(GLANCE_SECONDS)
    await _propagated(place)
    return await _describe_version(place, action.target)


async def set_current(place: Place, action: Action, board: Board) -> Message:
    """New work goes to the version `target`, "" being workers of none; `how` has words for what
    else is asked."""
    words = action.how.split()
    response = await place.client.workflow_service.set_worker_deployment_current_version(
        SetWorkerDeploymentCurrentVersionRequest(
            **_named(place, words),
            build_id=action.target,
            conflict_token=await _token(place, words),
            ignore_missing_task_queues="ignoring" in words,
            allow_no_pollers="early" in words,
        )
    )
    await _propagated(place)
    return response


async def set_ramping(place: Place, action: Action, board: Board) -> Message:
    """A part of it goes there: the first word of `how` is the percentage."""
    percentage, *words = action.how.split()
    response = await place.client.workflow_service.set_worker_deployment_ramping_version(
        SetWorkerDeploymentRampingVersionRequest(
            **_named(place, words),
            build_id=action.target,
            percentage=float(percentage),
            conflict_token=await _token(place, words),
            ignore_missing_task_queues="ignoring" in words,
            allow_no_pollers="early" in words,
        )
    )
    await _propagated(place)
    return response


async def set_manager(place: Place, action: Action, board: Board) -> Message:
    """Only `target` may change the routing from now on; "self" is whoever asks."""
    words = action.how.split()
    who = {"self": True} if action.target == "self" else {"manager_identity": action.target}
    response = await place.client.workflow_service.set_worker_deployment_manager(
        SetWorkerDeploymentManagerRequest(
            **_named(place, words), **who, conflict_token=await _token(place, words)
        )
    )
    await _propagated(place)
    return response


async def change_metadata(place: Place, action: Action, board: Board) -> Message:
    """Notes on the version `target`: "add NAME" or "drop NAME"."""
    kind, _, name = action.how.partition(" ")
    entries = {name: payloads(action.how).payloads[0]} if kind == "add" else {}
    return await place.client.workflow_service.update_worker_deployment_version_metadata(
        UpdateWorkerDeploymentVersionMetadataRequest(
            namespace=place.client.namespace,
            deployment_version=version(place.nonce, action.target),
            identity=CLIENT_IDENTITY,
            upsert_entries=entries,
            remove_entries=() if entries else (name,),
        )
    )


async def create(place: Place, action: Action, board: Board) -> Message:
    """The deployment, or its version `target`, before any worker has told of it."""
    service, request_id = place.client.workflow_service, f"{action.how} {place.nonce}"
    if not action.target:
        return await service.create_worker_deployment(
            CreateWorkerDeploymentRequest(**_named(place, ()), request_id=request_id)
        )
    response = await service.create_worker_deployment_version(
        CreateWorkerDeploymentVersionRequest(
            namespace=place.client.namespace,
            deployment_version=version(place.nonce, action.target),
            identity=CLIENT_IDENTITY,
            request_id=request_id,
        )
    )
    await _propagated(place)
    return response


async def delete(place: Place, action: Action, board: Board) -> Message:
    """The version `target`, or the deployment."""
    service = place.client.workflow_service
    if not action.target:
        return await service.delete_worker_deployment(
            DeleteWorkerDeploymentRequest(**_named(place, ()))
        )
    words = action.how.split()
    response = await service.delete_worker_deployment_version(
        DeleteWorkerDeploymentVersionRequest(
            namespace=place.client.namespace,
            deployment_version=version(place.nonce, action.target),
            identity="another client" if "another" in words else CLIENT_IDENTITY,
            skip_drainage="undrained" in words,
        )
    )
    await _propagated(place)
    return response


async def look(place: Place, action: Action, board: Board) -> Message:
    """At the deployment, or at its version `target`."""
    if action.target:
        return await _describe_version(place, action.target)
    return await _describe(place)


async def look_at_queue(place: Place, action: Action, board: Board) -> Message:
    """Where the queue's work goes."""
    response = await place.client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=place.client.namespace, task_queue=TaskQueue(name=place.queue)
        )
    )
    return response.versioning_info


async def override(place: Place, action: Action, board: Board) -> Message:
    """Another override, or none, for the workflow `target`."""
    wanted = override_of(place.nonce, action.how)
    idle = await _is_idle(place, action.how)
    response = await place.client.workflow_service.update_workflow_execution_options(
        UpdateWorkflowExecutionOptionsRequest(
            namespace=place.client.namespace,
            workflow_execution=place.execution(action.target),
            workflow_execution_options=WorkflowExecutionOptions(versioning_override=wanted),
            update_mask=FieldMask(paths=["versioning_override"]),
            identity=CLIENT_IDENTITY,
        )
    )
    if idle:
        await _reactivated(place, action.how)
    return response


# ---- what is waited for


async def _propagated(place: Place) -> None:
    """Until the deployment, its versions and the task queues agree on the routing. The real server
    sometimes shows it as on its way for ever, though it has long arrived everywhere: what agrees
    for a while is believed, too."""
    agreed: float | None = None
    clock = asyncio.get_running_loop().time
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            match await _agreement(place):
                case _Agreement.SAID:
                    return
                case _Agreement.SEEN:
                    agreed = clock() if agreed is None else agreed
                    if clock() - agreed >= BELIEVED_SECONDS:
                        return
                case _Agreement.NONE:
                    agreed = None
            await asyncio.sleep(GLANCE_SECONDS)


class _Agreement(Enum):
    NONE = auto()
    SEEN = auto()
    """Versions and queues have the routing, but the deployment does not know it."""
    SAID = auto()


async def _agreement(place: Place) -> _Agreement:
    try:
        info = (await _describe(place)).worker_deployment_info
        versions = [
            await _describe_version(place, summary.deployment_version.build_id)
            for summary in info.version_summaries
        ]
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
        return _Agreement.NONE
    described = [each.worker_deployment_version_info for each in versions]
    shown = [summary.status for summary in info.version_summaries]
    if shown != [each.status for each in described] or not _statuses_fit(
        info.routing_config, described
    ):
        return _Agreement.NONE
    if info.routing_config_update_state in (0, _COMPLETED):
        return _Agreement.SAID
    known = [kind for kind in _QUEUE_TYPES if await _queue_knows(place, kind, info.routing_config)]
    return _Agreement.SEEN if len(known) == len(_QUEUE_TYPES) else _Agreement.NONE


def _statuses_fit(routing: RoutingConfig, versions: list[WorkerDeploymentVersionInfo]) -> bool:
    """Whether nobody but who is current or ramping has that status."""
    return all(
        {each.deployment_version.build_id for each in versions if each.status == status}
        == {*filter(None, (routed.build_id,))}
        for status, routed in (
            (_CURRENT, routing.current_deployment_version),
            (_RAMPING, routing.ramping_deployment_version),
        )
    )


async def _queue_knows(place: Place, kind: TaskQueueType.ValueType, routing: RoutingConfig) -> bool:
    """Whether the task queue's routing is that."""
    response = await place.client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=place.client.namespace,
            task_queue=TaskQueue(name=place.queue),
            task_queue_type=kind,
        )
    )
    info = response.versioning_info
    return (
        info.current_deployment_version.build_id == routing.current_deployment_version.build_id
        and info.ramping_deployment_version.build_id == routing.ramping_deployment_version.build_id
        and info.ramping_version_percentage == routing.ramping_version_percentage
    )


async def _is_idle(place: Place, text: str) -> bool:
    """Whether an override names a version that needs nothing."""
    build = text.partition(" ")[2]
    if not build:
        return False
    try:
        described = await _describe_version(place, build)
    except RPCError:
        return False
    return described.worker_deployment_version_info.status == _INACTIVE


async def _reactivated(place: Place, text: str) -> None:
    """Until the version knows that somebody is pinned to it."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            if not await _is_idle(place, text):
                break
            await asyncio.sleep(GLANCE_SECONDS)
    await _propagated(place)


# ---- requests


def _named(place: Place, words: list[str] | tuple[()]) -> dict[str, Any]:
    return {
        "namespace": place.client.namespace,
        "deployment_name": deployment_of(place.nonce),
        "identity": "another client" if "another" in words else CLIENT_IDENTITY,
    }


async def _token(place: Place, words: list[str]) -> bytes:
    """That of the deployment as it is, one that is no longer right, or none."""
    if "stale" in words:
        return b"stale"
    if "fresh" not in words:
        return b""
    try:
        return (await _describe(place)).conflict_token
    except RPCError:
        return b""


async def _describe(place: Place) -> DescribeWorkerDeploymentResponse:
    return await place.client.workflow_service.describe_worker_deployment(
        DescribeWorkerDeploymentRequest(
            namespace=place.client.namespace, deployment_name=deployment_of(place.nonce)
        )
    )


async def _describe_version(place: Place, build: str) -> DescribeWorkerDeploymentVersionResponse:
    return await place.client.workflow_service.describe_worker_deployment_version(
        DescribeWorkerDeploymentVersionRequest(
            namespace=place.client.namespace, deployment_version=version(place.nonce, build)
        )
    )


DEPLOYMENT_ACTIONS: Mapping[str, Callable[[Place, Action, Board], Awaitable[Message]]] = {
    "worker": begin_worker,
    "current": set_current,
    "ramping": set_ramping,
    "manager": set_manager,
    "metadata": change_metadata,
    "create": create,
    "delete": delete,
    "look": look,
    "look at queue": look_at_queue,
    "override": override,
}
"""By kind of action."""
