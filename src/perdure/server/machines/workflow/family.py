"""What a run owes its children and its parent when it closes."""

from __future__ import annotations

from temporalio.api.enums.v1 import workflow_pb2
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.workflow import scheduled
from perdure.server.machines.workflow.messages import (
    CancelFromParent,
    ChildClosed,
    Parent,
    Source,
    TerminateFromParent,
)
from perdure.server.machines.workflow.state import Run, Status
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.workflow_task import HISTORY_SERVICE

PARENT_CLOSE_PROCESSOR = "temporal-sys-parent-close-policy-workflow"
"""Who the real server says has closed the children of a parent that had many."""

_POLICY_MESSAGES = {
    workflow_pb2.PARENT_CLOSE_POLICY_TERMINATE: TerminateFromParent,
    workflow_pb2.PARENT_CLOSE_POLICY_REQUEST_CANCEL: CancelFromParent,
}
"""What children of each policy are told; abandoned ones nothing."""


def close_children(turn: Turn) -> None:
    """Before a run closes: its children are told, as the policy of each says. A successor does not
    inherit them."""
    run = turn.run
    pending = [child for child in run.children.values() if not child.is_over]
    is_many = len(pending) >= turn.limits.parent_close_batch
    identity = PARENT_CLOSE_PROCESSOR if is_many else HISTORY_SERVICE
    for child in pending:
        message = _POLICY_MESSAGES.get(child.parent_close_policy)  # type: ignore[call-overload]
        if message is not None:
            parent = Source(
                turn.workflow.workflow_id, run.recorded.run_id, child.initiated_event_id
            )
            turn.send(child.workflow_id, message(parent, child.first_run_id, identity))


def report_close(turn: Turn, event: HistoryEvent) -> None:
    """After a run has closed: its parent and its schedule hear of it, unless the chain goes on."""
    recorded = turn.run.recorded
    goes_on = recorded.status == Status.CONTINUED_AS_NEW or recorded.successor_run_id
    if goes_on:
        return
    if turn.run.pending.scheduled_by is not None:
        scheduled.report_close(turn, turn.run.pending.scheduled_by, event)
    if not recorded.parent_workflow_id:
        return
    attributes = getattr(event, str(event.WhichOneof("attributes")))
    turn.send(
        recorded.parent_workflow_id,
        ChildClosed(
            run_id=recorded.parent_run_id,
            initiated_event_id=recorded.parent_initiated_event_id,
            child_workflow_id=turn.workflow.workflow_id,
            child_run_id=recorded.run_id,
            first_run_id=recorded.first_execution_run_id,
            event_type=event.event_type,
            attributes=attributes.SerializeToString(deterministic=True),
        ),
    )


def parent_of(run: Run) -> Parent:
    """The parent of a run that has one."""
    recorded = run.recorded
    return Parent(
        namespace=recorded.parent_namespace,
        namespace_id=recorded.parent_namespace_id,
        workflow_id=recorded.parent_workflow_id,
        run_id=recorded.parent_run_id,
        initiated_event_id=recorded.parent_initiated_event_id,
        root_workflow_id=recorded.root_workflow_id,
        root_run_id=recorded.root_run_id,
    )


def is_child_of(run: Run, parent: Source) -> bool:
    """Whether the run was started by that run."""
    recorded = run.recorded
    return (recorded.parent_workflow_id, recorded.parent_run_id) == (
        parent.workflow_id,
        parent.run_id,
    )
