"""Carries out calls about standalone activities on one server, one after the other.

Nothing is concurrent: each call waits until every activity is at rest, that is, closed, paused,
held by the driver, or waiting for longer than a program lasts. After a call that may have changed
an activity, all that is told of it is kept.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from temporalio.api.activity.v1 import ActivityExecutionInfo, ActivityOptions
from temporalio.api.common.v1 import ActivityType, RetryPolicy
from temporalio.api.enums.v1 import (
    ActivityIdConflictPolicy,
    ActivityIdReusePolicy,
    PendingActivityState,
)
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    CountActivityExecutionsRequest,
    CountActivityExecutionsResponse,
    DeleteActivityExecutionRequest,
    DescribeActivityExecutionRequest,
    ListActivityExecutionsRequest,
    ListActivityExecutionsResponse,
    PauseActivityExecutionRequest,
    PollActivityExecutionRequest,
    RecordActivityTaskHeartbeatByIdRequest,
    RequestCancelActivityExecutionRequest,
    ResetActivityExecutionRequest,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskFailedByIdRequest,
    StartActivityExecutionRequest,
    TerminateActivityExecutionRequest,
    UnpauseActivityExecutionRequest,
    UpdateActivityExecutionOptionsRequest,
)
from temporalio.service import RPCError, RPCStatusCode

from tests.differential.actions import Place, duration, retry_policy
from tests.differential.board import Board, Waiting
from tests.differential.program import Activity, Call, Program
from tests.differential.seen import Seen, Stuck
from tests.interop.stage import CLIENT_IDENTITY, payloads

SETTLE_SECONDS_MAX = 30.0
GLANCE_SECONDS = 0.03
LONG_SECONDS = 15.0
"""Whatever takes longer is not waited for."""
FOUND_SECONDS_MAX = 10.0
FOUND_GLANCE_SECONDS = 0.3
LOOKING = frozenset({"describe", "result", "list", "count"})
_AT_WORK = frozenset(
    {
        PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
        PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
        PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED,
    }
)
_ABOUT_TO_HEAR = _AT_WORK - {PendingActivityState.PENDING_ACTIVITY_STATE_STARTED}


class JobDriver:
    """Carries out one program."""

    def __init__(self, program: Program, place: Place, board: Board) -> None:
        self._program = program
        self._place = place
        self._board = board
        self._service = place.client.workflow_service
        self._namespace = place.client.namespace
        self._names: list[str] = []
        """Of activities that were started, in order."""
        self._reset: list[Waiting] = []
        """Attempts that are about to hear that their activity was reset."""
        self.seen = Seen(place.nonce, place.queue)

    async def play(self) -> None:
        """All calls; then everything is ended, and told."""
        for call in self._program.calls:
            await self._carry_out(call)
        for name in self._names:
            await self._carry_out(Call("terminate", name))
        for name in self._names:
            await self._carry_out(Call("result", name))
        await self._carry_out(Call("list", "all"))
        await self._carry_out(Call("count", "all"))

    async def abandon(self) -> None:
        """What is left ends by itself: nobody waits for it."""

    async def _carry_out(self, call: Call) -> None:
        if call.kind in ("release", "result") and not await self._can(call):
            return
        label = f"{len(self.seen.answers) + 1} {call.kind} {call.target}"
        if call.kind == "release":
            await self._release(call)
        else:
            await self._keep(label, CALLS[call.kind](self, call))
        if call.kind not in LOOKING:
            await self._settle()
            if call.target in self._names:
                await self._keep(f"{label}: then", self.describe(Call("describe", call.target)))

    async def _keep(self, label: str, call: Awaitable[Message]) -> None:
        try:
            answer: Message | RPCError = await call
        except RPCError as refusal:
            answer = refusal
        self.seen.answers.append((label, answer))

    async def _can(self, call: Call) -> bool:
        """Whether there is something to release, or a result to be had."""
        if call.kind == "release":
            return any(each.name == call.target for each in self._held())
        info = await self._info(call.target)
        return info is None or info.HasField("close_time")

    def _held(self) -> list[Waiting]:
        return [each for each in self._board.waiting.values() if not each.is_served]

    async def _release(self, call: Call) -> None:
        for waiting in self._held():
            if waiting.name == call.target:
                waiting.is_served = True
                if waiting.token:
                    answer = self._place.complete(waiting.token)
                    await self._keep(f"complete {waiting.name}", answer)
                waiting.release("")

    # Coming to rest

    async def _settle(self) -> None:
        reason = ""
        try:
            async with asyncio.timeout(SETTLE_SECONDS_MAX):
                while True:
                    reason = await self._unsettled()
                    if not reason:
                        return
                    await asyncio.sleep(GLANCE_SECONDS)
        except TimeoutError:
            raise Stuck(reason) from None

    async def _unsettled(self) -> str:
        for name in self._names:
            info = await self._info(name)
            reason = "" if info is None else self._may_change(name, info)
            if reason:
                return f"{name}: {reason}"
        return ""

    async def _info(self, name: str) -> ActivityExecutionInfo | None:
        try:
            response = await self._service.describe_activity_execution(
                DescribeActivityExecutionRequest(
                    **self._named(name), include_heartbeat_details=True
                )
            )
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            return None
        return response.info

    def _may_change(self, name: str, info: ActivityExecutionInfo) -> str:
        if info.HasField("close_time"):
            return ""
        is_delayed = info.execution_time.seconds > time.time() + LONG_SECONDS
        if _is_short(info.schedule_to_close_timeout) and not is_delayed:
            return "it is about to time out"
        if info.run_state in _AT_WORK:
            return self._may_end(name, info)
        if info.run_state == PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED:
            return ""
        if info.task_queue.startswith("dead") and not _is_short(info.schedule_to_start_timeout):
            return ""
        due = max(info.next_attempt_schedule_time.seconds, info.execution_time.seconds)
        return "" if due > time.time() + LONG_SECONDS else "it is due"

    def _may_end(self, name: str, info: ActivityExecutionInfo) -> str:
        held = [
            each
            for each in self._held()
            if (each.name, each.run_id, each.attempt) == (name, info.run_id, info.attempt)
        ]
        if any(each is one for each in held for one in self._reset):
            return "it is about to hear that it was reset"
        if not held:
            return "it is at work"
        if held[0].has_beaten and not info.HasField("heartbeat_details"):
            return "it has not told yet that it is alive"
        if held[0].has_beaten and info.run_state in _ABOUT_TO_HEAR:
            return "it is about to hear something"
        return ""

    # Calls

    def _named(self, name: str) -> dict[str, Any]:
        return {
            "namespace": self._namespace,
            "activity_id": self._place.workflow_id(name),
        }

    def _told(self, call: Call) -> dict[str, Any]:
        """Who asks, under which id."""
        request = call.request or str(uuid.uuid4())
        return {
            **self._named(call.target),
            "identity": CLIENT_IDENTITY,
            "request_id": f"{request} {self._place.nonce}" if call.request else request,
        }

    async def start(self, call: Call) -> Message:
        """Begins one, or meets one that is there."""
        step = call.step or Activity(call.target)
        request = StartActivityExecutionRequest(
            **self._told(call),
            activity_type=ActivityType(name="act"),
            task_queue=TaskQueue(
                name=f"{step.queue}-{self._place.queue}" if step.queue else self._place.queue
            ),
            input=payloads(msgspec.to_builtins(step)),
            start_to_close_timeout=duration(step.start_to_close_ms or 100_000),
            schedule_to_close_timeout=duration(step.schedule_to_close_ms),
            schedule_to_start_timeout=duration(step.schedule_to_start_ms),
            heartbeat_timeout=duration(step.heartbeat_ms),
            retry_policy=retry_policy(step.retry),
            start_delay=duration(call.delay_ms),
        )
        if call.reuse:
            request.id_reuse_policy = ActivityIdReusePolicy.Value(
                f"ACTIVITY_ID_REUSE_POLICY_{call.reuse}"
            )
        if call.conflict:
            request.id_conflict_policy = ActivityIdConflictPolicy.Value(
                f"ACTIVITY_ID_CONFLICT_POLICY_{call.conflict}"
            )
        response = await self._service.start_activity_execution(request)
        if call.target not in self._names:
            self._names.append(call.target)
        return response

    async def describe(self, call: Call) -> Message:
        """All that is told of it."""
        return await self._service.describe_activity_execution(
            DescribeActivityExecutionRequest(
                **self._named(call.target),
                include_input=True,
                include_outcome=True,
                include_heartbeat_details=True,
                include_last_failure=True,
            )
        )

    async def result(self, call: Call) -> Message:
        """What came of it."""
        request = PollActivityExecutionRequest(**self._named(call.target))
        return await self._service.poll_activity_execution(request)

    async def pause(self, call: Call) -> Message:
        """No further attempt."""
        request = PauseActivityExecutionRequest(**self._told(call), reason="a reason")
        return await self._service.pause_activity_execution(request)

    async def unpause(self, call: Call) -> Message:
        """Further attempts."""
        request = UnpauseActivityExecutionRequest(**self._told(call))
        return await self._service.unpause_activity_execution(request)

    async def reset(self, call: Call) -> Message:
        """From the first attempt on; `how` names what else is wanted."""
        held = [each for each in self._held() if each.name == call.target and each.has_beaten]
        request = ResetActivityExecutionRequest(
            **self._told(call),
            keep_paused="keep paused" in call.how,
            restore_original_options="restore" in call.how,
            reset_heartbeat="heartbeat" in call.how,
        )
        response = await self._service.reset_activity_execution(request)
        self._reset += held
        return response

    async def options(self, call: Call) -> Message:
        """Other options, or those of its start."""
        request = UpdateActivityExecutionOptionsRequest(**self._told(call))
        if call.how == "restore":
            request.restore_original = True
        else:
            options, path = _OPTIONS[call.how]
            request.activity_options.CopyFrom(options)
            request.update_mask.CopyFrom(FieldMask(paths=[path]))
        return await self._service.update_activity_execution_options(request)

    async def cancel(self, call: Call) -> Message:
        """It is asked to end."""
        request = RequestCancelActivityExecutionRequest(**self._told(call), reason="a reason")
        return await self._service.request_cancel_activity_execution(request)

    async def terminate(self, call: Call) -> Message:
        """It ends."""
        request = TerminateActivityExecutionRequest(**self._told(call), reason="a reason")
        return await self._service.terminate_activity_execution(request)

    async def delete(self, call: Call) -> Message:
        """Nothing is left of it: waited for, since the real server does it in the background."""
        response = await self._service.delete_activity_execution(
            DeleteActivityExecutionRequest(**self._named(call.target))
        )
        async with asyncio.timeout(SETTLE_SECONDS_MAX):
            while True:
                if await self._info(call.target) is None:
                    return response
                await asyncio.sleep(GLANCE_SECONDS)

    async def answer(self, call: Call) -> Message:
        """By its id, as `how` says."""
        named = {**self._named(call.target), "identity": CLIENT_IDENTITY}
        match call.how:
            case "complete":
                return await self._service.respond_activity_task_completed_by_id(
                    RespondActivityTaskCompletedByIdRequest(**named, result=payloads("by its id"))
                )
            case "fail":
                info = ApplicationFailureInfo(type="Remote", details=payloads("a detail"))
                failure = Failure(message="from afar", application_failure_info=info)
                return await self._service.respond_activity_task_failed_by_id(
                    RespondActivityTaskFailedByIdRequest(**named, failure=failure)
                )
            case "cancel":
                return await self._service.respond_activity_task_canceled_by_id(
                    RespondActivityTaskCanceledByIdRequest(**named, details=payloads("why"))
                )
        return await self._service.record_activity_task_heartbeat_by_id(
            RecordActivityTaskHeartbeatByIdRequest(**named, details=payloads("still there"))
        )

    async def list(self, call: Call) -> Message:
        """What is found of the program's, once that is known which is true."""
        expected = {}
        for name in self._names:
            info = await self._info(name)
            if info is not None:
                expected[info.run_id] = info.status
        request = ListActivityExecutionsRequest(namespace=self._namespace, query=self._query())
        deadline = time.monotonic() + FOUND_SECONDS_MAX
        while True:
            response: ListActivityExecutionsResponse = await self._patiently(
                self._service.list_activity_executions, request
            )
            found = {one.run_id: one.status for one in response.executions}
            for one in response.executions:
                # How the real server tells kinds of executions apart.
                one.search_attributes.indexed_fields.pop("TemporalNamespaceDivision", None)
            # In another order: see docs/compatibility.md.
            response.executions.sort(key=lambda one: one.schedule_time.ToNanoseconds())
            if expected.items() <= found.items() or time.monotonic() > deadline:
                return response
            await asyncio.sleep(FOUND_GLANCE_SECONDS)

    async def _patiently(self, call: Callable[[Any], Awaitable[Any]], request: Message) -> Any:
        """The real server answers only so many searches a second."""
        while True:
            try:
                return await call(request)
            except RPCError as error:
                if error.status != RPCStatusCode.RESOURCE_EXHAUSTED:
                    raise
            await asyncio.sleep(FOUND_GLANCE_SECONDS)

    async def count(self, call: Call) -> Message:
        """How many there are of which status, once the list is right."""
        await self.list(call)
        response = await self._patiently(
            self._service.count_activity_executions,
            CountActivityExecutionsRequest(
                namespace=self._namespace, query=f"{self._query()} GROUP BY ExecutionStatus"
            ),
        )
        assert isinstance(response, CountActivityExecutionsResponse)
        response.groups.sort(key=lambda group: group.group_values[0].data)
        return response

    def _query(self) -> str:
        ids = [f"'{self._place.workflow_id(name)}'" for name in (*self._names, "nobody")]
        return f"ActivityId IN ({', '.join(ids)})"


