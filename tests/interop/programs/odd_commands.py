"""Commands at and beyond every edge, and requests that name more than one run."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.command.v1 import (
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    RequestCancelExternalWorkflowExecutionCommandAttributes,
    SignalExternalWorkflowExecutionCommandAttributes,
    StartChildWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import (
    ActivityType,
    Callback,
    OnConflictOptions,
    RetryPolicy,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import CommandType, UpdateWorkflowExecutionLifecycleStage
from temporalio.api.protocol.v1 import Message as ProtocolMessage
from temporalio.api.sdk.v1 import EventGroupMarker, UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.update.v1 import Input, Meta, Request, WaitPolicy
from temporalio.api.workflowservice.v1 import (
    DescribeActivityExecutionRequest,
    GetSystemInfoRequest,
    PollWorkflowExecutionTimeSkippingRequest,
    RequestCancelWorkflowExecutionRequest,
    StartActivityExecutionRequest,
    TerminateWorkflowExecutionRequest,
    UpdateActivityExecutionOptionsRequest,
    UpdateWorkflowExecutionRequest,
)
from temporalio.api.workflowservice.v1 import (
    ResetActivityExecutionRequest as Reset,
)
from temporalio.api.workflowservice.v1 import (
    UnpauseActivityExecutionRequest as Unpause,
)
from temporalio.service import RPCError

from tests.interop.raw import HandWorker, seconds
from tests.interop.stage import Stage, payloads

LONG = "x" * 1001
NO_RUN = "00000000-0000-4000-8000-000000000000"
ACCEPTED = UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
SHORT = timedelta(seconds=5)


def _continue(**fields: Any) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=(
            ContinueAsNewWorkflowExecutionCommandAttributes(**fields)
        ),
    )


async def odd_commands(stage: Stage) -> None:
    """Each is answered, and what became of its task is in the history."""
    worker = HandWorker(stage)
    endless = RetryPolicy(initial_interval=seconds(10_000_000_000))
    unknown: dict[str, Any] = {"namespace": "nowhere", "workflow_id": stage.workflow_id("other")}
    other = WorkflowExecution(workflow_id=stage.workflow_id("other"))
    cases = {
        "continued to a long queue": _continue(task_queue=TaskQueue(name=LONG)),
        "continued to a reserved queue": _continue(task_queue=TaskQueue(name="/_sys/a")),
        "continued with endless retries": _continue(retry_policy=endless),
        "activity with endless retries": worker.schedule_activity("a", retry_policy=endless),
        "cancel in no namespace": Command(
            command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION,
            request_cancel_external_workflow_execution_command_attributes=(
                RequestCancelExternalWorkflowExecutionCommandAttributes(**unknown)
            ),
        ),
        "signal in no namespace": Command(
            command_type=CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION,
            signal_external_workflow_execution_command_attributes=(
                SignalExternalWorkflowExecutionCommandAttributes(
                    namespace="nowhere", execution=other, signal_name="s"
                )
            ),
        ),
        "child in no namespace": Command(
            command_type=CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION,
            start_child_workflow_execution_command_attributes=(
                StartChildWorkflowExecutionCommandAttributes(
                    **unknown, workflow_type=WorkflowType(name="ByHand")
                )
            ),
        ),
    }
    for name, command in cases.items():
        each = HandWorker(stage, name)
        execution = await each.start(name)
        await stage.outcome(name, each.complete(await each.poll(), command))
        await stage.history(f"{name}, history", execution)
    each = HandWorker(stage, "message")
    execution = await each.start("message")
    message = ProtocolMessage(id="m", protocol_instance_id="u", body=AnyMessage())
    await stage.outcome("message", each.complete(await each.poll(), messages=[message]))
    await stage.history("message, history", execution)


async def marked_command(stage: Stage) -> None:
    """What a command carries besides is with the event that closes the run."""
    worker = HandWorker(stage)
    execution = await worker.start()
    marker = EventGroupMarker(label=EventGroupMarker.Label(id="group"))
    command = _continue()
    command.event_group_markers.append(marker)
    command.user_metadata.CopyFrom(UserMetadata(summary=payloads("why").payloads[0]))
    await worker.complete(await worker.poll(), command)
    await stage.history("history", execution)
    await worker.finish()


async def chains_named_twice(stage: Stage) -> None:
    """A run that is named beside its chain counts for nothing; but for an update, it does."""
    for name in ("cancel", "terminate", "update"):
        for case, run_id, is_right in (
            ("no such run", NO_RUN, True),
            ("no such run or chain", NO_RUN, False),
            ("wrong chain", "", False),
        ):
            worker = HandWorker(stage, f"{name} {case}")
            running = await worker.start(f"{name} {case}")
            named = WorkflowExecution(workflow_id=running.workflow_id, run_id=run_id)
            first = running.run_id if is_right else NO_RUN
            await stage.outcome(f"{name}, {case}", _about(stage, name, named, first))
            if case == "wrong chain":
                await worker.finish()
                await stage.outcome(f"{name}, {case}, closed", _about(stage, name, named, first))


def _about(stage: Stage, name: str, execution: WorkflowExecution, first: str) -> Awaitable[Message]:
    fields: dict[str, Any] = {
        "namespace": stage.namespace,
        "workflow_execution": execution,
        "first_execution_run_id": first,
    }
    service = stage.service
    if name == "cancel":
        return service.request_cancel_workflow_execution(
            RequestCancelWorkflowExecutionRequest(**fields)
        )
    if name == "terminate":
        return service.terminate_workflow_execution(TerminateWorkflowExecutionRequest(**fields))
    request = Request(meta=Meta(update_id="u"), input=Input(name="update"))
    return service.update_workflow_execution(
        UpdateWorkflowExecutionRequest(
            **fields, request=request, wait_policy=WaitPolicy(lifecycle_stage=ACCEPTED)
        ),
        timeout=SHORT,
    )


async def odd_activities(stage: Stage) -> None:
    """Activities without a workflow: what their starts may not say, and which SDK has them."""
    service = stage.service

    def start(name: str, **fields: Any) -> Awaitable[Message]:
        request = {
            "namespace": stage.namespace,
            "activity_id": stage.workflow_id(name),
            "activity_type": ActivityType(name="ByHand"),
            "task_queue": stage.task_queue(),
            "start_to_close_timeout": seconds(100),
        }
        return service.start_activity_execution(
            StartActivityExecutionRequest(**{**request, **fields})
        )

    refused: dict[str, dict[str, Any]] = {
        "called": {"completion_callbacks": [Callback(nexus=Callback.Nexus(url="http://a"))]},
        "attached": {"on_conflict_options": OnConflictOptions(attach_request_id=True)},
        "attached callbacks": {
            "on_conflict_options": OnConflictOptions(attach_completion_callbacks=True)
        },
    }
    for name, fields in refused.items():
        await stage.outcome(name, start(name, **fields))
    await start("activity")
    worker = HandWorker(stage)
    await worker.poll_activity()
    await stage.outcome(
        "described",
        service.describe_activity_execution(
            DescribeActivityExecutionRequest(
                namespace=stage.namespace, activity_id=stage.workflow_id("activity")
            )
        ),
    )
    named: dict[str, Any] = {
        "namespace": stage.namespace,
        "activity_id": stage.workflow_id("activity"),
    }
    negative = seconds(-1)
    for name, unwound in (
        ("unpaused", service.unpause_activity_execution(Unpause(**named, jitter=negative))),
        ("reset", service.reset_activity_execution(Reset(**named, jitter=negative))),
    ):
        await stage.outcome(f"{name}, negative jitter", unwound)
    policies = {
        "none": None,
        "empty": RetryPolicy(),
        "of attempts": RetryPolicy(maximum_attempts=4),
        "negative": RetryPolicy(initial_interval=negative),
        "shrinking": RetryPolicy(backoff_coefficient=0.5),
    }
    for name, policy in policies.items():
        await stage.outcome(
            f"retry policy, {name}",
            service.update_activity_execution_options(
                UpdateActivityExecutionOptionsRequest(
                    **named,
                    activity_options=ActivityOptions(retry_policy=policy),
                    update_mask=FieldMask(paths=["retry_policy"]),
                )
            ),
        )


async def what_there_is(stage: Stage) -> None:
    """Capabilities, and what waits for time to be skipped, which never is."""
    service = stage.service
    info = await service.get_system_info(GetSystemInfoRequest())
    stage.message("capabilities", info.capabilities)
    executions: dict[str, WorkflowExecution | None] = {
        "unset": None,
        "no id": WorkflowExecution(run_id="no run"),
        "bad run": WorkflowExecution(workflow_id="w", run_id="no run"),
        "any": WorkflowExecution(workflow_id="w"),
    }
    for name, execution in executions.items():
        try:
            await service.poll_workflow_execution_time_skipping(
                PollWorkflowExecutionTimeSkippingRequest(
                    namespace=stage.namespace, workflow_execution=execution
                ),
                timeout=SHORT,
            )
        except RPCError as refusal:
            stage.observe(name, (refusal.status.name, refusal.message))
