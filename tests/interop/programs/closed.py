"""Closed runs: what was pending when they ended is described as it was."""

from __future__ import annotations

from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.enums.v1 import ParentClosePolicy
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionResponse,
    RecordActivityTaskHeartbeatRequest,
    RespondActivityTaskFailedRequest,
    TerminateWorkflowExecutionRequest,
)

from tests.interop.programs.children_by_hand import start_child
from tests.interop.programs.update_with_start_by_hand import continue_as_new
from tests.interop.raw import HandWorker, complete_workflow, seconds, start_timer
from tests.interop.stage import Stage, payloads

POLICIES = {
    "terminated": ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE,
    "abandoned": ParentClosePolicy.PARENT_CLOSE_POLICY_ABANDON,
}


async def closed_with_activities(stage: Stage) -> None:
    """One that waits, one that runs and one that backs off, at each end of a run."""
    for end in ("completes", "continues", "terminated"):
        worker = HandWorker(stage, end)
        execution = await worker.start(end)
        retried = RetryPolicy(initial_interval=seconds(600))
        await worker.complete(
            await worker.poll(),
            worker.schedule_activity("fails", retry_policy=retried),
            start_timer("t", 3600),
        )
        failing = await worker.poll_activity()
        await stage.service.respond_activity_task_failed(
            RespondActivityTaskFailedRequest(
                namespace=stage.namespace,
                task_token=failing.task_token,
                failure=Failure(
                    message="no", application_failure_info=ApplicationFailureInfo(type="No")
                ),
                identity="worker by hand",
            )
        )
        await stage.described(execution, lambda described: _attempts(described) == [2])
        await worker.signal(execution, "go")
        await worker.complete(await worker.poll(), worker.schedule_activity("runs"))
        running = await worker.poll_activity()
        heartbeat = RecordActivityTaskHeartbeatRequest(
            namespace=stage.namespace, task_token=running.task_token, details=payloads("beat")
        )
        await stage.service.record_activity_task_heartbeat(heartbeat)
        await worker.signal(execution, "more")
        waits = worker.schedule_activity("waits", task_queue=stage.task_queue("nobody"))
        await worker.complete(await worker.poll(), waits)
        if end == "terminated":
            await stage.service.terminate_workflow_execution(
                TerminateWorkflowExecutionRequest(
                    namespace=stage.namespace, workflow_execution=execution
                )
            )
        else:
            await worker.signal(execution, "end")
            closing = complete_workflow("x") if end == "completes" else continue_as_new()
            await worker.complete(await worker.poll(), closing)
        description = await stage.description(execution)
        for pending in sorted(description.pending_activities, key=lambda one: one.activity_id):
            stage.message(f"{end}, {pending.activity_id}", pending)
        description.ClearField("pending_activities")
        stage.message(end, description)
        late = RecordActivityTaskHeartbeatRequest(
            namespace=stage.namespace, task_token=running.task_token
        )
        await stage.outcome(
            f"{end}, late heartbeat", stage.service.record_activity_task_heartbeat(late)
        )


async def closed_with_children(stage: Stage) -> None:
    """Children that run on, and children that end with their parent."""
    worker = HandWorker(stage)
    execution = await worker.start()
    children = [
        start_child(stage.workflow_id(name), stage.queue("children"), parent_close_policy=policy)
        for name, policy in POLICIES.items()
    ]
    await worker.complete(await worker.poll(), *children)
    await stage.described(
        execution,
        lambda described: len([one for one in described.pending_children if one.run_id]) == 2,
    )
    await worker.complete(await worker.poll(), complete_workflow("x"))
    description = await stage.description(execution)
    for pending in sorted(description.pending_children, key=lambda one: one.workflow_id):
        stage.message(f"{pending.initiated_id}", pending)


def _attempts(described: DescribeWorkflowExecutionResponse) -> list[int]:
    return [pending.attempt for pending in described.pending_activities]
