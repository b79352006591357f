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
from temporalio.api.enums.v1 import (
    EventType,
    QueryRejectCondition,
    ResetReapplyExcludeType,
    UpdateWorkflowExecutionLifecycleStage,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.update.v1 import Input, Meta, Request, UpdateRef, WaitPolicy
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    ExecuteMultiOperationRequest,
    GetWorkflowExecutionHistoryRequest,
    PollWorkflowExecutionUpdateRequest,
    QueryWorkflowRequest,
    RecordActivityTaskHeartbeatByIdRequest,
    RequestCancelWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedByIdRequest,
    SignalWithStartWorkflowExecutionRequest,
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
    UpdateWorkflowExecutionRequest,
)
from temporalio.client import Client

from tests.differential.board import Board
from tests.differential.crew import Crew
from tests.differential.program import Action, Options, Plan, Retry
from tests.differential.versions import override_of
from tests.interop.stage import CLIENT_IDENTITY, payloads


@dataclass(frozen=True)
class Place:
    """Where a program runs: by which client, on which queue, under which names."""

    client: Client
    queue: str
    nonce: str
    crew: Crew | None = None
    """Its own workers, if it has some."""

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
    request = start_request(place, name, plan, options)
    response: StartWorkflowExecutionResponse = (
        await place.client.workflow_service.start_workflow_execution(request)
    )
    return response


