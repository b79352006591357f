"""Answers for activities that come at the wrong time, by token and by id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import RetryPolicy, WorkflowExecution
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflowservice.v1 import (
    RecordActivityTaskHeartbeatByIdRequest,
    RecordActivityTaskHeartbeatRequest,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedByIdRequest,
    RespondActivityTaskFailedRequest,
)

from tests.interop.raw import IDENTITY, HandWorker, cancel_activity, complete_workflow, seconds
from tests.interop.stage import Stage, payloads

FAILURE = Failure(message="edge", application_failure_info=ApplicationFailureInfo(type="Edge"))
OTHER_RUN = "00000000-0000-4000-8000-000000000000"


def _by_token(stage: Stage, token: bytes, order: str = "hfcx") -> dict[str, Awaitable[Message]]:
    """All that a worker may answer: heartbeat, failure, cancellation, completion."""
    service = stage.service
    common: dict[str, Any] = {
        "namespace": stage.namespace,
        "identity": IDENTITY,
        "task_token": token,
    }
    calls: dict[str, Callable[[], Awaitable[Message]]] = {
        "h": lambda: service.record_activity_task_heartbeat(
            RecordActivityTaskHeartbeatRequest(**common)
        ),
        "f": lambda: service.respond_activity_task_failed(
            RespondActivityTaskFailedRequest(failure=FAILURE, **common)
        ),
        "x": lambda: service.respond_activity_task_canceled(
            RespondActivityTaskCanceledRequest(**common)
        ),
        "c": lambda: service.respond_activity_task_completed(
            RespondActivityTaskCompletedRequest(result=payloads("done"), **common)
        ),
    }
    return {f"{letter} by token": calls[letter]() for letter in order}


def _by_id(
    stage: Stage, execution: WorkflowExecution, activity_id: str, order: str, run_id: str = ""
) -> dict[str, Awaitable[Message]]:
    service = stage.service
    common: dict[str, Any] = {
        "namespace": stage.namespace,
        "identity": IDENTITY,
        "workflow_id": execution.workflow_id,
        "run_id": run_id,
        "activity_id": activity_id,
    }
    calls: dict[str, Callable[[], Awaitable[Message]]] = {
        "h": lambda: service.record_activity_task_heartbeat_by_id(
            RecordActivityTaskHeartbeatByIdRequest(**common)
        ),
        "f": lambda: service.respond_activity_task_failed_by_id(
            RespondActivityTaskFailedByIdRequest(failure=FAILURE, **common)
        ),
        "x": lambda: service.respond_activity_task_canceled_by_id(
            RespondActivityTaskCanceledByIdRequest(**common)
        ),
        "c": lambda: service.respond_activity_task_completed_by_id(
            RespondActivityTaskCompletedByIdRequest(result=payloads("by id"), **common)
        ),
    }
    return {f"{letter} by id": calls[letter]() for letter in order}


async def async_edges(stage: Stage) -> None:
    """Before the start, between attempts, after the end, and for an id that is used again."""
    worker = HandWorker(stage)
    execution = await worker.start()
    slow = RetryPolicy(initial_interval=seconds(100))
    first = worker.schedule_activity("a", retry_policy=slow)
    await worker.complete(await worker.poll(), first)

    async def see(label: str, calls: dict[str, Awaitable[Message]]) -> None:
        for name, call in calls.items():
            await stage.outcome(f"{label}: {name}", call)

    await see("not started", _by_id(stage, execution, "a", "hfx"))
    await see("unknown id", _by_id(stage, execution, "b", "hfxc"))
    await see("empty id", _by_id(stage, execution, "", "hfxc"))
    await see("another run", _by_id(stage, execution, "a", "hfxc", OTHER_RUN))
    await see("not a run", _by_id(stage, execution, "a", "hfxc", "nonsense"))
    task = await worker.poll_activity()
    await see("started", _by_token(stage, task.task_token, "hx"))
    await see("started", _by_id(stage, execution, "a", "hx"))
    await see("failed", _by_id(stage, execution, "a", "f"))
    await see("backing off", _by_token(stage, task.task_token))
    await see("backing off", _by_id(stage, execution, "a", "hfxc", execution.run_id))
    await see("over", _by_token(stage, task.task_token))
    await see("over", _by_id(stage, execution, "a", "hfxc"))
    again = worker.schedule_activity("a")
    await worker.complete(await worker.poll(), again)
    await see("used again, not started", _by_token(stage, task.task_token))
    second = await worker.poll_activity()
    await see("used again", _by_token(stage, task.task_token))
    await worker.signal(execution, "go")
    events = await stage.fetch(execution)
    scheduled = [
        event.event_id
        for event in events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    await worker.complete(await worker.poll(), cancel_activity(scheduled[-1]))
    await see("shall cancel", _by_token(stage, second.task_token, "h"))
    await see("cancels", _by_id(stage, execution, "a", "x"))
    both = (worker.schedule_activity("a"), worker.schedule_activity("b"))
    await worker.complete(await worker.poll(), *both)
    last = await worker.poll_activity()
    await worker.signal(execution, "on")
    await worker.complete(await worker.poll(), complete_workflow("done"))
    await see("closed", _by_token(stage, last.task_token))
    await see("closed", _by_id(stage, execution, "a", "hfxc"))
    await stage.history("history", execution)
