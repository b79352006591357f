"""What workflows tell each other: the payload of outbox rows, and inputs of the workflow that they
are for.

A message names the run that it is for ("" means: whichever is current), and all that its receiver
needs, so that it can be decided on without a look at the sender. The messages of a source's
commands come first, then a parent's last word to its children, then what a source is told.
Protobuf parts are kept serialised. Messages are stored: a new field goes at the end, with a
default.
"""

from __future__ import annotations

import hashlib

import msgspec

from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.workflow.state import Override


class Source(msgspec.Struct, array_like=True, frozen=True):
    """The run, and the event of it, that a message came from and its answer goes to."""

    workflow_id: str
    run_id: str
    initiated_event_id: int


class Inherited(msgspec.Struct, array_like=True, frozen=True):
    """On which version of a worker deployment a parent is, which its child inherits."""

    queue: str
    """The parent's: a child on another one inherits only versions whose workers poll that."""
    version: VersionName
    is_pinned: bool
    revision: int = 0
    """Of a parent that is not pinned: 0 when it is not to be inherited."""
    override: Override | None = None


class Parent(msgspec.Struct, array_like=True, frozen=True):
    """What a child records of the workflow that started it."""

    namespace: str
    namespace_id: str
    workflow_id: str
    run_id: str
    initiated_event_id: int
    root_workflow_id: str
    root_run_id: str
    inherited: Inherited | None = None
    """What the child is on, if its queue has workers of that version."""


# ---- commands of a source


class StartChild(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Start a child. `request` is a serialised StartWorkflowExecutionRequest."""

    parent: Parent
    request: bytes
    control: str = ""
    run_id: str = ""
    pinned_to: VersionName | None = None
    """The version that the child's own override names."""
    is_version_absent: bool = False
    """Whether that has no workers on the child's queue, which only the shell knows."""

    @property
    def source(self) -> Source:
        """Where the answer goes."""
        parent = self.parent
        return Source(parent.workflow_id, parent.run_id, parent.initiated_event_id)


class SignalFromWorkflow(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Deliver a signal. `signal` is the source's serialised initiated event attributes."""

    run_id: str
    source: Source
    request_id: str
    signal: bytes


class CancelFromWorkflow(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Ask the workflow to cancel, if `child_only` only when the source is its parent."""

    run_id: str
    source: Source
    request_id: str
    reason: str
    child_only: bool


# ---- a parent that has closed


class TerminateFromParent(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """End the child whose chain began with `first_run_id` ("": which the parent never heard)."""

    parent: Source
    first_run_id: str
    identity: str
    run_id: str = ""


class CancelFromParent(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Ask that child to cancel."""

    parent: Source
    first_run_id: str
    identity: str
    run_id: str = ""


# ---- to a parent


class ChildStarted(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """The child runs. `header` is a serialised Header, None when the child has none."""

    run_id: str
    initiated_event_id: int
    child_run_id: str
    header: bytes | None


class ChildStartFailed(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """There will be no child, for `cause` (Temporal's StartChildWorkflowExecutionFailedCause)."""

    run_id: str
    initiated_event_id: int
    cause: int
    control: str


class ChildClosed(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """The last run of the child's chain has ended: the type and the serialised attributes of its
    close event."""

    run_id: str
    initiated_event_id: int
    child_workflow_id: str
    child_run_id: str
    first_run_id: str
    event_type: int
    attributes: bytes


# ---- to the source of a signal or of a cancel request


class SignalOutcome(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """What became of a signal; `cause` 0: delivered."""

    run_id: str
    initiated_event_id: int
    cause: int
    control: str


class CancelOutcome(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """What became of a cancel request; `cause` 0: requested."""

    run_id: str
    initiated_event_id: int
    cause: int


Command = StartChild | SignalFromWorkflow | CancelFromWorkflow
"""Messages that their source may take back by closing before they are delivered."""

Message = (
    StartChild
    | SignalFromWorkflow
    | CancelFromWorkflow
    | TerminateFromParent
    | CancelFromParent
    | ChildStarted
    | ChildStartFailed
    | ChildClosed
    | SignalOutcome
    | CancelOutcome
)

encode = msgspec.msgpack.Encoder().encode


def child_request_id(run_id: str, initiated_event_id: int) -> str:
    """The request id that a child is started with: run, event and (always 0) version, as the real
    server spells it."""
    return f"{run_id}:{initiated_event_id}:0"


def request_id_of(run_id: str, initiated_event_id: int) -> str:
    """The request id of a signal or a cancel request: always the same for one event, so that a
    message which comes twice is known; a UUID, as those of the real server."""
    digest = hashlib.sha1(f"{run_id}:{initiated_event_id}".encode(), usedforsecurity=False)
    number = int.from_bytes(digest.digest()[:16], "big")
    number = number & ~(0xF << 76) | 0x8 << 76  # version 8: made by a rule of our own
    number = number & ~(0x3 << 62) | 0x2 << 62
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
