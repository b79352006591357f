"""Short ways to write commits in tests. Everything not said has a value that is valid and dull."""

from __future__ import annotations

from typing import Any

from perdure.server.store.codec import seal
from perdure.server.store.ports import (
    Commit,
    DispatchRow,
    Fence,
    HistoryBatch,
    RunIdentity,
    RunWrite,
    Store,
    VisibilityRow,
    WorkflowWrite,
)

NAMESPACE = 1
SHARD = 1


def run_id(number: int) -> bytes:
    """The 16 bytes that stand for a run's UUID."""
    return number.to_bytes(16, "big")


def identity(number: int, workflow_id: str, namespace: int = NAMESPACE) -> RunIdentity:
    """The names of a run."""
    return RunIdentity(namespace, workflow_id, run_id(number))


def batch(first: int, last: int, size_bytes: int = 100) -> HistoryBatch:
    """A batch whose content tells its place."""
    return HistoryBatch(first, last, size_bytes, seal(b"events %d to %d" % (first, last)))


def new_run(number: int, workflow_id: str, namespace: int = NAMESPACE, **changes: Any) -> RunWrite:
    """The first write of a run, with events 1 and 2."""
    fields: dict[str, Any] = {
        "run": number,
        "version": 1,
        "turn": number,
        "head": seal(b"head of %d" % number),
        "insert": identity(number, workflow_id, namespace),
        "history": [batch(1, 2)],
    }
    return RunWrite(**{**fields, **changes})


def later(number: int, version: int = 2, **changes: Any) -> RunWrite:
    """A write of a run that exists."""
    fields: dict[str, Any] = {
        "run": number,
        "version": version,
        "turn": number * 1000 + version,
        "head": seal(b"head of %d, version %d" % (number, version)),
    }
    return RunWrite(**{**fields, **changes})


def start(number: int, workflow_id: str | None = None, **changes: Any) -> WorkflowWrite:
    """A new workflow with one run, which is current."""
    workflow_id = workflow_id or f"workflow-{number}"
    return WorkflowWrite(
        NAMESPACE, workflow_id, [new_run(number, workflow_id, **changes)], current=number
    )


def change(number: int, version: int = 2, **changes: Any) -> WorkflowWrite:
    """A write of the workflow that `start(number)` made."""
    return WorkflowWrite(NAMESPACE, f"workflow-{number}", [later(number, version, **changes)])


def shown(start_ns: int, close_ns: int = 0) -> VisibilityRow:
    """What a run is listed by."""
    return VisibilityRow("Greeting", 2 if close_ns else 1, start_ns, close_ns)


async def listed(store: Store, namespace: int = NAMESPACE) -> list[int]:
    """The numbers of the runs on the first page of a list."""
    page = await store.list_executions(namespace, None, 100)
    return [run.run for run in page.runs]


def task(number: int, event_id: int, **changes: Any) -> DispatchRow:
    """A dispatch row on queue `queue`."""
    fields: dict[str, Any] = {
        "run": number,
        "event_id": event_id,
        "namespace": NAMESPACE,
        "queue": "queue",
        "kind": 1,
        "priority": 3,
        "ready_at_ns": 1000,
        "stamp": 1,
    }
    return DispatchRow(**{**fields, **changes})


def group(fence: Fence, *writes: WorkflowWrite) -> Commit:
    """One transaction."""
    return Commit(fence, list(writes))
