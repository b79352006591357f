"""Requests that are refused: code, message and typed details, for each RPC that workflows need."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import (
    ActivityType,
    Memo,
    RetryPolicy,
    SearchAttributes,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import (
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
    PollActivityTaskQueueRequest,
    PollWorkflowTaskQueueRequest,
    RecordActivityTaskHeartbeatByIdRequest,
    RecordActivityTaskHeartbeatRequest,
    RegisterNamespaceRequest,
    RequestCancelWorkflowExecutionRequest,
    ResetStickyTaskQueueRequest,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedByIdRequest,
    RespondActivityTaskFailedRequest,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest,
    SignalWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)

from tests.interop.raw import IDENTITY, HandWorker, seconds
from tests.interop.stage import Stage, payloads

LONG = "x" * 1001
NO_RUN = "00000000-0000-4000-8000-000000000000"
RETRY = "retry_policy"


async def _refused(stage: Stage, calls: dict[str, Awaitable[Message]]) -> None:
    """One after another, since some depend on what those before left."""
    for label, call in calls.items():
        await stage.outcome(label, call)


async def refused_starts(stage: Stage) -> None:
    """What a start may not say."""
    worker = HandWorker(stage)
    reuse, conflict = WorkflowIdReusePolicy, WorkflowIdConflictPolicy
    fields: dict[str, dict[str, Any]] = {
        "no namespace": {"namespace": ""},
        "unknown namespace": {"namespace": "nowhere"},
        "no workflow id": {"workflow_id": ""},
        "long workflow id": {"workflow_id": LONG},
        "no type": {"workflow_type": WorkflowType()},
        "unset type": {"workflow_type": None},
        "long type": {"workflow_type": WorkflowType(name=LONG)},
        "no queue": {"task_queue": TaskQueue()},
        "unset queue": {"task_queue": None},
        "long queue": {"task_queue": TaskQueue(name=LONG)},
        "reserved queue": {"task_queue": TaskQueue(name="/_sys/somewhere/1")},
        "long request id": {"request_id": LONG},
        "negative execution timeout": {"workflow_execution_timeout": seconds(-1)},
        "negative run timeout": {"workflow_run_timeout": seconds(-1)},
        "negative task timeout": {"workflow_task_timeout": seconds(-1)},
        "negative start delay": {"workflow_start_delay": seconds(-1)},
        "start delay with cron": {
            "workflow_start_delay": seconds(1),
            "cron_schedule": "@every 1s",
        },
        "bad cron": {"cron_schedule": "every full moon"},
        "bad cron field": {"cron_schedule": "61 * * * *"},
        "negative initial interval": {RETRY: RetryPolicy(initial_interval=seconds(-1))},
        "negative maximum interval": {RETRY: RetryPolicy(maximum_interval=seconds(-1))},
        "maximum below initial": {
            RETRY: RetryPolicy(initial_interval=seconds(5), maximum_interval=seconds(1))
        },
        "coefficient below one": {RETRY: RetryPolicy(backoff_coefficient=0.5)},
        "negative attempts": {RETRY: RetryPolicy(maximum_attempts=-1)},
        "bad timeout type": {
            RETRY: RetryPolicy(non_retryable_error_types=["TemporalTimeout:Nonsense"])
        },
        "unknown search attribute": {
            "search_attributes": SearchAttributes(
                indexed_fields={"Unknown": payloads("x").payloads[0]}
            )
        },
        "system search attribute": {
            "search_attributes": SearchAttributes(
                indexed_fields={"ExecutionStatus": payloads("x").payloads[0]}
            )
        },
        "reject and use existing": {
            "workflow_id_reuse_policy": reuse.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
            "workflow_id_conflict_policy": (
                conflict.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
            ),
        },
        "terminate and fail": {
            "workflow_id_reuse_policy": reuse.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING,
            "workflow_id_conflict_policy": conflict.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
        },
        "large memo": {"memo": Memo(fields={"m": payloads("m" * 2_200_000).payloads[0]})},
        "large input": {"input": payloads("i" * 2_200_000)},
        "long summary": {"user_metadata": UserMetadata(summary=payloads("s" * 401).payloads[0])},
    }
    start = stage.service.start_workflow_execution
    await _refused(
        stage,
        {
            label: start(worker.start_request(label.replace(" ", "-"), **changed))
            for label, changed in fields.items()
        },
    )


async def refused_requests(stage: Stage) -> None:
    """What names no workflow, or one that is unknown or closed."""
    worker = HandWorker(stage)
    closed = await worker.start("closed")
    await worker.finish()
    running = await worker.start("running")
    targets = {
        "unknown": WorkflowExecution(workflow_id=stage.workflow_id("unknown")),
        "unknown run": WorkflowExecution(workflow_id=running.workflow_id, run_id=NO_RUN),
        "bad run id": WorkflowExecution(workflow_id=running.workflow_id, run_id="not a uuid"),
        "closed": closed,
        "closed, no run id": WorkflowExecution(workflow_id=closed.workflow_id),
        "no id": WorkflowExecution(),
        "unset": None,
        "long id": WorkflowExecution(workflow_id=LONG),
    }
    for name, target in targets.items():
        await _refused(stage, _requests_about(stage, name, target))


def _requests_about(
    stage: Stage, name: str, target: WorkflowExecution | None
) -> dict[str, Awaitable[Message]]:
    service, namespace = stage.service, stage.namespace
    calls: dict[str, Awaitable[Message]] = {
        f"signal {name}": service.signal_workflow_execution(
            SignalWorkflowExecutionRequest(
                namespace=namespace, workflow_execution=target, signal_name="s"
            )
        ),
        f"cancel {name}": service.request_cancel_workflow_execution(
            RequestCancelWorkflowExecutionRequest(namespace=namespace, workflow_execution=target)
        ),
        f"terminate {name}": service.terminate_workflow_execution(
            TerminateWorkflowExecutionRequest(namespace=namespace, workflow_execution=target)
        ),
        f"reset sticky {name}": service.reset_sticky_task_queue(
            ResetStickyTaskQueueRequest(namespace=namespace, execution=target)
        ),
    }
    if not name.startswith("closed"):
        calls[f"describe {name}"] = service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace=namespace, execution=target)
        )
        calls[f"history of {name}"] = service.get_workflow_execution_history(
            GetWorkflowExecutionHistoryRequest(namespace=namespace, execution=target)
        )
    return calls


async def refused_fields(stage: Stage) -> None:
    """What is wrong with a request about a workflow that runs."""
    worker = HandWorker(stage)
    running = await worker.start("running")
    service, namespace = stage.service, stage.namespace

    def signal(**fields: Any) -> Awaitable[Message]:
        request = {"namespace": namespace, "workflow_execution": running, "signal_name": "s"}
        return service.signal_workflow_execution(
            SignalWorkflowExecutionRequest(**{**request, **fields})
        )

    def history(**fields: Any) -> Awaitable[Message]:
        request = {"namespace": namespace, "execution": running}
        return service.get_workflow_execution_history(
            GetWorkflowExecutionHistoryRequest(**{**request, **fields})
        )

    await _refused(
        stage,
        {
            "signal without name": signal(signal_name=""),
            "signal with a long name": signal(signal_name=LONG),
            "signal with a long request id": signal(request_id=LONG),
            "signal elsewhere": signal(namespace="nowhere"),
            "signal nowhere": signal(namespace=""),
            "signal with a large input": signal(input=payloads("i" * 2_200_000)),
            "history with a bad token": history(next_page_token=b"nonsense"),
            "history with a negative page": history(maximum_page_size=-1),
            "history elsewhere": history(namespace="nowhere"),
            "cancel, wrong chain": service.request_cancel_workflow_execution(
                RequestCancelWorkflowExecutionRequest(
                    namespace=namespace,
                    workflow_execution=running,
                    first_execution_run_id=NO_RUN,
                )
            ),
            "terminate, wrong chain": service.terminate_workflow_execution(
                TerminateWorkflowExecutionRequest(
                    namespace=namespace,
                    workflow_execution=running,
                    first_execution_run_id=NO_RUN,
                )
            ),
        },
    )


async def refused_elsewhere(stage: Stage) -> None:
    """Namespaces that do not exist, and what a new one may not be."""
    service, namespace = stage.service, stage.namespace
    running = WorkflowExecution(workflow_id=stage.workflow_id())
    await _refused(
        stage,
        {
            "describe elsewhere": service.describe_workflow_execution(
                DescribeWorkflowExecutionRequest(namespace="nowhere", execution=running)
            ),
            "describe nowhere": service.describe_workflow_execution(
                DescribeWorkflowExecutionRequest(execution=running)
            ),
            "list elsewhere": service.list_workflow_executions(
                ListWorkflowExecutionsRequest(namespace="nowhere")
            ),
            "describe unknown namespace": service.describe_namespace(
                DescribeNamespaceRequest(namespace="nowhere")
            ),
            "describe no namespace": service.describe_namespace(DescribeNamespaceRequest()),
            "register nothing": service.register_namespace(RegisterNamespaceRequest()),
            "register without retention": service.register_namespace(
                RegisterNamespaceRequest(namespace=f"n-{stage.nonce}")
            ),
            "register twice": service.register_namespace(
                RegisterNamespaceRequest(
                    namespace=namespace, workflow_execution_retention_period=seconds(86400)
                )
            ),
        },
    )


async def refused_answers(stage: Stage) -> None:
    """Answers of workers with bad tokens, and polls of nothing."""
    service, namespace = stage.service, stage.namespace
    by_token = {
        "workflow task completed": (
            service.respond_workflow_task_completed,
            RespondWorkflowTaskCompletedRequest,
        ),
        "workflow task failed": (
            service.respond_workflow_task_failed,
            RespondWorkflowTaskFailedRequest,
        ),
        "activity completed": (
            service.respond_activity_task_completed,
            RespondActivityTaskCompletedRequest,
        ),
        "activity failed": (service.respond_activity_task_failed, RespondActivityTaskFailedRequest),
        "activity canceled": (
            service.respond_activity_task_canceled,
            RespondActivityTaskCanceledRequest,
        ),
        "heartbeat": (service.record_activity_task_heartbeat, RecordActivityTaskHeartbeatRequest),
    }
    for label, (call, request) in by_token.items():
        for kind, token in (("no token", b""), ("bad token", b"nonsense")):
            answer: Any = call
            await stage.outcome(
                f"{label}, {kind}", answer(request(namespace=namespace, task_token=token))
            )
    await _by_id(stage)
    queue = TaskQueue(name=stage.queue())
    await _refused(
        stage,
        {
            "poll elsewhere": service.poll_workflow_task_queue(
                PollWorkflowTaskQueueRequest(namespace="nowhere", task_queue=queue)
            ),
            "poll no queue": service.poll_workflow_task_queue(
                PollWorkflowTaskQueueRequest(namespace=namespace, identity=IDENTITY)
            ),
            "poll a long queue": service.poll_workflow_task_queue(
                PollWorkflowTaskQueueRequest(namespace=namespace, task_queue=TaskQueue(name=LONG))
            ),
            "poll with a long identity": service.poll_workflow_task_queue(
                PollWorkflowTaskQueueRequest(namespace=namespace, task_queue=queue, identity=LONG)
            ),
            "poll activities of no queue": service.poll_activity_task_queue(
                PollActivityTaskQueueRequest(namespace=namespace)
            ),
        },
    )


async def _by_id(stage: Stage) -> None:
    service, namespace = stage.service, stage.namespace
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.complete(await worker.poll(), worker.schedule_activity("waiting"))
    by_id: dict[str, tuple[Any, Any]] = {
        "completed": (
            service.respond_activity_task_completed_by_id,
            RespondActivityTaskCompletedByIdRequest,
        ),
        "failed": (
            service.respond_activity_task_failed_by_id,
            RespondActivityTaskFailedByIdRequest,
        ),
        "canceled": (
            service.respond_activity_task_canceled_by_id,
            RespondActivityTaskCanceledByIdRequest,
        ),
        "heartbeat": (
            service.record_activity_task_heartbeat_by_id,
            RecordActivityTaskHeartbeatByIdRequest,
        ),
    }
    ids = {
        "no workflow": {"activity_id": "a"},
        "no activity": {"workflow_id": execution.workflow_id},
        "unknown workflow": {"workflow_id": stage.workflow_id("unknown"), "activity_id": "a"},
        "unknown activity": {"workflow_id": execution.workflow_id, "activity_id": "a"},
        "waiting activity": {"workflow_id": execution.workflow_id, "activity_id": "waiting"},
    }
    for label, (call, request) in by_id.items():
        for kind, fields in ids.items():
            await stage.outcome(
                f"{label} by id, {kind}", call(request(namespace=namespace, **fields))
            )
    await stage.history("history", execution)


async def completion_in_pages(stage: Stage) -> None:
    """It is switched off, and the task stays as it is."""
    worker = HandWorker(stage)
    execution = await worker.start()
    task = await worker.poll()
    for number, is_intermediate in ((0, True), (1, False), (1, True)):
        fields = {"page_number": number, "intermediate_page": is_intermediate}
        label = f"page {number}, {'one of many' if is_intermediate else 'the last'}"
        await stage.outcome(label, worker.complete(task, **fields))
    await stage.outcome("no page", worker.complete(task, page_number=-1))
    await stage.history("history", execution)


async def stale_answers(stage: Stage) -> None:
    """Answers to tasks that were already answered, timed out, or belong to a closed run."""
    service, namespace = stage.service, stage.namespace
    worker = HandWorker(stage)
    execution = await worker.start()
    task = await worker.poll()
    await worker.complete(
        task,
        worker.schedule_activity("a", activity_type=ActivityType(name="A")),
        worker.schedule_activity("b", activity_type=ActivityType(name="B")),
    )
    await stage.outcome("workflow task completed twice", worker.complete(task))
    await stage.outcome(
        "workflow task failed after completion",
        service.respond_workflow_task_failed(
            RespondWorkflowTaskFailedRequest(namespace=namespace, task_token=task.task_token)
        ),
    )
    both = [await worker.poll_activity() for _ in range(2)]
    done, left = sorted(both, key=lambda one: one.activity_id)

    def complete(token: bytes) -> Awaitable[Message]:
        return service.respond_activity_task_completed(
            RespondActivityTaskCompletedRequest(
                namespace=namespace, task_token=token, identity=IDENTITY
            )
        )

    await stage.outcome("activity completed", complete(done.task_token))
    await stage.outcome("activity completed twice", complete(done.task_token))
    await stage.outcome(
        "activity canceled without a request",
        service.respond_activity_task_canceled(
            RespondActivityTaskCanceledRequest(namespace=namespace, task_token=left.task_token)
        ),
    )
    await stage.outcome(
        "token of another namespace",
        service.respond_activity_task_completed(
            RespondActivityTaskCompletedRequest(
                namespace="temporal-system", task_token=left.task_token
            )
        ),
    )
    await worker.finish()
    await stage.outcome("activity completed after the end", complete(left.task_token))
    await stage.outcome(
        "activity failed after the end",
        service.respond_activity_task_failed(
            RespondActivityTaskFailedRequest(namespace=namespace, task_token=left.task_token)
        ),
    )
    await stage.chain("history", execution)
