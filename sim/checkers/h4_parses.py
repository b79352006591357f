"""H4: everything that was written can be read back, and no failure is nested too deeply."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message
from temporalio.api.failure.v1 import Failure

from perdure.server.machines.ports import DEFAULT_LIMITS
from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every run with something that cannot be read, or should not have been written."""
    for stored in audit.runs:
        for problem in stored.problems:
            yield f"{stored.run_id}: {problem}"
        for event in stored.events:
            depth = failure_depth(event)
            if depth > DEFAULT_LIMITS.failure_depth_max:
                yield f"{stored.run_id}: event {event.event_id} has a failure of depth {depth}"


def failure_depth(message: Message) -> int:
    """How deep the causes of the failures in a message go."""
    deepest = 0
    for field, value in message.ListFields():
        if isinstance(value, Failure):
            deepest = max(deepest, 1 + failure_depth(value))
        elif field.message_type is not None and isinstance(value, Message):
            deepest = max(deepest, failure_depth(value))
    return deepest
