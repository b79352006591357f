"""Deletions of open runs, and what is found then. Of closed ones the real server takes minutes."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
)
from temporalio.service import RPCError, RPCStatusCode

from tests.interop.programs.children_by_hand import CHILD_STARTED, Home
from tests.interop.raw import HandWorker, complete_workflow, start_timer
from tests.interop.stage import WAIT_SECONDS, Stage


def _request(
    stage: Stage, execution: WorkflowExecution | None, **fields: Any
) -> DeleteWorkflowExecutionRequest:
    return DeleteWorkflowExecutionRequest(
        **{"namespace": stage.namespace, "workflow_execution": execution, **fields}
    )


async def _gone(stage: Stage, execution: WorkflowExecution) -> None:
    """Waits until a run is not found: the real server deletes in the background."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                await stage.description(execution)
            except RPCError as refusal:
                if refusal.status == RPCStatusCode.NOT_FOUND:
                    return
                raise
            await asyncio.sleep(0.05)


async def _observe(stage: Stage, label: str, execution: WorkflowExecution) -> None:
    """What is told of a run that is gone."""
    await stage.outcome(
        f"{label}: describe",
        stage.service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace=stage.namespace, execution=execution)
        ),
    )
    await stage.outcome(
        f"{label}: history",
        stage.service.get_workflow_execution_history(
            GetWorkflowExecutionHistoryRequest(namespace=stage.namespace, execution=execution)
        ),
    )
    await stage.outcome(
        f"{label}: delete", stage.service.delete_workflow_execution(_request(stage, execution))
    )


async def delete_open(stage: Stage) -> None:
    """An open run ends first: whoever works for it comes too late."""
    worker = HandWorker(stage)
    execution = await worker.start()
    task = await worker.poll()
    await worker.signal(execution, "one")
    await stage.outcome(
        "answer", stage.service.delete_workflow_execution(_request(stage, execution))
    )
    await _gone(stage, execution)
    await _observe(stage, "run", execution)
    await stage.outcome("too late", worker.complete(task, complete_workflow()))
    delayed = await worker.start("delayed", workflow_start_delay={"seconds": 3600})
    await stage.outcome(
        "delayed, answer", stage.service.delete_workflow_execution(_request(stage, delayed))
    )
    await _gone(stage, delayed)


async def delete_family(stage: Stage) -> None:
    """A parent that is deleted ends its children, as one that is terminated does; a child tells."""
    home = Home(stage, "home")
    parent = await home.start(home.start_child())
    await stage.event(parent, CHILD_STARTED)
    child = WorkflowExecution(workflow_id=home.child_id())
    child.run_id = (await stage.description(child)).workflow_execution_info.execution.run_id
    await stage.service.delete_workflow_execution(_request(stage, parent))
    await _gone(stage, parent)
    await stage.closed(child)
    await stage.history("child", child)
    other = Home(stage, "other")
    parent = await other.start(other.start_child())
    await stage.event(parent, CHILD_STARTED)
    await other.parents.complete(await other.parents.poll(), start_timer("t", 3600))
    child = WorkflowExecution(workflow_id=other.child_id())
    await stage.service.delete_workflow_execution(_request(stage, child))
    await _gone(stage, child)
    await other.parents.finish()
    await stage.history("parent", parent)


async def refused_deletions(stage: Stage) -> None:
    """Requests that cannot be honoured."""
    worker = HandWorker(stage)
    execution = await worker.start()
    faults: dict[str, DeleteWorkflowExecutionRequest] = {
        "no namespace": _request(stage, execution, namespace=""),
        "unknown namespace": _request(stage, execution, namespace="nowhere"),
        "no execution": _request(stage, None),
        "no id": _request(stage, WorkflowExecution()),
        "bad run id": _request(
            stage, WorkflowExecution(workflow_id=execution.workflow_id, run_id="run")
        ),
        "unknown id": _request(stage, WorkflowExecution(workflow_id=stage.workflow_id("unknown"))),
        "unknown run": _request(
            stage,
            WorkflowExecution(
                workflow_id=execution.workflow_id, run_id="11111111-2222-3333-4444-555555555555"
            ),
        ),
        "long id": _request(stage, WorkflowExecution(workflow_id="x" * 1001)),
    }
    for label, request in faults.items():
        await stage.outcome(label, stage.service.delete_workflow_execution(request))
    await stage.history("history", execution)
