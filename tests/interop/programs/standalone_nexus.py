"""Nexus operations without a workflow, by hand: every way to end, and what is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api import workflowservice
from temporalio.api.common.v1 import (
    Callback,
    Link,
    Payload,
    SearchAttributes,
)
from temporalio.api.enums.v1 import PendingNexusOperationState, nexus_pb2
from temporalio.api.failure.v1 import (
    CanceledFailureInfo,
    Failure,
    NexusHandlerFailureInfo,
)
from temporalio.api.nexus.v1 import (
    HandlerError,
    NexusOperationExecutionInfo,
    StartOperationResponse,
)
from temporalio.api.nexusoperation.v1 import OnConflictOptions
from temporalio.api.operatorservice.v1 import DeleteNexusEndpointRequest
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.workflowservice.v1 import (
    CountNexusOperationExecutionsRequest,
    DescribeNexusOperationExecutionRequest,
    DescribeNexusOperationExecutionResponse,
    ListNexusOperationExecutionsRequest,
    PollNexusTaskQueueResponse,
)
from temporalio.service import RPCError

from tests.interop.programs.nexus_by_hand import (
    FAILURE,
    FOREIGN_LINK,
    LINK,
    LONG,
    Desk,
    handler_error,
    started,
    succeeded,
    unsuccessful,
)
from tests.interop.raw import complete_workflow, seconds
from tests.interop.stage import CLIENT_IDENTITY, WAIT_SECONDS, Stage, payloads

USE_EXISTING = nexus_pb2.NEXUS_OPERATION_ID_CONFLICT_POLICY_USE_EXISTING
FAILED_ONLY = nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
REJECT = nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_REJECT_DUPLICATE
STARTED = nexus_pb2.NEXUS_OPERATION_WAIT_STAGE_STARTED
CLOSED = nexus_pb2.NEXUS_OPERATION_WAIT_STAGE_CLOSED
NO_RUN = "0198b1f4-0000-7000-8000-000000000000"
CONTROLS = (
    "DescribeNexusOperationExecution",
    "PollNexusOperationExecution",
    "RequestCancelNexusOperationExecution",
    "TerminateNexusOperationExecution",
    "DeleteNexusOperationExecution",
)


class Orders:
    """Calls about the operations of a stage, and their handler."""

    def __init__(self, stage: Stage, label: str = "orders") -> None:
        self.stage = stage
        self.desk = Desk(stage, label)
        self._label = label
        self._calls = 0

    def id(self, name: str) -> str:
        """The same for every server but for the nonce."""
        return self.stage.workflow_id(name)

    async def call(self, method: str, name: str | None, **fields: Any) -> Any:
        """A call about an operation, and what came of it."""
        request = getattr(workflowservice.v1, f"{method}Request")(
            namespace=self.stage.namespace, **fields
        )
        if name is not None:
            request.operation_id = self.id(name)
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in method)
        rpc = getattr(self.stage.service, snake.lstrip("_"))
        return await self.stage.outcome(self._next(f"{method} {name}"), rpc(request))

    async def start(self, name: str | None, request: str = "first", **fields: Any) -> Any:
        """Starts an operation at the desk's endpoint."""
        return await self.call(
            "StartNexusOperationExecution",
            name,
            **{
                "endpoint": self.desk.endpoint,
                "service": "service",
                "operation": "operation",
                "input": payloads("some").payloads[0],
                "identity": CLIENT_IDENTITY,
                "request_id": f"{request} {name} {self.stage.nonce}",
                **fields,
            },
        )

    async def take(self) -> PollNexusTaskQueueResponse:
        """The handler's next task, kept but for the advice on pollers."""
        task = await self.desk.poll()
        for token in task.request.start_operation.callback_header.values():
            self.stage.hide(token)
        kept = PollNexusTaskQueueResponse()
        kept.CopyFrom(task)
        kept.ClearField("poller_scaling_decision")
        for name in list(kept.request.header):
            if name.lower() in ("request-timeout", "operation-timeout"):
                del kept.request.header[name]  # What is left of it by now.
        kept.request.ClearField("scheduled_time")
        self.stage.message(self._next("task"), kept)
        return task

    async def describe(self, name: str, **fields: Any) -> None:
        """All that is told of it."""
        self.stage.message(self._next(f"describe {name}"), await self.description(name, **fields))

    async def once(self, name: str, state: str) -> None:
        """The same, when it is in this state."""
        wanted = PendingNexusOperationState.Value(f"PENDING_NEXUS_OPERATION_STATE_{state}")
        await self._until(name, lambda info: info.state == wanted)

    async def once_cancelled(self, name: str, state: int) -> None:
        """The same, when its cancellation is in this state."""
        await self._until(name, lambda info: info.cancellation_info.state == state)

    async def closed(self, name: str) -> None:
        """Waits for its end, and tells all of it."""
        await self._until(name, lambda info: info.HasField("close_time"))
        await self.call("PollNexusOperationExecution", name, wait_stage=CLOSED)
        await self.call("PollNexusOperationExecution", name, wait_stage=STARTED)

    async def gone(self, name: str) -> None:
        """Waits until it is deleted."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    await self.description(name)
                except RPCError:
                    break
                await asyncio.sleep(0.05)
        await self.call("DescribeNexusOperationExecution", name)

    async def _until(self, name: str, holds: Callable[[NexusOperationExecutionInfo], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                if holds((await self.description(name)).info):
                    break
                await asyncio.sleep(0.05)
        await self.describe(name)

    async def description(
        self, name: str, **fields: Any
    ) -> DescribeNexusOperationExecutionResponse:
        """What the server says of it now."""
        return await self.stage.service.describe_nexus_operation_execution(
            DescribeNexusOperationExecutionRequest(
                namespace=self.stage.namespace,
                operation_id=self.id(name),
                **{"include_input": True, "include_outcome": True, **fields},
            )
        )

    def _next(self, what: str) -> str:
        self._calls += 1
        return f"{self._label} {self._calls}: {what}"


async def nexus_operation_answers(stage: Stage) -> None:
    """What a handler may answer at once."""
    answers: dict[str, StartOperationResponse | HandlerError | Failure] = {
        "succeeded": succeeded("result", LINK, FOREIGN_LINK),
        "failed": unsuccessful("failed", metadata={"k": "v"}, details=b'{"a":1}'),
        "failure": StartOperationResponse(failure=FAILURE),
        "cancellation": StartOperationResponse(
            failure=Failure(message="enough", canceled_failure_info=CanceledFailureInfo())
        ),
        "bad request": handler_error("BAD_REQUEST"),
        "not found": Failure(
            message="nowhere",
            nexus_handler_failure_info=NexusHandlerFailureInfo(type="NOT_FOUND"),
            cause=FAILURE,
        ),
    }
    for label, answer in answers.items():
        orders = Orders(stage, label)
        await orders.desk.open()
        response = await orders.start(label, nexus_header={"A-Key": "value"})
        task = await orders.take()
        await orders.describe(label)
        if isinstance(answer, StartOperationResponse):
            await orders.desk.answer(task, answer)
        else:
            await orders.desk.fail(task, answer)
        await orders.closed(label)
        await orders.call("DescribeNexusOperationExecution", label, run_id=response.run_id)


async def nexus_operation_completions(stage: Stage) -> None:
    """One that goes on, is retried, is completed by a workflow."""
    orders = Orders(stage)
    await orders.desk.open()
    metadata = UserMetadata(
        summary=payloads("why").payloads[0], details=payloads("long").payloads[0]
    )
    link = Link(
        workflow=Link.Workflow(namespace="default", workflow_id="a", run_id="b", reason="c")
    )
    await orders.start(
        "async",
        user_metadata=metadata,
        links=[link],
        schedule_to_close_timeout=seconds(60),
        schedule_to_start_timeout=seconds(50),
        start_to_close_timeout=seconds(40),
    )
    await orders.desk.fail(await orders.take(), handler_error("INTERNAL"))
    await orders.once("async", "BACKING_OFF")
    task = await orders.take()
    worker, callee = await orders.desk.serve(task)
    await orders.desk.answer(task, started("token", LINK, FOREIGN_LINK))
    await orders.once("async", "STARTED")
    await orders.call("PollNexusOperationExecution", "async", wait_stage=STARTED)
    await worker.complete(await worker.poll(), complete_workflow("result"))
    await orders.closed("async")
    await stage.history("callee", callee)
    early = Orders(stage, "early")
    await early.desk.open()
    await early.start("early")
    task = await early.take()
    worker, callee = await early.desk.serve(task)
    await worker.complete(await worker.poll(), complete_workflow("result"))
    await early.closed("early")


async def nexus_operation_cancels(stage: Stage) -> None:
    """Cancel, terminate, delete."""
    orders = Orders(stage)
    await orders.desk.open()
    why = {"identity": CLIENT_IDENTITY, "reason": "enough"}
    await orders.start("early")
    task = await orders.take()
    await orders.call("RequestCancelNexusOperationExecution", "early", request_id="one", **why)
    await orders.describe("early")
    await orders.call("RequestCancelNexusOperationExecution", "early", request_id="one", **why)
    await orders.call("RequestCancelNexusOperationExecution", "early", request_id="two", **why)
    await orders.call("RequestCancelNexusOperationExecution", "early", **why)
    await orders.desk.answer(task, started())
    task = await orders.take()
    await orders.describe("early")
    await orders.desk.fail(task, handler_error("INTERNAL"))
    await orders.once_cancelled("early", 2)
    await orders.desk.answer(await orders.take(), None)
    await orders.once_cancelled("early", 3)
    await orders.call("TerminateNexusOperationExecution", "early", request_id="three", **why)
    await orders.closed("early")
    await orders.call("TerminateNexusOperationExecution", "early", request_id="three", **why)
    await orders.call("TerminateNexusOperationExecution", "early", request_id="four", **why)
    await orders.call("RequestCancelNexusOperationExecution", "early", request_id="one", **why)
    await orders.call("RequestCancelNexusOperationExecution", "early", request_id="five", **why)
    await orders.start("refused")
    await orders.desk.answer(await orders.take(), started())
    await orders.once("refused", "STARTED")
    await orders.call("RequestCancelNexusOperationExecution", "refused", request_id="one", **why)
    await orders.desk.fail(await orders.take(), handler_error("BAD_REQUEST"))
    await orders.once_cancelled("refused", 4)
    await orders.call("DescribeNexusOperationExecution", "refused")
    await orders.call("DeleteNexusOperationExecution", "refused")
    await orders.gone("refused")
    await orders.start("sync")
    await orders.desk.answer(await orders.take(), succeeded())
    await orders.closed("sync")
    await orders.call("RequestCancelNexusOperationExecution", "sync", request_id="one", **why)
    await orders.call("TerminateNexusOperationExecution", "sync", request_id="three", **why)
    await orders.call("DeleteNexusOperationExecution", "sync")
    await orders.gone("sync")
    await orders.call("DeleteNexusOperationExecution", "sync")
    await orders.start("pending")
    await orders.take()
    await orders.call("TerminateNexusOperationExecution", "pending", **why)
    await orders.closed("pending")


async def nexus_operation_timeouts(stage: Stage) -> None:
    """Each timeout."""
    orders = Orders(stage)
    await orders.desk.open()
    await orders.start("close", schedule_to_close_timeout=seconds(1))
    await orders.closed("close")
    await orders.start("start", schedule_to_start_timeout=seconds(1))
    await orders.closed("start")
    await orders.start(
        "capped",
        schedule_to_close_timeout=seconds(20),
        schedule_to_start_timeout=seconds(30),
        start_to_close_timeout=seconds(40),
    )
    await orders.desk.answer(await orders.take(), started())
    await orders.once("capped", "STARTED")
    work = Orders(stage, "work")
    await work.desk.open()
    await work.start("work", start_to_close_timeout=seconds(1))
    await work.desk.answer(await work.take(), started())
    await work.closed("work")


async def nexus_operation_policies(stage: Stage) -> None:
    """What comes of an id that is taken, or was."""
    orders = Orders(stage)
    await orders.desk.open()
    first = await orders.start("id")
    await orders.start("id")
    await orders.start("id", "other")
    await orders.start("id", "other", id_conflict_policy=USE_EXISTING)
    await orders.start("id", "other", id_conflict_policy=USE_EXISTING, id_reuse_policy=REJECT)
    options = OnConflictOptions(attach_request_id=True, attach_links=True)
    await orders.start(
        "id",
        "attached",
        id_conflict_policy=USE_EXISTING,
        on_conflict_options=options,
        links=[Link(workflow=Link.Workflow(namespace="default", workflow_id="a", run_id="b"))],
    )
    await orders.describe("id")
    await orders.start("id", "attached", on_conflict_options=options)
    await orders.desk.answer(await orders.take(), succeeded())
    await orders.closed("id")
    await orders.start("id")
    await orders.start("id", "other", id_reuse_policy=REJECT)
    await orders.start("id", "other", id_reuse_policy=FAILED_ONLY)
    second = await orders.start("id", "third")
    await orders.call("TerminateNexusOperationExecution", "id", reason="enough")
    await orders.start("id", "fourth", id_reuse_policy=FAILED_ONLY)
    await orders.call(
        "DescribeNexusOperationExecution", "id", run_id=first.run_id, include_outcome=True
    )
    await orders.call("PollNexusOperationExecution", "id", run_id=second.run_id, wait_stage=CLOSED)
    description = await orders.description("id")
    await orders.call(
        "DescribeNexusOperationExecution",
        "id",
        run_id=first.run_id,
        long_poll_token=description.long_poll_token,
    )
    await orders.call(
        "DescribeNexusOperationExecution", "id", long_poll_token=description.long_poll_token
    )
    await orders.call(
        "DescribeNexusOperationExecution", "id", run_id=description.run_id, long_poll_token=b"x"
    )


async def nexus_operation_refusals(stage: Stage) -> None:
    """What makes no sense."""
    orders = Orders(stage)
    await orders.desk.open()
    for number, fields in enumerate(_wrong_starts()):
        named = {"operation_id": orders.id(f"order {number}"), **fields}
        await orders.start(None, f"{number}", **named)
    for method in CONTROLS:
        stage_of = {"wait_stage": CLOSED} if method.startswith("Poll") else {}
        await orders.call(method, "missing", **stage_of)
        await orders.call(method, None, **stage_of)
        await orders.call(method, "missing", run_id="not a uuid", **stage_of)
        await orders.call(method, "missing", run_id=NO_RUN, **stage_of)
        await orders.call(method, None, operation_id=LONG, **stage_of)
    for method in ("RequestCancelNexusOperationExecution", "TerminateNexusOperationExecution"):
        await orders.call(method, None, request_id=LONG, identity=LONG)
        await orders.call(method, None, identity=LONG, reason=LONG)
        await orders.call(method, "missing", reason=LONG, run_id="not a uuid")
        await orders.call(method, "missing", reason=LONG)
    await orders.call("PollNexusOperationExecution", None, wait_stage=9)
    await orders.call("DescribeNexusOperationExecution", "missing", long_poll_token=b"x")
    await orders.call(
        "DescribeNexusOperationExecution", "missing", long_poll_token=b"x", run_id=NO_RUN
    )
    await stage.client.operator_service.delete_nexus_endpoint(
        DeleteNexusEndpointRequest(id=orders.desk.endpoint_id, version=1)
    )
    await orders.start("no endpoint")


def _wrong_starts() -> list[dict[str, Any]]:
    """Some of them are not."""
    large, negative = Payload(data=b"x" * 2_100_000), Duration(seconds=-1)
    summary = UserMetadata(summary=Payload(data=b"x" * 401))
    unknown = SearchAttributes(indexed_fields={"Nope": payloads("x").payloads[0]})
    foreign = Callback(nexus=Callback.Nexus(url="http://127.0.0.1:1/x"))
    return [
        {"operation_id": ""},
        {"operation_id": LONG},
        {"endpoint": ""},
        {"endpoint": "unknown"},
        {"endpoint": "__temporal_system"},
        {"endpoint": LONG},
        {"service": ""},
        {"service": LONG},
        {"operation": ""},
        {"operation": LONG},
        {"request_id": LONG},
        {"identity": LONG},
        {"id_reuse_policy": 9, "id_conflict_policy": 9},
        {"id_reuse_policy": REJECT, "id_conflict_policy": USE_EXISTING},
        {"schedule_to_close_timeout": negative},
        {"schedule_to_start_timeout": negative},
        {"start_to_close_timeout": negative},
        {"input": large},
        {"nexus_header": {f"h{n}": "v" * 1000 for n in range(9)}},
        {"nexus_header": {"Request-Timeout": "5s"}},
        {"nexus_header": {"caller-name": "x" * 9000}},
        {"nexus_header": {"operation-timeout": "5s"}},
        {"user_metadata": summary},
        {"user_metadata": UserMetadata(details=Payload(data=b"x" * 20_001))},
        {"search_attributes": unknown},
        {"links": [Link()]},
        {"links": [Link(batch_job=Link.BatchJob(job_id="a"))] * 11},
        {"completion_callbacks": [foreign]},
        {"on_conflict_options": OnConflictOptions(attach_links=True)},
        # Which of two is told.
        {"operation_id": "", "endpoint": ""},
        {"endpoint": "", "service": ""},
        {"service": LONG, "operation": ""},
        {"operation_id": "", "identity": LONG},
        {"operation": "", "identity": LONG},
        {"operation_id": LONG, "request_id": LONG},
        {"request_id": LONG, "identity": LONG},
        {"endpoint": "unknown", "schedule_to_close_timeout": negative},
        {"operation": "", "schedule_to_close_timeout": negative},
        {"start_to_close_timeout": negative, "input": large},
        {"input": large, "user_metadata": summary},
        {"user_metadata": summary, "nexus_header": {"caller-name": "me"}},
        {"nexus_header": {"caller-name": "me"}, "search_attributes": unknown},
        {"search_attributes": unknown, "endpoint": "unknown"},
    ]


async def nexus_operations_found(stage: Stage) -> None:
    """What queries may speak of."""
    orders = Orders(stage)
    await orders.desk.open()
    run = await orders.start("first", service="other")
    await orders.desk.answer(await orders.take(), succeeded())
    await orders.closed("first")
    await orders.start("second")
    mine = f"Endpoint = '{orders.desk.endpoint}'"
    counting = CountNexusOperationExecutionsRequest(namespace=stage.namespace, query=mine)
    closed = CountNexusOperationExecutionsRequest(
        namespace=stage.namespace, query=f"{mine} AND ExecutionStatus = 'Completed'"
    )
    async with asyncio.timeout(WAIT_SECONDS):
        for request, count in ((counting, 2), (closed, 1)):
            while True:
                found = await stage.service.count_nexus_operation_executions(request)
                if found.count == count:
                    break
                await asyncio.sleep(0.05)
    for query in (
        mine,
        f"{mine} AND Service = 'other' AND Operation = 'operation'",
        f"{mine} AND OperationId = '{orders.id('second')}'",
        f"{mine} AND WorkflowId = '{orders.id('second')}'",
        f"{mine} AND OperationId STARTS_WITH '{orders.id('s')}'",
        f"RunId = '{run.run_id}'",
        f"{mine} AND ExecutionStatus = 'Running' AND StartTime > '2020-01-01T00:00:00Z'",
        f"{mine} AND CloseTime IS NULL",
        f"{mine} AND StateTransitionCount > 1 AND ExecutionDuration > 1",
        f"{mine} AND Service IN ('x', 'service')",
        f"{mine} GROUP BY ExecutionStatus",
        "Nope = 1",
        "ActivityId = 'x'",
        "Endpoint = 1",
        "StartTime > 'x'",
        "TaskQueue = 'x'",
        "ExecutionStatus = 'Paused'",
    ):
        await orders.call("CountNexusOperationExecutions", None, query=query)
    await orders.call("CountNexusOperationExecutions", None, query=f"{mine} ORDER BY StartTime")
    await orders.call("ListNexusOperationExecutions", None, query="Nope = 1")
    listed = await stage.service.list_nexus_operation_executions(
        ListNexusOperationExecutionsRequest(namespace=stage.namespace, query=mine)
    )
    for one in listed.operations:
        one.ClearField("search_attributes")  # The real server shows one of its own.
    stage.message("listed", listed)


async def nexus_operations_off(stage: Stage) -> None:
    """What the stock server answers."""
    orders = Orders(stage)
    for method in ("StartNexusOperationExecution", *CONTROLS):
        await orders.call(method, None)
        await orders.call(method, "x")
    for method in ("ListNexusOperationExecutions", "CountNexusOperationExecutions"):
        await orders.call(method, None)
