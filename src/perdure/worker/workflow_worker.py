"""The workflow side of a worker: tasks in, their completions out.

A run that is kept is given the events that follow its last task. When it is not kept (any more),
or what it is given does not follow, its history is read from its first event and replayed. Tasks of
one run are worked on one after another, those of different runs side by side; the code itself runs
on the event loop, one activation at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType, QueryResultType, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.query.v1 import WorkflowQueryResult
from temporalio.api.sdk.v1 import WorkflowTaskCompletedMetadata
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    PollWorkflowTaskQueueResponse,
    RespondQueryTaskCompletedRequest,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest,
)

from perdure._replay.api import (
    HistoryGap,
    LocalActivitiesPending,
    QueryAnswer,
    RunnerOptions,
    TaskFailure,
    WorkflowActivation,
    WorkflowCompletion,
)
from perdure._replay.runner import (
    Outcome,
    UnknownWorkflowError,
    WorkflowRunner,
    unknown_workflow_failure,
)
from perdure.converter import DataConverter
from perdure.exceptions import ApplicationError
from perdure.service import RPCError, RPCStatusCode
from perdure.worker.cache import CachedRun, RunCache
from perdure.worker.deadlock import DeadlockError, DeadlockWatch
from perdure.worker.eager import EagerActivities
from perdure.worker.limits import PayloadsTooLargeError, check_payloads, is_too_large
from perdure.worker.local_activities import LocalActivities, LocalRunner, RunLocals
from perdure.worker.long_tasks import LONG_TASK_SECONDS, log_long_task
from perdure.worker.loops import run_code
from perdure.worker.metrics import WorkerMetrics
from perdure.worker.payloads import RunPayloads
from perdure.worker.port import PayloadLimits, TaskSource
from perdure.worker.slots import TaskSlots

_Result = TypeVar("_Result")
_log = logging.getLogger("perdure.worker")

REPORT_DELAY_SECONDS: Final = 0.2
REPORT_DELAY_SECONDS_MAX: Final = 5.0
"""The service hands a failed task out again at once, from its second attempt on without a trace in
the history, so reporting further failures is put off; by less than the task's timeout."""

_UNHANDLED = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
_PAYLOADS_TOO_LARGE = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE
_MESSAGE_TOO_LARGE = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE

_STALE = frozenset({RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT})
"""The task is no longer this worker's, or something happened meanwhile that its code must see."""


