"""Nexus tasks as workers get them, and answers that are refused."""

from __future__ import annotations

import json
from datetime import timedelta

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.nexus.v1 import (
    Failure as NexusFailure,
)
from temporalio.api.nexus.v1 import (
    HandlerError,
    Request,
    Response,
    StartOperationResponse,
    UnsuccessfulOperationError,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    PollNexusTaskQueueRequest,
    RespondNexusTaskCompletedRequest,
    RespondNexusTaskFailedRequest,
)

from tests.interop.programs.nexus_by_hand import Desk, cancel, started, succeeded
from tests.interop.raw import seconds
from tests.interop.stage import Stage

BAD_DETAILS = NexusFailure(message="m", details=b"not json")
POLL = timedelta(seconds=10)


async def nexus_requests(stage: Stage) -> None:
    """What a worker is asked when a workflow starts an operation, and cancels it."""
    desk = Desk(stage, "asked")
    header = {"My-Header": "v"}
    payload = Payload(metadata={"encoding": b"own", "x": b"y"}, data=b"\x00")
    await desk.begin(input=payload, nexus_header=header, schedule_to_close_timeout=seconds(300))
    task = await desk.poll()
    _observe(stage, "start", task.request)
    await desk.answer(task, started("a token"))
    await desk.take(cancel(5))
    task = await desk.poll()
    _observe(stage, "cancel", task.request)
    await desk.answer(task, None)
    other = Desk(stage, "nothing said")
    await other.begin()
    task = await other.poll()
    _observe(stage, "nothing said", task.request)
    await other.answer(task, succeeded())


def _observe(stage: Stage, label: str, request: Request) -> None:
    """A request, but for how much time was left."""
    for name in ("request-timeout", "Request-Timeout", "operation-timeout"):
        if name in request.header:
            told = request.header[name]
            is_right = told.endswith("ms" if name == "operation-timeout" else "s")
            request.header[name] = "a time" if is_right else told
    start = request.start_operation
    if "temporal-callback-token" in start.callback_header:
        token = json.loads(start.callback_header["temporal-callback-token"])
        start.callback_header["temporal-callback-token"] = str(sorted(token))
    stage.message(label, request)


async def refused_nexus_tasks(stage: Stage) -> None:
    """Polls that name no queue, and answers that are none or come too late."""
    queue = TaskQueue(name=stage.queue("handler"))
    polls = {
        "no namespace": PollNexusTaskQueueRequest(),
        "no queue": PollNexusTaskQueueRequest(namespace="default"),
        "no name": PollNexusTaskQueueRequest(namespace="default", task_queue=TaskQueue()),
        "unknown namespace": PollNexusTaskQueueRequest(namespace="nope", task_queue=queue),
        "long name": PollNexusTaskQueueRequest(
            namespace="default", task_queue=TaskQueue(name="x" * 1001)
        ),
        "long identity": PollNexusTaskQueueRequest(
            namespace="default", task_queue=queue, identity="i" * 1001
        ),
    }
    for label, poll in polls.items():
        await stage.outcome(label, stage.service.poll_nexus_task_queue(poll, timeout=POLL))
    desk = Desk(stage, "refused")
    await desk.begin()
    task = await desk.poll()
    bad = Failure(message="m", application_failure_info=ApplicationFailureInfo(type="T"))
    answers: dict[str, Message] = {
        "no token": RespondNexusTaskCompletedRequest(),
        "no token of a failure": RespondNexusTaskFailedRequest(),
        "garbage": RespondNexusTaskCompletedRequest(task_token=b"garbage"),
        "garbage of a failure": RespondNexusTaskFailedRequest(task_token=b"garbage"),
        "other namespace": RespondNexusTaskCompletedRequest(
            namespace="temporal-system", task_token=task.task_token
        ),
        "no operation token": _started(
            task.task_token, async_success=StartOperationResponse.Async()
        ),
        "details that are no json": _started(
            task.task_token,
            operation_error=UnsuccessfulOperationError(
                operation_state="failed", failure=BAD_DETAILS
            ),
        ),
        "failure details that are no json": RespondNexusTaskFailedRequest(
            task_token=task.task_token,
            error=HandlerError(error_type="INTERNAL", failure=BAD_DETAILS),
        ),
        "no failure": RespondNexusTaskFailedRequest(task_token=task.task_token),
        "a failure of another kind": RespondNexusTaskFailedRequest(
            task_token=task.task_token, failure=bad
        ),
    }
    for label, answer in answers.items():
        await _respond(stage, label, answer)
    await desk.answer(task, succeeded())
    await _respond(
        stage,
        "answered already",
        RespondNexusTaskCompletedRequest(task_token=task.task_token, response=Response()),
    )
    describe = DescribeTaskQueueRequest(
        namespace="default",
        task_queue=TaskQueue(name=stage.queue("handler refused")),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_NEXUS,
    )
    described = await stage.service.describe_task_queue(describe)
    stage.observe("pollers", [poller.identity for poller in described.pollers])


def _started(token: bytes, **variant: Message) -> RespondNexusTaskCompletedRequest:
    response = Response(start_operation=StartOperationResponse(**variant))  # type: ignore[arg-type]
    return RespondNexusTaskCompletedRequest(task_token=token, response=response)


async def _respond(stage: Stage, label: str, answer: Message) -> None:
    if isinstance(answer, RespondNexusTaskFailedRequest):
        answer.namespace = answer.namespace or "default"
        await stage.outcome(label, stage.service.respond_nexus_task_failed(answer))
        return
    assert isinstance(answer, RespondNexusTaskCompletedRequest)
    answer.namespace = answer.namespace or "default"
    await stage.outcome(label, stage.service.respond_nexus_task_completed(answer))
