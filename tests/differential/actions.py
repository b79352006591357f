"""What clients do: a function per kind of action, as raw requests, so that answers compare."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from temporalio.api.common.v1 import Memo, Priority, RetryPolicy, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import WorkflowIdConflictPolicy, WorkflowIdReusePolicy
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    RecordActivityTaskHeartbeatByIdRequest,
    RequestCancelWorkflowExecutionRequest,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedByIdRequest,
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
)
from temporalio.client import Client

from tests.differential.board import Board
from tests.differential.program import Action, Options, Plan, Retry
from tests.interop.stage import CLIENT_IDENTITY, payloads


@dataclass(frozen=True)
class Place:
    """Where a program runs: by which client, on which queue, under which names."""

    client: Client
    queue: str
    nonce: str

    def workflow_id(self, name: str) -> str:
        """The same for every server but for the nonce."""
        return f"{name}-{self.nonce}"

    def execution(self, name: str) -> WorkflowExecution:
        """Whichever run is the current one."""
        return WorkflowExecution(workflow_id=self.workflow_id(name))

    async def complete(self, token: bytes) -> Message:
        """Completes an activity by its token."""
        return await self.client.workflow_service.respond_activity_task_completed(
            RespondActivityTaskCompletedRequest(
                namespace=self.client.namespace,
                identity=CLIENT_IDENTITY,
                task_token=token,
                result=payloads("by its token"),
            )
        )


async def start(place: Place, name: str, plan: Plan, options: Options) -> Message:
    """Starts a workflow with a plan."""
    request = StartWorkflowExecutionRequest(
        namespace=place.client.namespace,
        workflow_id=place.workflow_id(name),
        workflow_type=WorkflowType(name="Program"),
        task_queue=TaskQueue(
            name=f"{options.queue}-{place.queue}" if options.queue else place.queue
        ),
        input=payloads(msgspec.to_builtins(plan)),
        identity=CLIENT_IDENTITY,
        request_id=place.nonce if options.has_same_request else str(uuid.uuid4()),
        cron_schedule=options.cron,
        retry_policy=_retry_policy(options.retry),
        workflow_run_timeout=_duration(options.run_timeout_ms),
        workflow_execution_timeout=_duration(options.execution_timeout_ms),
        workflow_task_timeout=_duration(options.task_timeout_ms),
        workflow_start_delay=_duration(options.start_delay_ms),
    )
    if options.memo:
        request.memo.CopyFrom(Memo(fields={"memo": payloads(options.memo).payloads[0]}))
    if options.priority:
        request.priority.CopyFrom(Priority(priority_key=options.priority))
    if options.summary:
        summary = payloads(options.summary).payloads[0]
        request.user_metadata.CopyFrom(UserMetadata(summary=summary))
    if options.reuse:
        request.workflow_id_reuse_policy = WorkflowIdReusePolicy.Value(
            f"WORKFLOW_ID_REUSE_POLICY_{options.reuse}"
        )
    if options.conflict:
        request.workflow_id_conflict_policy = WorkflowIdConflictPolicy.Value(
            f"WORKFLOW_ID_CONFLICT_POLICY_{options.conflict}"
        )
    response: StartWorkflowExecutionResponse = (
        await place.client.workflow_service.start_workflow_execution(request)
    )
    return response


def _duration(milliseconds: int) -> Duration | None:
    if not milliseconds:
        return None
    duration = Duration()
    duration.FromMilliseconds(milliseconds)
    return duration


def _retry_policy(retry: Retry | None) -> RetryPolicy | None:
    if retry is None:
        return None
    return RetryPolicy(
        initial_interval=_duration(retry.initial_ms),
        backoff_coefficient=retry.coefficient,
        maximum_interval=_duration(retry.interval_max_ms),
        maximum_attempts=retry.attempts_max,
        non_retryable_error_types=retry.non_retryable,
    )


async def signal(place: Place, name: str, signal_name: str, word: str) -> Message:
    """Signals whichever run is current."""
    return await place.client.workflow_service.signal_workflow_execution(
        SignalWorkflowExecutionRequest(
            namespace=place.client.namespace,
            workflow_execution=place.execution(name),
            signal_name=signal_name,
            input=payloads(word),
            identity=CLIENT_IDENTITY,
            request_id=str(uuid.uuid4()),
        )
    )


async def go(place: Place, name: str, gate: str) -> Message:
    """Lets a workflow through a gate."""
    return await signal(place, name, "go", gate)


async def cancel(place: Place, name: str, reason: str) -> Message:
    """Asks whichever run is current to cancel."""
    return await place.client.workflow_service.request_cancel_workflow_execution(
        RequestCancelWorkflowExecutionRequest(
            namespace=place.client.namespace,
            workflow_execution=place.execution(name),
            identity=CLIENT_IDENTITY,
            request_id=str(uuid.uuid4()),
            reason=reason,
        )
    )


async def terminate(place: Place, name: str) -> Message:
    """Terminates whichever run is current."""
    return await place.client.workflow_service.terminate_workflow_execution(
        TerminateWorkflowExecutionRequest(
            namespace=place.client.namespace,
            workflow_execution=place.execution(name),
            identity=CLIENT_IDENTITY,
            reason="enough",
            details=payloads("of", "it"),
        )
    )


async def describe(place: Place, name: str) -> Message:
    """What the server says of whichever run is current."""
    return await place.client.workflow_service.describe_workflow_execution(
        DescribeWorkflowExecutionRequest(
            namespace=place.client.namespace, execution=place.execution(name)
        )
    )


async def _answer_activity(place: Place, action: Action, board: Board) -> Message:
    """By its id, as the action says: complete, fail, cancel or heartbeat. `target` is the name of
    the workflow and that of the activity, with a slash between."""
    workflow, _, activity_id = action.target.partition("/")
    service = place.client.workflow_service
    named: dict[str, Any] = {
        "namespace": place.client.namespace,
        "workflow_id": place.workflow_id(workflow),
        "activity_id": activity_id,
        "identity": CLIENT_IDENTITY,
    }
    match action.how:
        case "complete":
            return await service.respond_activity_task_completed_by_id(
                RespondActivityTaskCompletedByIdRequest(**named, result=payloads("by its id"))
            )
        case "fail":
            info = ApplicationFailureInfo(type="Remote", details=payloads("a detail"))
            failure = Failure(message="from afar", application_failure_info=info)
            return await service.respond_activity_task_failed_by_id(
                RespondActivityTaskFailedByIdRequest(**named, failure=failure)
            )
        case "cancel":
            return await service.respond_activity_task_canceled_by_id(
                RespondActivityTaskCanceledByIdRequest(**named, details=payloads("why"))
            )
    return await service.record_activity_task_heartbeat_by_id(
        RecordActivityTaskHeartbeatByIdRequest(**named, details=payloads("still there"))
    )


ACTIONS: dict[str, Callable[[Place, Action, Board], Awaitable[Message]]] = {
    "signal": lambda place, action, board: signal(place, action.target, "word", action.how),
    "cancel": lambda place, action, board: cancel(place, action.target, action.how),
    "terminate": lambda place, action, board: terminate(place, action.target),
    "describe": lambda place, action, board: describe(place, action.target),
    "start": lambda place, action, board: start(
        place, action.target, action.plan or Plan(), action.options or Options()
    ),
    "answer": _answer_activity,
}
