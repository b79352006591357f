"""A stored run as filters see it: for stores that have no SQL."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection

import msgspec

from perdure.server.machines.search_attributes import Scalar
from perdure.server.store.ports import RunIdentity, VisibilityRow
from perdure.server.visibility.query.tree import Attribute


class ShownRun(msgspec.Struct, frozen=True):
    """A run's names and its visibility row."""

    identity: RunIdentity
    row: VisibilityRow

    def one(self, attribute: Attribute) -> Scalar | None:
        """The value of an attribute that has at most one."""
        read = _SYSTEM.get(attribute.field)
        if read is not None:
            return read(self)
        return next(iter(self.many(attribute)), None)

    def many(self, attribute: Attribute) -> Collection[Scalar]:
        """All values of an attribute."""
        if attribute.field == "BuildIds":
            return self.row.build_ids
        return [value for field, value in self.row.attributes if field == attribute.field]


def _run_id(run: ShownRun) -> str:
    return str(uuid.UUID(bytes=run.identity.run_id))


def _execution_time_ns(run: ShownRun) -> int:
    return run.row.execution_time_ns or run.row.start_time_ns


def _duration_ns(run: ShownRun) -> int | None:
    if not run.row.close_time_ns:
        return None
    return max(0, run.row.close_time_ns - _execution_time_ns(run))


_SYSTEM: dict[str, Callable[[ShownRun], Scalar | None]] = {
    "WorkflowId": lambda run: run.identity.workflow_id,
    "RunId": _run_id,
    "WorkflowType": lambda run: run.row.workflow_type,
    "StartTime": lambda run: run.row.start_time_ns,
    "ExecutionTime": _execution_time_ns,
    "CloseTime": lambda run: run.row.close_time_ns or None,
    "ExecutionStatus": lambda run: run.row.status,
    "TaskQueue": lambda run: run.row.task_queue,
    "HistoryLength": lambda run: run.row.history_length or None,
    "HistorySizeBytes": lambda run: run.row.history_size_bytes or None,
    "StateTransitionCount": lambda run: run.row.state_transitions or None,
    "ExecutionDuration": _duration_ns,
    "ParentWorkflowId": lambda run: run.row.parent_workflow_id or None,
    "ParentRunId": lambda run: run.row.parent_run_id or None,
    "RootWorkflowId": lambda run: run.row.root_workflow_id or run.identity.workflow_id,
    "RootRunId": lambda run: run.row.root_run_id or _run_id(run),
}
"""The same attributes that are columns in SQL."""
