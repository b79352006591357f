"""Workflow ids used again, and starts sent twice."""

from __future__ import annotations

from itertools import product

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowIdConflictPolicy, WorkflowIdReusePolicy
from temporalio.api.workflow.v1 import OnConflictOptions
from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)

from tests.interop.raw import HandWorker, complete_workflow, seconds, start_timer
from tests.interop.stage import Stage

CONFLICTS = {
    "unspecified": WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED,
    "fail": WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
    "use existing": WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
    "terminate existing": WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
}
REUSES = {
    "unspecified": WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_UNSPECIFIED,
    "allow": WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
    "failed only": WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
    "reject": WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
    "terminate": WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING,
}
# A worker that never polls; nothing here needs a workflow task unless it says so.
STATES = ("running", "completed", "terminated")


async def _in_state(stage: Stage, worker: HandWorker, name: str, state: str) -> WorkflowExecution:
    execution = await worker.start(name)
    if state == "completed":
        await worker.finish()
    elif state == "terminated":
        await stage.service.terminate_workflow_execution(
            TerminateWorkflowExecutionRequest(
                namespace=stage.namespace, workflow_execution=execution, reason="to be replaced"
            )
        )
    return execution


async def reuse_and_conflict(stage: Stage) -> None:
    """Every reuse policy with every conflict policy, on a running and on closed runs."""
    for state, reuse, conflict in product(STATES, REUSES, CONFLICTS):
        label = f"{state}, reuse {reuse}, conflict {conflict}"
        worker = HandWorker(stage, queue=label)
        await _in_state(stage, worker, label, state)
        again = worker.start_request(
            label,
            request_id="the second",
            workflow_id_reuse_policy=REUSES[reuse],
            workflow_id_conflict_policy=CONFLICTS[conflict],
        )
        await stage.outcome(label, stage.service.start_workflow_execution(again))


async def terminate_existing(stage: Stage) -> None:
    """The old run ends with the reason why; the new one starts."""
    worker = HandWorker(stage)
    old = await worker.start()
    await worker.complete(await worker.poll(), start_timer("t", 3600))
    policy = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    request = worker.start_request(
        request_id="second", workflow_id_conflict_policy=policy, identity="somebody else"
    )
    answer = await stage.service.start_workflow_execution(request)
    new = WorkflowExecution(workflow_id=old.workflow_id, run_id=answer.run_id)
    await stage.chain("old", old)
    await worker.finish()
    await stage.chain("new", new)
    await stage.describe("old, description", old)


async def use_existing(stage: Stage) -> None:
    """The running run is given back; on wish, the request id is attached to it by an event."""
    worker = HandWorker(stage)
    execution = await worker.start()
    policy = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
    start = stage.service.start_workflow_execution
    plain = worker.start_request(request_id="second", workflow_id_conflict_policy=policy)
    await stage.outcome("plain", start(plain))
    attach = worker.start_request(
        request_id="third",
        workflow_id_conflict_policy=policy,
        on_conflict_options=OnConflictOptions(attach_request_id=True),
    )
    await stage.outcome("attached", start(attach))
    await stage.outcome("attached again", start(attach))
    callbacks = worker.start_request(
        request_id="fourth",
        workflow_id_conflict_policy=policy,
        on_conflict_options=OnConflictOptions(attach_completion_callbacks=True),
    )
    await stage.outcome("callbacks without the request id", start(callbacks))
    await stage.history("history", execution)
    await stage.describe("description", execution)


async def start_twice(stage: Stage) -> None:
    """One request id, one run: while it runs, after a task, after its end."""
    worker = HandWorker(stage)
    start = stage.service.start_workflow_execution
    request = worker.start_request()
    await stage.outcome("first", start(request))
    await stage.outcome("again", start(request))
    await worker.complete(await worker.poll(), start_timer("t", 0.1))
    await stage.outcome("after a task", start(request))
    await worker.finish()
    await stage.outcome("after the end", start(request))
    # The real server dates the reuse of an id by its clock, so another request makes another run.
    await stage.outcome("another request", start(worker.start_request(request_id="another")))
    await stage.outcome("the first request on the second run", start(request))


async def eager_start(stage: Stage) -> None:
    """The first task comes with the answer, also to a repeated request, and can be completed."""
    worker = HandWorker(stage)
    start = stage.service.start_workflow_execution
    request = worker.start_request(request_eager_execution=True)
    await stage.outcome("first", start(request))
    repeated = await start(request)
    stage.message("again", repeated)
    execution = WorkflowExecution(workflow_id=request.workflow_id, run_id=repeated.run_id)
    await stage.history("while the task runs", execution)
    await worker.complete(repeated.eager_workflow_task, complete_workflow("eager"))
    await stage.chain("history", execution)
    await stage.outcome("after the end", start(request))
    delayed = worker.start_request(
        "delayed", request_eager_execution=True, workflow_start_delay=seconds(3600)
    )
    await stage.outcome("with a delay", start(delayed))
    cancel = RequestCancelWorkflowExecutionRequest(
        namespace=stage.namespace,
        workflow_execution=WorkflowExecution(workflow_id=delayed.workflow_id),
    )
    await stage.outcome(
        "delayed, cancelled", stage.service.request_cancel_workflow_execution(cancel)
    )
