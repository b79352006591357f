"""About how much state a run has.

It is asked for at every turn, so it is counted roughly: large parts by their bytes, and all parts
by their number. `Run.large_parts` is an index of the large ones, derived and never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from perdure.server.machines.workflow.nexus.state import PendingOperation
from perdure.server.machines.workflow.state import (
    BlobName,
    PendingActivity,
    RecordKind,
    Run,
)

PART_BYTES = 200
"""What a small part counts for."""
LARGE_PART_BYTES = 1024
"""Parts from this size on are counted by their bytes."""

PARTS: dict[RecordKind, Callable[[Run], dict[Any, Any]]] = {
    RecordKind.ACTIVITY: lambda run: run.activities,
    RecordKind.TIMER: lambda run: run.timers,
    RecordKind.BUFFERED: lambda run: run.buffered,
    RecordKind.REQUEST: lambda run: run.requests,
    RecordKind.BLOB: lambda run: run.blobs,
    RecordKind.CHILD: lambda run: run.children,
    RecordKind.EXTERNAL_SIGNAL: lambda run: run.external_signals,
    RecordKind.EXTERNAL_CANCEL: lambda run: run.external_cancels,
    RecordKind.UPDATE: lambda run: run.updates,
    RecordKind.CALLBACK: lambda run: run.callbacks,
    RecordKind.NEXUS_OPERATION: lambda run: run.nexus_operations,
}
"""The keyed parts of a run, by kind."""


def count(run: Run, touched: Iterable[tuple[RecordKind, int | str]]) -> None:
    """Count parts anew that have changed."""
    for kind, key in touched:
        part = PARTS[kind](run).get(key)
        size = 0 if part is None else _SIZES[kind](part)
        if size >= LARGE_PART_BYTES and (kind, key) != (RecordKind.BLOB, BlobName.START_EVENT):
            run.large_parts[kind, key] = size
        elif run.large_parts:
            run.large_parts.pop((kind, key), None)


def count_all(run: Run) -> None:
    """Count all parts of a run that was loaded."""
    for kind, part_of in PARTS.items():
        count(run, [(kind, key) for key in part_of(run)])


def state_bytes(run: Run) -> int:
    """About how many bytes of state a run has."""
    parts = (
        len(run.activities)
        + len(run.timers)
        + len(run.buffered)
        + len(run.requests)
        + len(run.blobs)
        + len(run.children)
        + len(run.external_signals)
        + len(run.external_cancels)
        + len(run.callbacks)
        + len(run.nexus_operations)
    )
    return sum(run.large_parts.values()) + PART_BYTES * parts


def _activity_bytes(pending: PendingActivity) -> int:
    attempt = pending.attempt
    return len(attempt.heartbeat_details) + len(attempt.last_failure) + PART_BYTES


def _operation_bytes(pending: PendingOperation) -> int:
    calls, operation = pending.calls, pending.operation
    cancelling = calls.cancellation
    failures = len(calls.failure) + (len(cancelling.failure) if cancelling is not None else 0)
    names = len(operation.service) + len(operation.operation) + len(calls.operation_token)
    return failures + names + PART_BYTES


_SIZES: dict[RecordKind, Callable[[Any], int]] = {
    RecordKind.ACTIVITY: _activity_bytes,
    RecordKind.TIMER: lambda timer: len(timer.timer_id),
    RecordKind.BUFFERED: lambda buffered: len(buffered.event),
    RecordKind.REQUEST: lambda request: len(request.request_id),
    RecordKind.BLOB: len,
    RecordKind.CHILD: lambda child: len(child.workflow_id) + len(child.workflow_type),
    RecordKind.EXTERNAL_SIGNAL: lambda external: len(external.workflow_id),
    RecordKind.EXTERNAL_CANCEL: lambda external: len(external.workflow_id),
    RecordKind.UPDATE: lambda update: len(update.update_id),
    RecordKind.CALLBACK: lambda callback: len(callback.callback) + len(callback.failure),
    RecordKind.NEXUS_OPERATION: _operation_bytes,
}
