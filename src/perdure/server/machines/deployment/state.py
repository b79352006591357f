"""What a worker deployment is: its versions, and its routing. Structs are stored as arrays: a new
field goes at the end, with a default."""

from __future__ import annotations

import enum

import msgspec

from perdure.server.machines.deployment.names import UNVERSIONED, VersionName
from perdure.server.machines.errors import InvariantViolation


class Status(enum.IntEnum):
    """Temporal's WorkerDeploymentVersionStatus."""

    INACTIVE = 1
    CURRENT = 2
    RAMPING = 3
    DRAINING = 4
    DRAINED = 5
    CREATED = 6


class Drainage(enum.IntEnum):
    """Temporal's VersionDrainageStatus."""

    NONE = 0
    DRAINING = 1
    DRAINED = 2


class TaskQueue(msgspec.Struct, array_like=True, frozen=True, order=True):
    """A queue that workers of a version poll; `kind` is Temporal's TaskQueueType."""

    name: str
    kind: int


class Version(msgspec.Struct, array_like=True):
    """One build of a deployment. Times are 0 where there is none."""

    build_id: str
    create_time_ns: int
    status: int = Status.INACTIVE
    create_request_id: str = ""
    last_modifier: str = ""
    routing_update_ns: int = 0
    current_since_ns: int = 0
    ramping_since_ns: int = 0
    ramp_percentage: float = 0.0
    first_activation_ns: int = 0
    last_current_ns: int = 0
    last_deactivation_ns: int = 0
    drainage: int = Drainage.NONE
    drainage_changed_ns: int = 0
    drainage_checked_ns: int = 0
    queues: tuple[TaskQueue, ...] = ()
    metadata: bytes = b""
    """A serialised VersionMetadata."""
    has_metadata: bool = False
    """Whether anything was ever noted: then it is shown, though nothing be left of it."""


class Routing(msgspec.Struct, array_like=True):
    """Where new work goes. Builds: "" is none, `UNVERSIONED` are workers of no version."""

    current: str = UNVERSIONED
    ramping: str = ""
    percentage: float = 0.0
    current_changed_ns: int = 0
    ramping_changed_ns: int = 0
    percentage_changed_ns: int = 0
    revision: int = 0
    """Grows with each change."""


class Deployment(msgspec.Struct, array_like=True):
    """A deployment, whole."""

    name: str
    create_time_ns: int
    token_ns: int
    """When it was last changed by somebody who could show that they knew it."""
    routing: Routing
    create_request_id: str = ""
    is_created_by_poll: bool = False
    last_modifier: str = ""
    manager: str = ""
    versions: dict[str, Version] = {}
    """By build."""
    modified_ns: int = 0
    """When anything of it was last changed."""

    def version_name(self, build_id: str) -> VersionName | None:
        """A version of it, or None for "" and the unversioned workers."""
        return None if build_id in ("", UNVERSIONED) else VersionName(self.name, build_id)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Deployment)


def encode(deployment: Deployment) -> bytes:
    """A deployment, as it is stored."""
    return _encoder.encode(deployment)


def decode(content: bytes) -> Deployment:
    """A stored deployment."""
    try:
        return _decoder.decode(content)
    except msgspec.MsgspecError as error:
        raise InvariantViolation(f"a stored deployment cannot be read: {error}") from error
