"""Resets as a shell asks for them, from what the world has stored."""

from __future__ import annotations

from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from perdure.server.machines.wire import entries_of, event_of
from perdure.server.machines.workflow import resetting
from perdure.server.machines.workflow.inputs import ResetWorkflow
from tests.machines.world import World


def reset(world: World, cut: int, base_id: str = "", **fields: Any) -> ResetWorkflow:
    """A reset of a run (the current one, unless named) to the event `cut`. Raises InvalidArgument
    where nothing can be cut."""
    message = unchecked(world, cut, base_id, **fields)
    entries = entries_of(world.runs[base_id or world.run.recorded.run_id].history)
    resetting.check_range(message.base or world.run, cut)
    following = HistoryEvent.FromString(event_of(entries[cut - 1])) if cut <= len(entries) else None
    resetting.check_cut(message.prefix, following, cut)
    return message


def unchecked(world: World, cut: int, base_id: str = "", **fields: Any) -> ResetWorkflow:
    """The same, wherever it cuts."""
    run = world.workflow.run
    base_id = base_id or (run.recorded.run_id if run is not None else "")
    request = ResetWorkflowExecutionRequest(
        **{
            "workflow_execution": WorkflowExecution(workflow_id="w", run_id=base_id),
            "reason": "because",
            "workflow_task_finish_event_id": cut,
            "request_id": "reset",
            **fields,
        }
    )
    fold = resetting.Fold()
    if run is None:
        return ResetWorkflow(request, world.ids.uuid(), None, fold, b"", [], 0)
    stored = world.runs[base_id]
    entries = entries_of(stored.history)
    fold.feed(entries[: cut - 1])
    later = resetting.done_again(entries[cut - 1 :], is_base=True)
    following, seen = stored.decode(), 0
    if base_id == run.recorded.run_id:
        seen = run.recorded.next_event_id
    while successor := resetting.successor_to_follow(following):
        later += resetting.done_again(entries_of(world.runs[successor].history), is_base=False)
        if successor == run.recorded.run_id:
            seen = run.recorded.next_event_id
        following = world.runs[successor].decode()
    base = None if base_id == run.recorded.run_id else stored.decode()
    start_event = event_of(entries[0])
    return ResetWorkflow(request, world.ids.uuid(), base, fold, start_event, later, seen)
