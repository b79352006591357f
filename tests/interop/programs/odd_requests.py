"""Requests that no SDK sends: values at and beyond every edge, of each field that has one.

What they are answered was found by changing each field of each request in every way that its type
allows, on both servers.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Callback, Link, RetryPolicy
from temporalio.api.enums.v1 import (
    DescribeTaskQueueMode,
    TaskQueueKind,
    TaskQueueType,
    WorkflowTaskFailedCause,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import RateLimit, TaskQueue, TaskQueueVersionSelection
from temporalio.api.workflowservice.v1 import (
    CountNexusOperationExecutionsRequest,
    DescribeTaskQueueRequest,
    GetCurrentDeploymentRequest,
    GetWorkerBuildIdCompatibilityRequest,
    GetWorkerTaskReachabilityRequest,
    GetWorkerVersioningRulesRequest,
    ListTaskQueuePartitionsRequest,
    ListWorkflowRulesRequest,
    PauseWorkflowExecutionRequest,
    PollActivityTaskQueueRequest,
    PollWorkflowTaskQueueRequest,
    RecordActivityTaskHeartbeatByIdRequest,
    RecordActivityTaskHeartbeatRequest,
    RespondActivityTaskFailedByIdRequest,
    RespondNexusTaskCompletedRequest,
    SignalWorkflowExecutionRequest,
    UpdateTaskQueueConfigRequest,
)

from tests.interop.raw import HandWorker, seconds
from tests.interop.stage import Stage, payloads

LONG = "x" * 1001
ENHANCED = DescribeTaskQueueMode.DESCRIBE_TASK_QUEUE_MODE_ENHANCED
WORKER_COMMANDS = TaskQueueKind.TASK_QUEUE_KIND_WORKER_COMMANDS
WORKFLOW = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
POLL = timedelta(seconds=5)


async def odd_links(stage: Stage) -> None:
    """Kinds of links and callbacks that a server of this version does not know."""
    worker = HandWorker(stage)
    service = stage.service
    running = await worker.start()
    links = {
        "none": Link(),
        "workflow": Link(workflow=Link.Workflow(namespace="n", workflow_id="w", run_id="r")),
        "callback": Link(callback=Link.Callback(namespace="n")),
        "nothing of an event": Link(workflow_event=Link.WorkflowEvent()),
    }
    for name, link in links.items():
        await stage.outcome(
            f"signal with a link: {name}",
            service.signal_workflow_execution(
                SignalWorkflowExecutionRequest(
                    namespace=stage.namespace,
                    workflow_execution=running,
                    signal_name="s",
                    links=[link],
                )
            ),
        )
    callbacks = {
        "none": Callback(),
        "internal": Callback(internal=Callback.Internal()),
        "handler": Callback(nexus_handler=Callback.NexusHandler(service="s")),
    }
    for name, callback in callbacks.items():
        await stage.outcome(
            f"start with a callback: {name}",
            service.start_workflow_execution(
                worker.start_request("called", completion_callbacks=[callback])
            ),
        )


async def odd_queues(stage: Stage) -> None:
    """Task queues of the wrong kind."""
    service, namespace = stage.service, stage.namespace
    queues = {
        "named like a sticky one": TaskQueue(name=stage.queue(), normal_name="other"),
        "of commands": TaskQueue(name=stage.queue(), kind=WORKER_COMMANDS),
        "reserved": TaskQueue(name="/_sys/a"),
    }
    for name, queue in queues.items():
        calls: dict[str, Awaitable[Message]] = {
            "poll workflow tasks": service.poll_workflow_task_queue(
                PollWorkflowTaskQueueRequest(namespace=namespace, task_queue=queue), timeout=POLL
            ),
            "poll activities": service.poll_activity_task_queue(
                PollActivityTaskQueueRequest(namespace=namespace, task_queue=queue), timeout=POLL
            ),
            "describe": service.describe_task_queue(
                DescribeTaskQueueRequest(namespace=namespace, task_queue=queue)
            ),
            "describe all": service.describe_task_queue(
                DescribeTaskQueueRequest(namespace=namespace, task_queue=queue, api_mode=ENHANCED)
            ),
        }
        if name != "reserved":
            calls["partitions"] = service.list_task_queue_partitions(
                ListTaskQueuePartitionsRequest(namespace=namespace, task_queue=queue)
            )
        for what, call in calls.items():
            await stage.outcome(f"{what}, {name}", call)
    limit = UpdateTaskQueueConfigRequest.RateLimitUpdate(
        rate_limit=RateLimit(requests_per_second=5)
    )
    configs: dict[str, dict[str, Any]] = {
        "limit": {"update_queue_rate_limit": limit},
        "limit of a long name": {"update_queue_rate_limit": limit, "task_queue": LONG},
        "limit of a reserved name": {"update_queue_rate_limit": limit, "task_queue": "/_sys/a"},
        "limit by a long identity": {"update_queue_rate_limit": limit, "identity": LONG},
        "no limit": {"update_queue_rate_limit": UpdateTaskQueueConfigRequest.RateLimitUpdate()},
    }
    for name, fields in configs.items():
        request = {"namespace": namespace, "task_queue": stage.queue(), "task_queue_type": WORKFLOW}
        await stage.outcome(
            f"workflow tasks, {name}",
            service.update_task_queue_config(UpdateTaskQueueConfigRequest(**{**request, **fields})),
        )


async def selected_versions(stage: Stage) -> None:
    """DescribeTaskQueue for chosen builds, each time of another queue: the real server remembers
    what it answered for a while."""
    worker = HandWorker(stage)
    await worker.start()
    await worker.poll()
    selections = {
        "queue": None,
        "nothing": TaskQueueVersionSelection(),
        "all active": TaskQueueVersionSelection(all_active=True),
        "unversioned": TaskQueueVersionSelection(unversioned=True),
        "builds": TaskQueueVersionSelection(build_ids=["b", "", "d:b", "b", LONG]),
    }
    for name, selection in selections.items():
        for mode in (DescribeTaskQueueMode.DESCRIBE_TASK_QUEUE_MODE_UNSPECIFIED, ENHANCED):
            response = await stage.service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=stage.namespace,
                    task_queue=stage.task_queue(name),
                    api_mode=mode,
                    versions=selection,
                    report_pollers=True,
                    # Rates of what goes on are measured.
                    report_stats=selection is not None,
                    report_task_reachability=True,
                )
            )
            stage.message(f"{name}, mode {mode}", response)


async def odd_answers(stage: Stage) -> None:
    """Answers of workers that say more or less than they should."""
    service, namespace = stage.service, stage.namespace
    worker = HandWorker(stage)
    retried = RetryPolicy(initial_interval=seconds(100))
    execution = await worker.start()
    activity = worker.schedule_activity(
        "a", start_to_close_timeout=seconds(100), retry_policy=retried
    )
    await worker.complete(await worker.poll(), activity)
    task = await worker.poll_activity()
    by_id: dict[str, Any] = {
        "namespace": namespace,
        "workflow_id": execution.workflow_id,
        "activity_id": "a",
    }
    calls: dict[str, Awaitable[Message]] = {
        "heartbeat": service.record_activity_task_heartbeat(
            RecordActivityTaskHeartbeatRequest(
                namespace=namespace, task_token=task.task_token, identity=LONG
            )
        ),
        "heartbeat by id": service.record_activity_task_heartbeat_by_id(
            RecordActivityTaskHeartbeatByIdRequest(**by_id, identity=LONG)
        ),
        "failed by id, long identity": service.respond_activity_task_failed_by_id(
            RespondActivityTaskFailedByIdRequest(**by_id, identity=LONG)
        ),
        "failed by id": service.respond_activity_task_failed_by_id(
            RespondActivityTaskFailedByIdRequest(
                **by_id, failure=Failure(message="of no kind"), last_heartbeat_details=payloads("h")
            )
        ),
    }
    for label, call in calls.items():
        await stage.outcome(label, call)
    await stage.describe("after the activity", execution)


async def odd_causes(stage: Stage) -> None:
    """Workflow tasks that fail for reasons that only servers have, or that nobody knows."""
    causes: dict[str, Any] = {
        "unknown": 99,
        "negative": -1,
        "failover": WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FAILOVER_CLOSE_COMMAND,
        "reset": WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
        "too large": WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE,
    }
    for name, cause in causes.items():
        worker = HandWorker(stage, name)
        execution = await worker.start(name)
        await worker.fail(await worker.poll(), cause)
        await stage.history(name, execution)


async def off_elsewhere(stage: Stage) -> None:
    """What is switched off is so in namespaces that there are; of others that is said first."""
    service = stage.service
    for name in ("", "nowhere", LONG):
        queries: dict[str, Awaitable[Message]] = {
            "rules": service.list_workflow_rules(ListWorkflowRulesRequest(namespace=name)),
            "build ids": service.get_worker_build_id_compatibility(
                GetWorkerBuildIdCompatibilityRequest(namespace=name)
            ),
            "versioning rules": service.get_worker_versioning_rules(
                GetWorkerVersioningRulesRequest(namespace=name)
            ),
            "reachability": service.get_worker_task_reachability(
                GetWorkerTaskReachabilityRequest(namespace=name)
            ),
            "deployment": service.get_current_deployment(
                GetCurrentDeploymentRequest(namespace=name)
            ),
            "pause": service.pause_workflow_execution(
                PauseWorkflowExecutionRequest(namespace=name)
            ),
            "operations": service.count_nexus_operation_executions(
                CountNexusOperationExecutionsRequest(namespace=name)
            ),
            "nexus task": service.respond_nexus_task_completed(
                RespondNexusTaskCompletedRequest(namespace=name)
            ),
        }
        for label, call in queries.items():
            await stage.outcome(f"{label} in {name[:10] or 'none'}", call)
