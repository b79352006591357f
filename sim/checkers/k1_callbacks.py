"""K1: who has asked to hear how a chain of runs ends is told how it did, and not before."""

from __future__ import annotations

from collections.abc import Iterator

from temporalio.api.common.v1 import Callback as CallbackMessage

from perdure.server.machines.workflow.callbacks import PENDING
from perdure.server.machines.workflow.state import Callback, CallbackState, Status
from sim.audit import Audit, StoredRun

STATES = {Status.COMPLETED: "succeeded", Status.CANCELED: "canceled"}
"""How Nexus calls an end; any other has failed."""


def check(audit: Audit) -> Iterator[str]:
    """Every callback that was forgotten, or told something else."""
    for stored in audit.runs:
        if stored.run.is_open:
            continue
        for callback in stored.run.callbacks.values():
            yield from _check_callback(audit, stored, callback)


def _check_callback(audit: Audit, stored: StoredRun, callback: Callback) -> Iterator[str]:
    name = f"callback {callback.key} of {stored.run_id}"
    url = CallbackMessage.FromString(callback.callback).nexus.url
    heard = [each for each in audit.ledger.heard.get(url, []) if each.run_id == stored.run_id]
    if callback.state == CallbackState.SUCCEEDED and not heard:
        yield f"{name} is said to have been heard"
    if callback.state == CallbackState.STANDBY and heard:
        yield f"{name} was called, and does not know it"
    if audit.is_final and callback.state in PENDING:
        yield f"{name} was never heard"
    if callback.state == CallbackState.STANDBY and not stored.is_base and not _follows(stored):
        yield f"{name} waits for the end of a chain that is over"
    expected = STATES.get(Status(stored.run.recorded.status), "failed")
    for each in heard:
        if each.state != expected:
            yield f"{name} was told {each.state}, and it has {expected}"


def _follows(stored: StoredRun) -> bool:
    """Whether another run goes on where this one has ended."""
    closing = stored.events[-1]
    attributes = getattr(closing, closing.WhichOneof("attributes") or "")
    return bool(getattr(attributes, "new_execution_run_id", ""))