def start_request(
    place: Place, name: str, plan: Plan, options: Options
) -> StartWorkflowExecutionRequest:
    """The request that starts it."""
    request = StartWorkflowExecutionRequest(
        namespace=place.client.namespace,
        workflow_id=place.workflow_id(name),
        workflow_type=WorkflowType(name=plan.behavior or "Program"),
        task_queue=TaskQueue(
            name=f"{options.queue}-{place.queue}" if options.queue else place.queue
        ),
        input=payloads(msgspec.to_builtins(plan)),
        identity=CLIENT_IDENTITY,
        request_id=place.nonce if options.has_same_request else str(uuid.uuid4()),
        cron_schedule=options.cron,
        retry_policy=retry_policy(options.retry),
        workflow_run_timeout=duration(options.run_timeout_ms),
        workflow_execution_timeout=duration(options.execution_timeout_ms),
        workflow_task_timeout=duration(options.task_timeout_ms),
        workflow_start_delay=duration(options.start_delay_ms),
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
    override = override_of(place.nonce, options.override)
    if override is not None:
        request.versioning_override.CopyFrom(override)
    if options.attaches:
        request.on_conflict_options.attach_request_id = True
    return request


def duration(milliseconds: int) -> Duration | None:
    """None for 0."""
    if not milliseconds:
        return None
    message = Duration()
    message.FromMilliseconds(milliseconds)
    return message


def retry_policy(retry: Retry | None) -> RetryPolicy | None:
    """As requests have it."""
    if retry is None:
        return None
    return RetryPolicy(
        initial_interval=duration(retry.initial_ms),
        backoff_coefficient=retry.coefficient,
        maximum_interval=duration(retry.interval_max_ms),
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


async def signal_with_start(place: Place, action: Action) -> Message:
    """Signals whichever run is current, or starts one."""
    plan, options = action.plan or Plan(), action.options or Options()
    request = SignalWithStartWorkflowExecutionRequest(
        signal_name="word", signal_input=payloads(action.how)
    )
    # What both have in common has the same names, if not the same numbers.
    known = request.DESCRIPTOR.fields_by_name
    for field, value in start_request(place, action.target, plan, options).ListFields():
        if field.name in known and field.message_type is None:
            setattr(request, field.name, value)
        elif field.name in known:
            getattr(request, field.name).CopyFrom(value)
    return await place.client.workflow_service.signal_with_start_workflow_execution(request)


async def _query(place: Place, action: Action, board: Board) -> Message:
    """`how` names the query and, behind a colon, on which status it is refused."""
    name, _, condition = action.how.partition(":")
    return await place.client.workflow_service.query_workflow(
        QueryWorkflowRequest(
            namespace=place.client.namespace,
            execution=place.execution(action.target),
            query=WorkflowQuery(query_type=name),
            query_reject_condition=QueryRejectCondition.Value(
                f"QUERY_REJECT_CONDITION_{condition or 'NONE'}"
            ),
        )
    )


async def update(place: Place, action: Action, board: Board) -> Message:
    """`how` says what its handler does and, behind a colon, which stage is waited for."""
    request = _update_request(place, action)
    return await place.client.workflow_service.update_workflow_execution(request)


def _update_request(place: Place, action: Action) -> UpdateWorkflowExecutionRequest:
    kind, _, stage = action.how.partition(":")
    return UpdateWorkflowExecutionRequest(
        namespace=place.client.namespace,
        workflow_execution=place.execution(action.target),
        wait_policy=WaitPolicy(lifecycle_stage=_stage(stage or "COMPLETED")),
        request=Request(
            meta=Meta(update_id=action.name, identity=CLIENT_IDENTITY),
            input=Input(
                name="nothing" if kind == "absent" else "change",
                args=payloads(kind, action.name),
            ),
        ),
    )


async def _update_with_start(place: Place, action: Action, board: Board) -> Message:
    """Both in one step; `how` is that of the update."""
    plan, options = action.plan or Plan(), action.options or Options()
    operation = ExecuteMultiOperationRequest.Operation
    return await place.client.workflow_service.execute_multi_operation(
        ExecuteMultiOperationRequest(
            namespace=place.client.namespace,
            operations=(
                operation(start_workflow=start_request(place, action.target, plan, options)),
                operation(update_workflow=_update_request(place, action)),
            ),
        )
    )


async def poll_update(place: Place, action: Action, board: Board) -> Message:
    """Asks how far an update is, without waiting."""
    return await place.client.workflow_service.poll_workflow_execution_update(
        PollWorkflowExecutionUpdateRequest(
            namespace=place.client.namespace,
            update_ref=UpdateRef(
                workflow_execution=place.execution(action.target), update_id=action.name
            ),
            identity=CLIENT_IDENTITY,
        )
    )


def _stage(name: str) -> UpdateWorkflowExecutionLifecycleStage.ValueType:
    return UpdateWorkflowExecutionLifecycleStage.Value(
        f"UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_{name}"
    )


async def _reset(place: Place, action: Action, board: Board) -> Message:
    """`how` says to which of the workflow tasks of the current run, the last being -1, and, behind
    a colon, what is not applied again."""
    index, _, exclusion = action.how.partition(":")
    execution = place.execution(action.target)
    described = await place.client.workflow_service.describe_workflow_execution(
        DescribeWorkflowExecutionRequest(namespace=place.client.namespace, execution=execution)
    )
    execution.run_id = described.workflow_execution_info.execution.run_id
    response = await place.client.workflow_service.get_workflow_execution_history(
        GetWorkflowExecutionHistoryRequest(namespace=place.client.namespace, execution=execution)
    )
    completed = [
        event.event_id
        for event in response.history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    try:
        event_id = completed[int(index)]
    except IndexError:
        event_id = 2  # Which is refused.
    request = ResetWorkflowExecutionRequest(
        namespace=place.client.namespace,
        workflow_execution=execution,
        reason="once more",
        workflow_task_finish_event_id=event_id,
        request_id=str(uuid.uuid4()),
        identity=CLIENT_IDENTITY,
    )
    if exclusion:
        request.reset_reapply_exclude_types.append(
            ResetReapplyExcludeType.Value(f"RESET_REAPPLY_EXCLUDE_TYPE_{exclusion}")
        )
    return await place.client.workflow_service.reset_workflow_execution(request)


ACTIONS: dict[str, Callable[[Place, Action, Board], Awaitable[Message]]] = {
    "query": _query,
    "update": update,
    "poll": poll_update,
    "reset": _reset,
    "update-with-start": _update_with_start,
    "signal-with-start": lambda place, action, board: signal_with_start(place, action),
    "signal": lambda place, action, board: signal(place, action.target, "word", action.how),
    "cancel": lambda place, action, board: cancel(place, action.target, action.how),
    "terminate": lambda place, action, board: terminate(place, action.target),
    "describe": lambda place, action, board: describe(place, action.target),
    "start": lambda place, action, board: start(
        place, action.target, action.plan or Plan(), action.options or Options()
    ),
    "answer": _answer_activity,
}