class WorkflowWorker:
    """Works on workflow tasks."""

    def __init__(
        self,
        *,
        source: TaskSource,
        slots: TaskSlots,
        options: RunnerOptions,
        data_converter: DataConverter,
        runs_kept_max: int,
        eager_activities: EagerActivities,
        watch: DeadlockWatch | None,
        local_runner: LocalRunner | None,
        local_slots: TaskSlots,
        storage_concurrency: int,
        encode_headers: bool,
    ) -> None:
        self._source = source
        self._slots = slots
        self._options = options
        self._data_converter = data_converter
        self._storage_concurrency = storage_concurrency
        self._encode_headers = encode_headers
        self.runs = RunCache(runs_kept_max)
        self._sticky = runs_kept_max > 0
        self.eager_activities = eager_activities
        self._watch = watch
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._local_activities = (
            None
            if local_runner is None
            else LocalActivities(local_runner, local_slots, self._stopping)
        )
        self.limits = PayloadLimits()
        """What the service takes, once it has said so."""
        self.metrics: WorkerMetrics | None = None

    def accept(self, task: PollWorkflowTaskQueueResponse) -> None:
        """Works on a task, in a place that was taken for it."""
        self._slots.use(task)
        name = f"perdure workflow task {task.workflow_execution.workflow_id}"
        working = asyncio.create_task(self._work(task), name=name)
        self._tasks.add(working)
        working.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Waits for the tasks that are being worked on, and lets go of all runs."""
        self._stopping.set()
        while self._tasks:
            # Not `gather`: from Python 3.12 on it is over at once when all are done, and so keeps
            # the loop from taking them out of the set.
            await asyncio.wait(self._tasks)
        self.runs.clear()

    async def _work(self, first: PollWorkflowTaskQueueResponse) -> None:
        """The task, and those that come along with the answers to it."""
        run = self.runs.enter(first.workflow_execution.run_id)
        history_bytes = 0
        task: PollWorkflowTaskQueueResponse | None = first
        try:
            async with run.lock:
                while task is not None:
                    history_bytes = _history_bytes(task)
                    begun = time.monotonic()
                    answered, task = task, await self._answer(run, task)
                    seconds = time.monotonic() - begun
                    if run.runner is not None:
                        # A page of the history, or a query alone, does not tell.
                        history_bytes = run.runner.history_bytes
                    if self.metrics is not None:
                        self.metrics.workflow_task_answered(answered, seconds, self.runs)
                    if seconds > LONG_TASK_SECONDS:
                        log_long_task(answered, seconds, history_bytes)
        except RPCError as error:
            run.evict()
            level = logging.DEBUG if error.status in _STALE else logging.WARNING
            _log.log(
                level,
                "Workflow task of %s not answered: %s: %s",
                first.workflow_execution.workflow_id,
                error.status.name,
                error.message,
            )
        finally:
            self.runs.leave(run, history_bytes)
            self._slots.give_back(first)

    async def _answer(
        self, run: CachedRun, task: PollWorkflowTaskQueueResponse
    ) -> PollWorkflowTaskQueueResponse | None:
        """Answers one task; the task that came in return."""
        outcome = await self._outcome(run, task)
        payloads = run.payloads or self._payloads_of(task)
        if isinstance(outcome, WorkflowCompletion):
            try:
                return await self._complete(run, task, outcome, payloads)
            except PayloadsTooLargeError as error:
                outcome = _failure(_PAYLOADS_TOO_LARGE, error.message, error.type or "", error)
            except UnencodableError as error:
                outcome = _failure(_UNHANDLED, str(error), "", error)
            except RPCError as error:
                if not is_too_large(error):
                    raise
                outcome = _failure(_MESSAGE_TOO_LARGE, "GRPC Message too large", "", error)
        match outcome:
            case QueryAnswer():
                await self._answer_query(task, outcome.result, payloads)
            case TaskFailure():
                self._slots.failed += 1
                if self.metrics is not None:
                    self.metrics.workflow_task_failed(task, outcome.cause)
                run.evict()
                await self._fail(task, outcome, payloads)
        return None

    # Activation

    async def _outcome(
        self, run: CachedRun, task: PollWorkflowTaskQueueResponse
    ) -> WorkflowCompletion | QueryAnswer | TaskFailure:
        events = list(task.history.events)
        if task.next_page_token:
            events += await self._history(task, task.next_page_token)
        if run.runner is None or _begins_anew(run.runner, events):
            run.evict()
            if not events or events[0].event_id != 1:
                self.runs.misses += 1
                events = await self._whole_history(task, events)
        else:
            self.runs.hits += 1
        if self._data_converter.path is not None:
            if run.payloads is None:
                run.payloads = self._payloads_of(task)
                assert run.payloads is not None
            try:
                await run.payloads.decode(events, _queries(task), task.messages)
            except Exception as error:  # a named boundary: the user's codecs and drivers
                return self._undecodable(error)
        activation = _activation_of(task, events)
        if run.runner is None and self.metrics is not None and task.previous_started_event_id:
            begun = time.monotonic()
            outcome = self._activate(run, activation)
            self.metrics.workflow_replayed(task, time.monotonic() - begun)
        else:
            outcome = self._activate(run, activation)
        if not isinstance(outcome, LocalActivitiesPending):
            return outcome
        assert run.runner is not None
        assert self._local_activities is not None  # or the code could not have asked for one
        if run.local_activities is None:
            payloads = run.payloads
            run.local_activities = RunLocals(None if payloads is None else payloads.of_locals)
        return await self._local_activities.see_through(
            run.runner, run.local_activities, task, outcome, self._watched
        )

    def _activate(self, run: CachedRun, activation: WorkflowActivation) -> Outcome | QueryAnswer:
        if run.runner is None:
            try:
                run.runner = WorkflowRunner(self._options, activation)
            except UnknownWorkflowError as error:
                return unknown_workflow_failure(self._options, error)
        runner = run.runner
        return self._watched(lambda: runner.activate(activation))

    def _watched(self, code: Callable[[], _Result]) -> _Result | TaskFailure:
        """Runs workflow code."""
        try:
            return run_code(code, self._watch)
        except (DeadlockError, HistoryGap) as error:
            return _failure(_UNHANDLED, str(error), "", error)

    # History

    async def _whole_history(
        self, task: PollWorkflowTaskQueueResponse, known: Sequence[HistoryEvent]
    ) -> list[HistoryEvent]:
        """From the first event to the last of the task, which may not be in the history yet."""
        events = await self._history(task, b"")
        last = task.started_event_id or task.previous_started_event_id
        if last:
            events = [event for event in events if event.event_id <= last]
        last_read = events[-1].event_id if events else 0
        return events + [event for event in known if event.event_id > last_read]

    async def _history(
        self, task: PollWorkflowTaskQueueResponse, token: bytes
    ) -> list[HistoryEvent]:
        """What follows a page, or the first page and what follows it."""
        events: list[HistoryEvent] = []
        while True:
            request = GetWorkflowExecutionHistoryRequest(
                execution=task.workflow_execution, next_page_token=token
            )
            response = await self._source.history_page(request)
            events.extend(response.history.events)
            token = response.next_page_token
            if not token:
                return events

    # Answers

    async def _complete(
        self,
        run: CachedRun,
        task: PollWorkflowTaskQueueResponse,
        completion: WorkflowCompletion,
        payloads: RunPayloads | None,
    ) -> PollWorkflowTaskQueueResponse | None:
        request = RespondWorkflowTaskCompletedRequest(
            task_token=task.task_token,
            commands=completion.commands,
            sdk_metadata=completion.sdk_metadata,
            query_results=completion.query_results,
            messages=completion.messages,
            versioning_behavior=completion.versioning_behavior,  # type: ignore[arg-type]
            force_create_new_workflow_task=completion.force_new_task,
        )
        leaves = completion.force_new_task and self._stopping.is_set()
        if payloads is not None:
            results = [request.query_results[key] for key in request.query_results]
            try:
                await payloads.encode(request.commands, results, request.messages)
            except Exception as error:  # a named boundary: the user's codecs and drivers
                raise UnencodableError(error) from error
        check_payloads(request.commands, self.limits)
        if completion.closed and self.metrics is not None and run.runner is not None:
            # As the official SDK does before it is told: whoever has the result finds it counted.
            ended_by = completion.commands[-1].command_type
            self.metrics.run_ended(task, ended_by, run.runner.run_start_time)
        response = await self.eager_activities.along_with(
            request.commands,
            lambda: self._source.complete_workflow_task(
                request, sticky=self._sticky and not leaves, takes_another=not leaves
            ),
        )
        if completion.closed or leaves:
            run.evict()
        elif response.reset_history_event_id:
            _discard(run, completion, response.reset_history_event_id)
        return response.workflow_task if response.HasField("workflow_task") else None

    async def _answer_query(
        self,
        task: PollWorkflowTaskQueueResponse,
        result: WorkflowQueryResult,
        payloads: RunPayloads | None,
    ) -> None:
        if payloads is not None:
            await payloads.encode([], [result], [])
        request = RespondQueryTaskCompletedRequest(
            task_token=task.task_token,
            completed_type=result.result_type,
            error_message=result.error_message,
        )
        if result.HasField("answer"):
            request.query_result.CopyFrom(result.answer)
        if result.HasField("failure"):
            request.failure.CopyFrom(result.failure)
        await self._source.answer_query(request)

    async def _fail(
        self,
        task: PollWorkflowTaskQueueResponse,
        failed: TaskFailure,
        payloads: RunPayloads | None,
    ) -> None:
        self._log_failure(task, failed)
        if payloads is not None:
            await payloads.encode_failure(failed.failure)
        if task.HasField("query"):
            result = WorkflowQueryResult(
                result_type=QueryResultType.QUERY_RESULT_TYPE_FAILED,
                error_message=failed.failure.message,
                failure=failed.failure,
            )
            await self._answer_query(task, result, None)
            return
        if task.attempt > 1:
            await self._wait_before_report(task.attempt)
        request = RespondWorkflowTaskFailedRequest(
            task_token=task.task_token, cause=failed.cause, failure=failed.failure
        )
        await self._source.fail_workflow_task(request)

    def _log_failure(self, task: PollWorkflowTaskQueueResponse, failed: TaskFailure) -> None:
        """All there is to say at the first attempt, one line at each of those that follow."""
        message = failed.failure.message
        exception = failed.exception
        if task.attempt > 1:
            message = message.partition("\n")[0]
        if task.attempt > 1 or isinstance(exception, UnknownWorkflowError | DeadlockError):
            exception = None
        _log.warning(
            "Workflow task of %s (%s, attempt %d) failed: %s",
            task.workflow_execution.workflow_id,
            task.workflow_type.name,
            task.attempt,
            message,
            exc_info=exception,
            extra={
                "__temporal_error_identifier": "WorkflowTaskFailure",
                "temporal_workflow": {
                    "attempt": task.attempt,
                    "namespace": self._options.namespace,
                    "run_id": task.workflow_execution.run_id,
                    "task_queue": self._options.task_queue,
                    "workflow_id": task.workflow_execution.workflow_id,
                    "workflow_type": task.workflow_type.name,
                },
            },
        )

    async def _wait_before_report(self, attempt: int) -> None:
        seconds = min(REPORT_DELAY_SECONDS * 2 ** (attempt - 2), REPORT_DELAY_SECONDS_MAX)
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _payloads_of(self, task: PollWorkflowTaskQueueResponse) -> RunPayloads | None:
        """None: they go through nothing."""
        if self._data_converter.path is None:
            return None
        return RunPayloads(
            self._data_converter,
            namespace=self._options.namespace,
            workflow_id=task.workflow_execution.workflow_id,
            run_id=task.workflow_execution.run_id,
            workflow_type=task.workflow_type.name,
            task_queue=self._options.task_queue,
            concurrency=self._storage_concurrency,
            headers=self._encode_headers,
        )

    def _undecodable(self, error: Exception) -> WorkflowCompletion | TaskFailure:
        """What came cannot be read: try again, unless whoever was to read it says never to."""
        options = self._options
        failure = Failure()
        options.failure_converter.to_failure(error, options.payload_converter, failure)
        if not isinstance(error, ApplicationError) or not error.non_retryable:
            return TaskFailure(cause=_UNHANDLED, failure=failure, exception=error)
        _log.warning("Workflow failed, as its payloads cannot be read", exc_info=error)
        command = Command(command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION)
        command.fail_workflow_execution_command_attributes.failure.CopyFrom(failure)
        metadata = WorkflowTaskCompletedMetadata()
        return WorkflowCompletion(commands=[command], sdk_metadata=metadata, closed=True)


class UnencodableError(Exception):
    """What answers a task cannot be encoded, or stored."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"Failed encoding completion: {error}")


