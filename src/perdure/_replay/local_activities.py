"""Local activities as the code sees them: a task that can be awaited and cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure

from perdure._replay.activities import ActivityHandle
from perdure._replay.commands.local_activity import (
    LocalActivityMachine,
    LocalOutcome,
    failure_for_code,
)
from perdure._replay.context import WorkflowContext
from perdure._replay.event_groups import EventGroup
from perdure._replay.interceptors import StartLocalActivityInput
from perdure.common import RetryPolicy
from perdure.converter import ActivitySerializationContext

_SECOND_NS = 1_000_000_000


# Not frozen, which would make each four times as dear.
@dataclass(slots=True, kw_only=True)
class LocalActivityRequest:
    """What the code asks for, and the worker runs."""

    activity: str
    args: Sequence[Any]
    result_type: Any = None
    schedule_to_close_timeout: timedelta | None = None
    schedule_to_start_timeout: timedelta | None = None
    start_to_close_timeout: timedelta | None = None
    retry_policy: RetryPolicy | None = None
    local_retry_threshold: timedelta | None = None
    cancellation_type: int = 0
    activity_id: str | None = None
    summary: str | None = None
    event_groups: Sequence[EventGroup] | None = None
    headers: Mapping[str, Payload] = field(default_factory=dict)
    payloads: list[Payload] = field(default_factory=list)
    """The arguments, once they are converted."""
    attempt: int = 1
    original_schedule_ns: int | None = None
    """When the first attempt was asked for; None: just now."""
    resolved_id: str = ""


class _Backoff(Exception):
    """The next attempt is to be made by another local activity, after a timer."""

    def __init__(self, outcome: LocalOutcome) -> None:
        super().__init__()
        self.outcome = outcome


class _LocalActivityTask(ActivityHandle[Any]):
    """The one that is made; the base class is what the code may name."""

    def __init__(self, context: WorkflowContext, request: LocalActivityRequest) -> None:
        self._context = context
        self._request = request
        self._running = False
        self._cancel_asked = False
        self._outcome: asyncio.Future[Any]
        self._machine: LocalActivityMachine | None = None
        super().__init__(self._run(), loop=context.loop, name=f"activity: {request.activity}")
        context.keep_task(self)
        self._serialization = _serialization(context, request)
        self._converter = context.converter_for(self._serialization)
        request.payloads = list(self._converter.to_payloads(request.args)) if request.args else []
        self._ask(None)

    def cancel(self, msg: Any | None = None) -> bool:
        """Asks for the cancellation of the activity, also before anybody awaits it."""
        if not self._context.evicting:
            self._context.check_not_read_only("cancel activity handle")
            if not self._running and not self.done():
                self._ask_for_cancellation()
        return super().cancel(msg)

    def _ask(self, backoff: LocalOutcome | None) -> None:
        context, request = self._context, self._request
        self._outcome = context.loop.create_future()
        number = context.next_sequence("activity")
        request.resolved_id = request.activity_id or str(number)
        if backoff is not None:
            request.attempt = backoff.attempt + 1
            request.original_schedule_ns = backoff.original_schedule_ns
        labels = Command()
        if request.summary:
            labels.user_metadata.summary.CopyFrom(self._converter.to_payload(request.summary))
        context.mark(labels, request.event_groups)
        machine = self._machine = LocalActivityMachine(
            context.machine,
            number=number,
            request=request,
            activity_id=request.resolved_id,
            activity_type=request.activity,
            cancellation_type=request.cancellation_type,
            asked_ns=request.original_schedule_ns or context.machine.time_ns,
            labels=labels,
            resolved_with=self._resolved,
        )
        context.machine.local_activities.add(machine)

    async def _run(self) -> Any:
        self._running = True
        while True:
            try:
                return await self._context.await_operation(self._outcome, self._on_cancelled)
            except _Backoff as backoff:
                await asyncio.sleep((backoff.outcome.backoff_ns or 0) / _SECOND_NS)
                self._ask(backoff.outcome)

    def _on_cancelled(self, _: asyncio.CancelledError) -> None:
        self._ask_for_cancellation()

    def _ask_for_cancellation(self) -> None:
        self._context.check_not_read_only("cancel activity handle")
        if self._machine is not None and not self._cancel_asked:
            self._cancel_asked = True
            self._context.machine.local_activities.cancel(self._machine)

    def _resolved(self, outcome: LocalOutcome) -> None:
        if outcome.backoff_ns is not None:
            self._outcome.set_exception(_Backoff(outcome))
        elif outcome.failure is not None:
            self._fail(outcome.failure)
        else:
            self._complete(outcome.result)

    def _complete(self, payload: Payload | None) -> None:
        value = None
        if payload is not None:
            hint = self._request.result_type
            hints = None if hint is None else [hint]
            value = self._context.decode([payload], hints, self._converter)[0]
        self._outcome.set_result(value)

    def _fail(self, failure: Failure) -> None:
        # Nobody awaits the result of a task that was cancelled before it ran.
        if self._running:
            request = self._request
            seen = failure_for_code(failure, request.resolved_id, request.activity)
            self._outcome.set_exception(self._context.error_of(seen, self._serialization))


def start_local_activity(
    context: WorkflowContext, request: LocalActivityRequest
) -> ActivityHandle[Any]:
    """Asks for a local activity, through the interceptors if there are any."""
    if context.outbound is None:
        return schedule_local_activity(context, request)
    return context.outbound.start_local_activity(
        StartLocalActivityInput(
            activity=request.activity,
            args=request.args,
            activity_id=request.activity_id,
            schedule_to_close_timeout=request.schedule_to_close_timeout,
            schedule_to_start_timeout=request.schedule_to_start_timeout,
            start_to_close_timeout=request.start_to_close_timeout,
            retry_policy=request.retry_policy,
            local_retry_threshold=request.local_retry_threshold,
            cancellation_type=request.cancellation_type,
            headers=request.headers,
            summary=request.summary,
            event_groups=request.event_groups,
            ret_type=request.result_type,
        )
    )


def schedule_local_activity(
    context: WorkflowContext, request: LocalActivityRequest
) -> ActivityHandle[Any]:
    """Asks for a local activity.

    Raises ValueError when it has neither of the two timeouts it needs, or the worker lacks it.
    """
    context.check_not_read_only("start activity")
    if not request.start_to_close_timeout and not request.schedule_to_close_timeout:
        raise ValueError("Activity must have start_to_close_timeout or schedule_to_close_timeout")
    if context.options.check_local_activity is not None:
        context.options.check_local_activity(request.activity)
    return _LocalActivityTask(context, request)


def _serialization(
    context: WorkflowContext, request: LocalActivityRequest
) -> ActivitySerializationContext | None:
    """None: the converters do not care."""
    if context.options.is_context_free:
        return None
    return ActivitySerializationContext(
        namespace=context.options.namespace,
        activity_id=request.activity_id,
        activity_type=request.activity,
        activity_task_queue=context.options.task_queue,
        workflow_id=context.workflow_id,
        workflow_type=context.workflow_type,
        is_local=True,
    )