def _is_short(timeout: Duration) -> bool:
    return 0 < timeout.ToMilliseconds() < 1_000 * LONG_SECONDS


_OPTIONS: dict[str, tuple[ActivityOptions, str]] = {
    "start_to_close": (
        ActivityOptions(start_to_close_timeout=Duration(seconds=77)),
        "start_to_close_timeout",
    ),
    "heartbeat": (ActivityOptions(heartbeat_timeout=Duration(seconds=55)), "heartbeat_timeout"),
    "attempts": (
        ActivityOptions(retry_policy=RetryPolicy(maximum_attempts=5)),
        "retry_policy.maximum_attempts",
    ),
    "interval": (
        ActivityOptions(retry_policy=RetryPolicy(initial_interval=Duration(seconds=90))),
        "retry_policy.initial_interval",
    ),
    "nonsense": (ActivityOptions(), "nonsense"),
}
OPTIONS = (*_OPTIONS, "restore")

CALLS: dict[str, Callable[[JobDriver, Call], Awaitable[Message]]] = {
    "start": JobDriver.start,
    "describe": JobDriver.describe,
    "result": JobDriver.result,
    "pause": JobDriver.pause,
    "unpause": JobDriver.unpause,
    "reset": JobDriver.reset,
    "options": JobDriver.options,
    "cancel": JobDriver.cancel,
    "terminate": JobDriver.terminate,
    "delete": JobDriver.delete,
    "answer": JobDriver.answer,
    "list": JobDriver.list,
    "count": JobDriver.count,
}
"""By kind of call."""
