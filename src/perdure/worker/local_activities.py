"""Local activities: run here, while their workflow task is held, and recorded when it is answered.

What comes of one is an activation of its run at once. A task that would be held for too long is
answered with what there is, and asks for a new task; the activities go on meanwhile.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol

from temporalio.api.enums.v1 import TimeoutType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure, TimeoutFailureInfo
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
)

from perdure._replay.api import LocalActivitiesPending, TaskFailure, WorkflowCompletion
from perdure._replay.commands.local_activity import LocalActivityMachine, LocalOutcome
from perdure._replay.local_activities import LocalActivityRequest
from perdure._replay.runner import WorkflowRunner
from perdure.activity import ActivityCancellationDetails
from perdure.common import RetryPolicy
from perdure.worker.activity_attempt import ActivityAttempt
from perdure.worker.local_payloads import LocalPayloads
from perdure.worker.slots import TaskSlots

HELD_SHARE_MAX: Final = 0.8
"""A task is answered when so much of its time has passed."""
RETRY_THRESHOLD: Final = timedelta(minutes=1)
"""A retry that is further off than this waits for a timer of the run."""
INTERVALS_MAX: Final = 100
"""Without a limit of its own, a retry waits at most so many times the first interval."""

_SECOND_NS = 1_000_000_000
_START_TO_CLOSE = TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
_SCHEDULE_TO_CLOSE = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
_SCHEDULE_TO_START = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START
_ABANDONED = ActivityCancellationDetails(worker_shutdown=True)
_REQUESTED = ActivityCancellationDetails(cancel_requested=True)

Report = (
    RespondActivityTaskCompletedRequest
    | RespondActivityTaskFailedRequest
    | RespondActivityTaskCanceledRequest
)


class LocalRunner(Protocol):
    """What runs functions."""

    def local_attempt(self, task: PollActivityTaskQueueResponse) -> ActivityAttempt:
        """One attempt, not begun yet."""
        ...

    async def run_local(self, attempt: ActivityAttempt) -> Report | None:
        """What came of an attempt; None when somebody else is to say so."""
        ...


@dataclass(slots=True)
class _Execution:
    """A local activity that is under way."""

    task: asyncio.Task[None]
    attempt: ActivityAttempt | None = None
    stop_asked: bool = False


class RunLocals:
    """The local activities of one run."""

    def __init__(self, payloads: LocalPayloads | None) -> None:
        """`payloads`: what carries their values through the codec, if there is one."""
        self.payloads = payloads
        self.executions: dict[int, _Execution] = {}
        self.outcomes: asyncio.Queue[tuple[int, LocalOutcome]] = asyncio.Queue()

    def abandon(self) -> None:
        """Stops all of them: nobody wants to know what comes of them."""
        for execution in self.executions.values():
            execution.stop_asked = True
            if execution.attempt is None:
                execution.task.cancel()
            else:
                execution.attempt.cancel(_ABANDONED)
        self.executions.clear()


class LocalActivities:
    """Runs the local activities of one worker."""

    def __init__(self, runner: LocalRunner, slots: TaskSlots, stopping: asyncio.Event) -> None:
        self._runner = runner
        self._slots = slots
        self._stopping = stopping

    async def see_through(
        self,
        runner: WorkflowRunner,
        locals_: RunLocals,
        task: PollWorkflowTaskQueueResponse,
        outcome: LocalActivitiesPending,
        guarded: Callable[[Callable[[], Any]], Any],
    ) -> WorkflowCompletion | TaskFailure:
        """Runs what the code asks for until the task can, or must, be answered."""
        held_since = time.monotonic()
        deadline = held_since + HELD_SHARE_MAX * runner.task_timeout_seconds
        while True:
            for machine in outcome.requests:
                self._begin(locals_, machine, task)
            for number in outcome.stops:
                self.stop(locals_, number)
            came = await self._next(locals_, deadline)
            if came is None:
                return runner.complete(force_new_task=True)
            number, local = came
            held_ns = int((time.monotonic() - held_since) * _SECOND_NS)
            answer = guarded(partial(runner.resolve_local, number, local, held_ns))
            if not isinstance(answer, LocalActivitiesPending):
                for stopped in runner.take_local_stops():
                    self.stop(locals_, stopped)
                return answer  # type: ignore[no-any-return]
            outcome = answer

    def stop(self, locals_: RunLocals, number: int) -> None:
        """The code wants no more of one."""
        execution = locals_.executions.get(number)
        if execution is None:
            return
        execution.stop_asked = True
        if execution.attempt is not None:
            execution.attempt.cancel(_REQUESTED)
        else:
            execution.task.cancel()

    async def _next(self, locals_: RunLocals, deadline: float) -> tuple[int, LocalOutcome] | None:
        """The next outcome; None when the task has been held long enough, or the worker stops."""
        if not locals_.outcomes.empty():
            return locals_.outcomes.get_nowait()
        came = asyncio.ensure_future(locals_.outcomes.get())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait(
                [came, stopping],
                timeout=max(0.0, deadline - time.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            return came.result() if came.done() else None
        finally:
            came.cancel()
            stopping.cancel()

    # One activity

    def _begin(
        self, locals_: RunLocals, machine: LocalActivityMachine, task: PollWorkflowTaskQueueResponse
    ) -> None:
        request: LocalActivityRequest = machine.request
        number = machine.number
        offer = _offer(request, task)
        execution: _Execution

        async def work() -> None:
            try:
                outcome = await self._attempts(
                    execution, request, offer, carried=(locals_.payloads, number)
                )
            except asyncio.CancelledError:
                outcome = _cancelled(request)
            locals_.executions.pop(number, None)
            locals_.outcomes.put_nowait((number, outcome))

        name = f"perdure local activity {request.activity} {request.resolved_id}"
        execution = _Execution(asyncio.create_task(work(), name=name))
        locals_.executions[number] = execution

    async def _attempts(
        self,
        execution: _Execution,
        request: LocalActivityRequest,
        offer: PollActivityTaskQueueResponse,
        *,
        carried: tuple[LocalPayloads | None, int],
    ) -> LocalOutcome:
        payloads, number = carried
        scheduled_ns = request.original_schedule_ns or time.time_ns()
        policy = request.retry_policy or RetryPolicy()
        attempt = request.attempt
        while True:
            offer.attempt = attempt
            offer.scheduled_time.FromNanoseconds(scheduled_ns)
            offer.current_attempt_scheduled_time.GetCurrentTime()
            attempted = partial(self._attempt, execution, request, offer, scheduled_ns)
            if payloads is None:
                failure = await attempted()
            else:
                failure = await payloads.carried(number, request, offer, attempted)
            if not isinstance(failure, Failure):
                return LocalOutcome(
                    result=failure.result.payloads[0] if failure.result.payloads else None,
                    attempt=attempt,
                    original_schedule_ns=scheduled_ns,
                )
            wait = _wait_before_retry(policy, request, failure, attempt, scheduled_ns)
            if wait is None or execution.stop_asked:
                return LocalOutcome(
                    failure=failure, attempt=attempt, original_schedule_ns=scheduled_ns
                )
            if wait > (request.local_retry_threshold or RETRY_THRESHOLD):
                return LocalOutcome(
                    failure=failure,
                    attempt=attempt,
                    backoff_ns=int(wait.total_seconds() * _SECOND_NS),
                    original_schedule_ns=scheduled_ns,
                )
            await asyncio.sleep(wait.total_seconds())
            attempt += 1

    async def _attempt(
        self,
        execution: _Execution,
        request: LocalActivityRequest,
        offer: PollActivityTaskQueueResponse,
        scheduled_ns: int,
    ) -> RespondActivityTaskCompletedRequest | Failure:
        if not await self._take_slot(request):
            return _timed_out(_SCHEDULE_TO_START)
        offer.started_time.GetCurrentTime()
        attempt = self._runner.local_attempt(offer)
        self._slots.use(attempt)
        execution.attempt = attempt
        running = asyncio.ensure_future(self._runner.run_local(attempt))
        running.add_done_callback(lambda _: self._slots.give_back(attempt))
        seconds, kind = _time_left(request, scheduled_ns)
        await asyncio.wait([running], timeout=seconds)
        execution.attempt = None
        if not running.done():
            attempt.cancel(ActivityCancellationDetails(timed_out=True))
            return _timed_out(kind)
        match running.result():
            case RespondActivityTaskCompletedRequest() as completed:
                return completed
            case RespondActivityTaskFailedRequest() as failed:
                return failed.failure
            case RespondActivityTaskCanceledRequest():
                return _cancelled_failure("Cancelled")
            case None:
                return Failure(
                    message="a local activity cannot be completed asynchronously",
                    application_failure_info=ApplicationFailureInfo(non_retryable=True),
                )

    async def _take_slot(self, request: LocalActivityRequest) -> bool:
        if self._slots.try_take():
            return True
        limit = request.schedule_to_start_timeout or request.schedule_to_close_timeout
        try:
            async with asyncio.timeout(None if limit is None else limit.total_seconds()):
                await self._slots.take()
        except TimeoutError:
            return False
        return True


def _offer(
    request: LocalActivityRequest, task: PollWorkflowTaskQueueResponse
) -> PollActivityTaskQueueResponse:
    """The activity as if the service had handed it out."""
    offer = PollActivityTaskQueueResponse(
        task_token=uuid.uuid4().bytes,
        activity_id=request.resolved_id,
        workflow_execution=task.workflow_execution,
        workflow_type=task.workflow_type,
    )
    offer.activity_type.name = request.activity
    for key, header in request.headers.items():
        offer.header.fields[key].CopyFrom(header)
    if request.payloads:
        offer.input.payloads.extend(request.payloads)
    if request.start_to_close_timeout:
        offer.start_to_close_timeout.FromTimedelta(request.start_to_close_timeout)
    if request.schedule_to_close_timeout:
        offer.schedule_to_close_timeout.FromTimedelta(request.schedule_to_close_timeout)
    if request.retry_policy is not None:
        request.retry_policy.apply_to_proto(offer.retry_policy)
    return offer


def _time_left(request: LocalActivityRequest, scheduled_ns: int) -> tuple[float | None, int]:
    """How long an attempt may take, and which limit that is."""
    limits: list[tuple[float, int]] = []
    if request.start_to_close_timeout:
        limits.append((request.start_to_close_timeout.total_seconds(), _START_TO_CLOSE))
    if request.schedule_to_close_timeout:
        passed = (time.time_ns() - scheduled_ns) / _SECOND_NS
        left = request.schedule_to_close_timeout.total_seconds() - passed
        limits.append((max(0.0, left), _SCHEDULE_TO_CLOSE))
    return min(limits, default=(None, _START_TO_CLOSE))


def _wait_before_retry(
    policy: RetryPolicy,
    request: LocalActivityRequest,
    failure: Failure,
    attempt: int,
    scheduled_ns: int,
) -> timedelta | None:
    """How long to wait before another attempt; None when there is none."""
    if policy.maximum_attempts and attempt >= policy.maximum_attempts:
        return None
    told: timedelta | None = None
    if failure.HasField("application_failure_info"):
        info = failure.application_failure_info
        if info.non_retryable or info.type in (policy.non_retryable_error_types or ()):
            return None
        if info.HasField("next_retry_delay"):
            told = info.next_retry_delay.ToTimedelta()
    elif failure.HasField("timeout_failure_info"):
        if failure.timeout_failure_info.timeout_type != _START_TO_CLOSE:
            return None
    else:
        return None
    wait = told
    if wait is None:
        longest = policy.maximum_interval or policy.initial_interval * INTERVALS_MAX
        growth = min(policy.backoff_coefficient ** (attempt - 1), 1e9)
        wait = min(longest, policy.initial_interval * growth)
    if request.schedule_to_close_timeout:
        end_ns = time.time_ns() + int(wait.total_seconds() * _SECOND_NS) - scheduled_ns
        if end_ns >= request.schedule_to_close_timeout.total_seconds() * _SECOND_NS:
            return None
    return wait


def _timed_out(kind: int) -> Failure:
    info = TimeoutFailureInfo(timeout_type=kind)  # type: ignore[arg-type]
    return Failure(message="Activity timed out", timeout_failure_info=info)


def _cancelled_failure(message: str) -> Failure:
    failure = Failure(message=message)
    failure.canceled_failure_info.SetInParent()
    return failure


def _cancelled(request: LocalActivityRequest) -> LocalOutcome:
    return LocalOutcome(
        failure=_cancelled_failure("Cancelled"),
        attempt=request.attempt,
        original_schedule_ns=request.original_schedule_ns or time.time_ns(),
    )
