"""Sets of compatible build ids, by which tasks came to workers before there were deployments.

Temporal's stock server has them switched off, and refuses these calls; so does ours.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from temporalio.api.enums.v1 import task_queue_pb2
from temporalio.api.taskqueue.v1 import TaskQueueReachability
from temporalio.api.workflowservice.v1 import (
    GetWorkerBuildIdCompatibilityRequest,
    GetWorkerBuildIdCompatibilityResponse,
    GetWorkerTaskReachabilityRequest,
    GetWorkerTaskReachabilityResponse,
    UpdateWorkerBuildIdCompatibilityRequest,
    UpdateWorkerBuildIdCompatibilityResponse,
)

from perdure.client.connection import Connection
from perdure.service import Metadata


class BuildIdOp(ABC):
    """A change of a task queue's sets."""

    @abstractmethod
    def _request(self) -> UpdateWorkerBuildIdCompatibilityRequest:
        """The request, which says what to change, and not yet where."""


@dataclass(frozen=True)
class BuildIdOpAddNewDefault(BuildIdOp):
    """Adds a build id in a set of its own, which new workflows go to."""

    build_id: str

    def _request(self) -> UpdateWorkerBuildIdCompatibilityRequest:
        return UpdateWorkerBuildIdCompatibilityRequest(
            add_new_build_id_in_new_default_set=self.build_id
        )


@dataclass(frozen=True)
class BuildIdOpAddNewCompatible(BuildIdOp):
    """Adds a build id to the set of another, whose default it becomes; with `promote_set`, that set
    is the one which new workflows go to."""

    build_id: str
    existing_compatible_build_id: str
    promote_set: bool = False

    def _request(self) -> UpdateWorkerBuildIdCompatibilityRequest:
        return UpdateWorkerBuildIdCompatibilityRequest(
            add_new_compatible_build_id=(
                UpdateWorkerBuildIdCompatibilityRequest.AddNewCompatibleVersion(
                    new_build_id=self.build_id,
                    existing_compatible_build_id=self.existing_compatible_build_id,
                    make_set_default=self.promote_set,
                )
            )
        )


@dataclass(frozen=True)
class BuildIdOpPromoteSetByBuildId(BuildIdOp):
    """Has new workflows go to the set that a build id is in."""

    build_id: str

    def _request(self) -> UpdateWorkerBuildIdCompatibilityRequest:
        return UpdateWorkerBuildIdCompatibilityRequest(promote_set_by_build_id=self.build_id)


@dataclass(frozen=True)
class BuildIdOpPromoteBuildIdWithinSet(BuildIdOp):
    """Makes a build id the default of the set that it is in."""

    build_id: str

    def _request(self) -> UpdateWorkerBuildIdCompatibilityRequest:
        return UpdateWorkerBuildIdCompatibilityRequest(promote_build_id_within_set=self.build_id)


@dataclass(frozen=True)
class BuildIdOpMergeSets(BuildIdOp):
    """Makes one set of two; the default of the first is the default of both."""

    primary_build_id: str
    secondary_build_id: str

    def _request(self) -> UpdateWorkerBuildIdCompatibilityRequest:
        return UpdateWorkerBuildIdCompatibilityRequest(
            merge_sets=UpdateWorkerBuildIdCompatibilityRequest.MergeSets(
                primary_set_build_id=self.primary_build_id,
                secondary_set_build_id=self.secondary_build_id,
            )
        )


@dataclass(frozen=True)
class BuildIdVersionSet:
    """Build ids that can go on with each other's workflows; the last is the default."""

    build_ids: Sequence[str]

    def default(self) -> str:
        """The one whose workers get the tasks."""
        return self.build_ids[-1]


@dataclass(frozen=True)
class WorkerBuildIdVersionSets:
    """All sets of a task queue; new workflows go to the last."""

    version_sets: Sequence[BuildIdVersionSet]

    def default_set(self) -> BuildIdVersionSet:
        """The set that new workflows go to."""
        return self.version_sets[-1]

    def default_build_id(self) -> str:
        """The build id that new workflows go to."""
        return self.default_set().default()


class TaskReachabilityType(Enum):
    """Which tasks can come."""

    NEW_WORKFLOWS = 1
    EXISTING_WORKFLOWS = 2
    OPEN_WORKFLOWS = 3
    CLOSED_WORKFLOWS = 4


@dataclass(frozen=True)
class BuildIdReachability:
    """By task queue, which tasks can come to workers of a build id; and of which queues too many
    were asked about at once."""

    task_queue_reachability: Mapping[str, Sequence[TaskReachabilityType]]
    unretrieved_task_queues: frozenset[str]


@dataclass(frozen=True)
class WorkerTaskReachability:
    """By build id, which tasks can come to its workers."""

    build_id_reachability: Mapping[str, BuildIdReachability]


@dataclass
class UpdateWorkerBuildIdCompatibilityInput:
    """The sets of a task queue are changed."""

    task_queue: str
    operation: BuildIdOp
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class GetWorkerBuildIdCompatibilityInput:
    """The sets of a task queue are asked for."""

    task_queue: str
    max_sets: int | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass
class GetWorkerTaskReachabilityInput:
    """Which tasks can come is asked for."""

    build_ids: Sequence[str]
    task_queues: Sequence[str]
    reachability: TaskReachabilityType | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


async def update(connection: Connection, asked: UpdateWorkerBuildIdCompatibilityInput) -> None:
    """Change the sets of a task queue. Raises RPCError."""
    request = asked.operation._request()
    request.namespace = connection.namespace
    request.task_queue = asked.task_queue
    await connection.call(
        "UpdateWorkerBuildIdCompatibility",
        request,
        UpdateWorkerBuildIdCompatibilityResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )


async def get(
    connection: Connection, asked: GetWorkerBuildIdCompatibilityInput
) -> WorkerBuildIdVersionSets:
    """The sets of a task queue. Raises RPCError."""
    response = await connection.call(
        "GetWorkerBuildIdCompatibility",
        GetWorkerBuildIdCompatibilityRequest(
            namespace=connection.namespace,
            task_queue=asked.task_queue,
            max_sets=asked.max_sets or 0,
        ),
        GetWorkerBuildIdCompatibilityResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )
    return WorkerBuildIdVersionSets(
        [BuildIdVersionSet(list(one.build_ids)) for one in response.major_version_sets]
    )


async def reachability(
    connection: Connection, asked: GetWorkerTaskReachabilityInput
) -> WorkerTaskReachability:
    """Which tasks can come. Raises RPCError."""
    kind = 0 if asked.reachability is None else asked.reachability.value
    response = await connection.call(
        "GetWorkerTaskReachability",
        GetWorkerTaskReachabilityRequest(
            namespace=connection.namespace,
            build_ids=asked.build_ids,
            task_queues=asked.task_queues,
            reachability=task_queue_pb2.TaskReachability.ValueType(kind),
        ),
        GetWorkerTaskReachabilityResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )
    return WorkerTaskReachability(
        {
            one.build_id: _of_build_id(one.task_queue_reachability)
            for one in response.build_id_reachability
        }
    )


def _of_build_id(queues: Iterable[TaskQueueReachability]) -> BuildIdReachability:
    known: dict[str, Sequence[TaskReachabilityType]] = {}
    unknown = set()
    for queue in queues:
        name, kinds = queue.task_queue, list(queue.reachability)
        if kinds == [task_queue_pb2.TASK_REACHABILITY_UNSPECIFIED]:
            unknown.add(name)
        else:
            known[name] = [TaskReachabilityType(kind) for kind in kinds]
    return BuildIdReachability(known, frozenset(unknown))