def _failure(
    cause: WorkflowTaskFailedCause.ValueType, message: str, kind: str, error: Exception
) -> TaskFailure:
    info = ApplicationFailureInfo(type=kind)
    failure = Failure(message=message, application_failure_info=info)
    return TaskFailure(cause=cause, failure=failure, exception=error)


def _activation_of(
    task: PollWorkflowTaskQueueResponse, events: Sequence[HistoryEvent]
) -> WorkflowActivation:
    return WorkflowActivation(
        run_id=task.workflow_execution.run_id,
        workflow_id=task.workflow_execution.workflow_id,
        workflow_type=task.workflow_type.name,
        events=events,
        previous_started_event_id=task.previous_started_event_id,
        started_event_id=task.started_event_id,
        attempt=task.attempt,
        query=task.query if task.HasField("query") else None,
        queries=task.queries,
        messages=task.messages,
    )


def _discard(run: CachedRun, completion: WorkflowCompletion, started_event_id: int) -> None:
    """The service keeps no trace of the task. What it should have noted of the SDK is lost too."""
    if completion.sdk_metadata.ByteSize() or run.runner is None:
        run.evict()
    else:
        run.runner.discard_task(started_event_id)


def _begins_anew(runner: WorkflowRunner, events: Sequence[HistoryEvent]) -> bool:
    """Whether the events are not those that follow what the runner has seen.

    They may overlap with it: after a task that left no trace they go on from the task before.
    """
    return bool(events) and not 1 < events[0].event_id <= runner.last_event_id + 1


def _queries(task: PollWorkflowTaskQueueResponse) -> list[Any]:
    queries: list[Any] = [task.queries[key] for key in task.queries]
    if task.HasField("query"):
        queries.append(task.query)
    return queries


def _history_bytes(task: PollWorkflowTaskQueueResponse) -> int:
    """The size of the history, as its last event tells; 0 if that does not."""
    events = task.history.events
    if not events:
        return 0
    return events[-1].workflow_task_started_event_attributes.history_size_bytes
