"""Which machines there are: the one place that knows all kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from perdure.server.machines.ports import Kind, Machine
from perdure.server.machines.schedule.machine import SCHEDULE_MACHINE
from perdure.server.machines.schedule.messages import Message as ScheduleMessage
from perdure.server.machines.standalone_activity.machine import ACTIVITY_MACHINE
from perdure.server.machines.standalone_nexus.machine import NEXUS_OPERATION_MACHINE
from perdure.server.machines.workflow.machine import WORKFLOW_MACHINE
from perdure.server.machines.workflow.messages import Message as WorkflowMessage

MACHINES: Mapping[Kind, Machine] = {
    machine.kind: machine
    for machine in (WORKFLOW_MACHINE, SCHEDULE_MACHINE, ACTIVITY_MACHINE, NEXUS_OPERATION_MACHINE)
}

Message = WorkflowMessage | ScheduleMessage
"""All that machines tell each other: the tags are unique, whoever it is for."""


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """A message on its way, as it is stored."""

    namespace: int
    id: str
    message: Message
    kind: Kind = Kind.WORKFLOW


_decode = msgspec.msgpack.Decoder(Envelope).decode
_encode = msgspec.msgpack.Encoder().encode


def encode_envelope(namespace: int, kind: Kind, subject_id: str, message: Any) -> bytes:
    """What the outbox stores of a message."""
    return _encode(Envelope(namespace, subject_id, message, kind))


def decode_envelope(content: bytes) -> Envelope:
    """The stored message. Raises msgspec.MsgspecError."""
    return _decode(content)
