"""Activities as the code sees them: a task that can be awaited and cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command, ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure

from perdure._replay.commands.activity import ActivityMachine
from perdure._replay.context import WorkflowContext
from perdure._replay.event_groups import EventGroup
from perdure._replay.flags import RAISE_ON_CANCELLING_COMPLETED_ACTIVITY
from perdure._replay.interceptors import StartActivityInput
from perdure._replay.loop import WorkflowTask
from perdure.common import Priority, RetryPolicy
from perdure.converter import ActivitySerializationContext, PayloadConverter

_Result = TypeVar("_Result")

_SCHEDULE_ACTIVITY_TASK = CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK

_TIMEOUTS = (
    "schedule_to_close_timeout",
    "schedule_to_start_timeout",
    "start_to_close_timeout",
    "heartbeat_timeout",
)

# `workflow.VersioningIntent`
COMPATIBLE = 1


# Not frozen, which would make each four times as dear.
@dataclass(slots=True, kw_only=True)
class ActivityRequest:
    """What the code asks for."""

    activity: str
    args: Sequence[Any]
    result_type: Any = None
    task_queue: str | None = None
    schedule_to_close_timeout: timedelta | None = None
    schedule_to_start_timeout: timedelta | None = None
    start_to_close_timeout: timedelta | None = None
    heartbeat_timeout: timedelta | None = None
    retry_policy: RetryPolicy | None = None
    cancellation_type: int = 0
    activity_id: str | None = None
    versioning_intent: int | None = None
    disable_eager_execution: bool = False
    summary: str | None = None
    event_groups: Sequence[EventGroup] | None = None
    priority: Priority = field(default_factory=Priority)
    headers: Mapping[str, Payload] = field(default_factory=dict)


class ActivityHandle(WorkflowTask[_Result]):
    """The handle of a scheduled activity: await it for the result, cancel it to cancel it."""


class _ActivityTask(ActivityHandle[Any]):
    """The one that is made; the base class is what the code may name."""

    def __init__(self, context: WorkflowContext, request: ActivityRequest) -> None:
        self._context = context
        self._running = False
        self._cancel_asked = False
        self._outcome: asyncio.Future[Any] = context.loop.create_future()
        self._machine: ActivityMachine | None = None
        self._result_type = request.result_type
        super().__init__(self._run(), loop=context.loop, name=f"activity: {request.activity}")
        number = context.next_sequence("activity")
        context.keep_task(self)
        activity_id = request.activity_id or str(number)
        self._serialization = _serialization(context, request)
        self._converter = context.converter_for(self._serialization)
        command = _schedule_command(context, request, activity_id, self._converter)
        context.mark(command, request.event_groups)
        self._machine = ActivityMachine(
            context.machine,
            command,
            cancellation_type=request.cancellation_type,
            completed=self._completed,
            failed=self._failed,
        )

    def cancel(self, msg: Any | None = None) -> bool:
        """Asks for the cancellation of the activity, also before anybody awaits it."""
        if not self._context.evicting:
            self._context.check_not_read_only("cancel activity handle")
            if not self._running and not self.done():
                self._ask_for_cancellation()
        return super().cancel(msg)

    async def _run(self) -> Any:
        self._running = True
        return await self._context.await_operation(
            self._outcome,
            self._on_cancelled,
            completed_flag=RAISE_ON_CANCELLING_COMPLETED_ACTIVITY,
        )

    def _on_cancelled(self, _: asyncio.CancelledError) -> None:
        self._ask_for_cancellation()

    def _ask_for_cancellation(self) -> None:
        self._context.check_not_read_only("cancel activity handle")
        if self._machine is not None and not self._cancel_asked:
            self._cancel_asked = True
            self._machine.cancel()

    def _completed(self, payload: Payload | None) -> None:
        value = None
        if payload is not None:
            hints = [self._result_type] if self._result_type is not None else None
            value = self._context.decode([payload], hints, self._converter)[0]
        self._outcome.set_result(value)

    def _failed(self, failure: Failure) -> None:
        # Nobody awaits the result of a task that was cancelled before it ran.
        if self._running:
            self._outcome.set_exception(self._context.error_of(failure, self._serialization))


def start_activity(context: WorkflowContext, request: ActivityRequest) -> ActivityHandle[Any]:
    """Schedules an activity, through the interceptors if there are any."""
    if context.outbound is None:
        return schedule_activity(context, request)
    return context.outbound.start_activity(
        StartActivityInput(
            activity=request.activity,
            args=request.args,
            activity_id=request.activity_id,
            task_queue=request.task_queue,
            schedule_to_close_timeout=request.schedule_to_close_timeout,
            schedule_to_start_timeout=request.schedule_to_start_timeout,
            start_to_close_timeout=request.start_to_close_timeout,
            heartbeat_timeout=request.heartbeat_timeout,
            retry_policy=request.retry_policy,
            cancellation_type=request.cancellation_type,
            headers=request.headers,
            disable_eager_execution=request.disable_eager_execution,
            versioning_intent=request.versioning_intent,
            summary=request.summary,
            event_groups=request.event_groups,
            priority=request.priority,
            arg_types=None,
            ret_type=request.result_type,
        )
    )


def schedule_activity(context: WorkflowContext, request: ActivityRequest) -> ActivityHandle[Any]:
    """Schedules an activity. Raises ValueError when it has neither of the two timeouts it needs."""
    context.check_not_read_only("start activity")
    if not request.start_to_close_timeout and not request.schedule_to_close_timeout:
        raise ValueError("Activity must have start_to_close_timeout or schedule_to_close_timeout")
    return _ActivityTask(context, request)


def _serialization(
    context: WorkflowContext, request: ActivityRequest
) -> ActivitySerializationContext | None:
    """None: the converters do not care."""
    if context.options.is_context_free:
        return None
    return ActivitySerializationContext(
        namespace=context.options.namespace,
        activity_id=request.activity_id,
        activity_type=request.activity,
        activity_task_queue=request.task_queue or context.options.task_queue,
        workflow_id=context.workflow_id,
        workflow_type=context.workflow_type,
        is_local=False,
    )


def _schedule_command(
    context: WorkflowContext,
    request: ActivityRequest,
    activity_id: str,
    converter: PayloadConverter,
) -> Command:
    own_queue = context.options.task_queue
    task_queue = request.task_queue or own_queue
    command = Command(command_type=_SCHEDULE_ACTIVITY_TASK)
    attributes = command.schedule_activity_task_command_attributes
    attributes.activity_id = activity_id
    attributes.activity_type.name = request.activity
    attributes.task_queue.name = task_queue
    attributes.header.SetInParent()
    for key, header in request.headers.items():
        attributes.header.fields[key].CopyFrom(header)
    if request.args:
        attributes.input.payloads.extend(converter.to_payloads(request.args))
    _write_times(request, attributes)
    if request.retry_policy is not None:
        request.retry_policy.apply_to_proto(attributes.retry_policy)
    attributes.request_eager_execution = not (
        context.options.disable_eager_activity_execution or request.disable_eager_execution
    )
    attributes.use_workflow_build_id = request.versioning_intent == COMPATIBLE or (
        request.versioning_intent is None and task_queue == own_queue
    )
    request.priority.apply_to_proto(attributes.priority)
    if request.summary:
        command.user_metadata.summary.CopyFrom(converter.to_payload(request.summary))
    return command


def _write_times(
    request: ActivityRequest, attributes: ScheduleActivityTaskCommandAttributes
) -> None:
    for name in _TIMEOUTS:
        timeout: timedelta | None = getattr(request, name)
        if timeout:
            write_duration(timeout, getattr(attributes, name))


def write_duration(delta: timedelta, duration: Duration) -> None:
    """Writes a time span into a message."""
    duration.seconds = delta.days * 86400 + delta.seconds
    duration.nanos = delta.microseconds * 1000


def duration_of(delta: timedelta | None) -> Duration | None:
    """The message of a time span; None for none and for zero, which means no limit."""
    if not delta:
        return None
    duration = Duration()
    write_duration(delta, duration)
    return duration
