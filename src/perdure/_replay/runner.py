"""One run of a workflow: takes its tasks, gives their completions. See `api.py`."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import QueryResultType, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.query.v1 import WorkflowQuery, WorkflowQueryResult

from perdure._replay import guard
from perdure._replay.api import (
    HistoryGap,
    LocalActivitiesPending,
    QueryAnswer,
    RunnerOptions,
    TaskFailure,
    WorkflowActivation,
    WorkflowCompletion,
)
from perdure._replay.call_site import without_sdk_frames
from perdure._replay.commands.local_activity import LocalOutcome
from perdure._replay.context import WorkflowContext
from perdure._replay.errors import NondeterminismError
from perdure._replay.flags import Flags
from perdure._replay.handlers import Handlers
from perdure._replay.history import History
from perdure._replay.machine import Machine, Unmatched
from perdure._replay.nondeterminism import report
from perdure.exceptions import ApplicationError

Outcome = WorkflowCompletion | LocalActivitiesPending | TaskFailure

_NON_DETERMINISTIC = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
_UNHANDLED = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE


class UnknownWorkflowError(ApplicationError):
    """The worker has no workflow of this type; the message lists those that it has."""

    def __init__(self, workflow_type: str, registered: list[str]) -> None:
        super().__init__(
            f"Workflow class {workflow_type} is not registered on this worker, "
            f"available workflows: {', '.join(sorted(registered))}",
            type="NotFoundError",
        )


class WorkflowRunner:
    """One run, from its first task to its last."""

    def __init__(self, options: RunnerOptions, task: WorkflowActivation) -> None:
        """Raises UnknownWorkflowError when no definition serves the type of the workflow."""
        definition = options.definitions(task.workflow_type)
        if definition is None:
            raise UnknownWorkflowError(task.workflow_type, list(options.registered()))
        self._options = options
        self._context = WorkflowContext(options, definition, task)
        self._handlers = Handlers(self._context)
        self._context.handlers = self._handlers
        self._queries: Mapping[str, WorkflowQuery] = {}
        self.mismatch: NondeterminismError | None = None
        """Where the code left its history, whether that fails the task or the workflow."""
        flags = Flags(options.sdk_name, options.sdk_version)
        self._machine = Machine(self, flags)
        self._context.machine = self._machine

    @property
    def last_event_id(self) -> int:
        """The last event that this runner has seen."""
        return self._machine.last_event_id

    def discard_task(self, started_event_id: int) -> None:
        """The service has dropped the task that was just answered, which only refused updates."""
        self._machine.discard_task(started_event_id)

    def activate(self, task: WorkflowActivation) -> Outcome | QueryAnswer:
        """Brings the run up to date and says what to answer. Raises HistoryGap; see `api.py`."""
        self._queries = task.queries
        failed = self._run(lambda: self._feed(task))
        if failed is not None:
            return failed
        if task.query is not None:
            return QueryAnswer(result=self._answer(task.query))
        return self._outcome()

    def resolve_local(self, number: int, outcome: LocalOutcome, held_ns: int) -> Outcome:
        """Tells the code what came of a local activity, when the task had been held for so long."""
        machine = self._machine
        complete_ns = machine.task_started_ns + held_ns
        machine.move_time(complete_ns)
        machine.local_activities.resolve(number, replace(outcome, complete_ns=complete_ns))
        failed = self._run(self._tell)
        return self._outcome() if failed is None else failed

    def take_local_stops(self) -> list[int]:
        """Which local activities are to be stopped."""
        return self._machine.local_activities.take_stops()

    @property
    def history_bytes(self) -> int:
        """The size of the history that it has been told, as that itself tells."""
        return self._machine.history_size_bytes

    @property
    def run_start_time(self) -> datetime:
        """When the run began."""
        return self._context.info.workflow_start_time

    @property
    def task_timeout_seconds(self) -> float:
        """How long a workflow task of the run may take."""
        attributes = self._context.started.workflow_execution_started_event_attributes
        timeout: timedelta = attributes.workflow_task_timeout.ToTimedelta()
        return timeout.total_seconds()

    def evict(self) -> None:
        """Ends the run here, not on the server. The runner is of no more use."""
        if self._context.evicting:
            return
        self._handlers.evict()
        self._machine.release()

    # Code, as the machine sees it

    def start(self, started: HistoryEvent) -> None:
        """The run begins."""
        self._handlers.start(started)

    def begin(self, started: HistoryEvent) -> None:
        """The first event is known."""
        self._context.begin(started)

    def cancel(self, reason: str) -> None:
        """Somebody asked for the cancellation of the run."""
        self._handlers.cancel(reason)

    def reseed(self, seed: int) -> None:
        """The run was reset."""
        self._context.reseed(seed)

    # The parts of a task

    def _run(self, code: Callable[[], None]) -> WorkflowCompletion | TaskFailure | None:
        """Runs the code; what to answer when that fails the task, or the run. Raises HistoryGap."""
        loop = self._context.loop
        # Once for all activations of the task: a replay has thousands.
        entered = guard.enter(loop)
        try:
            code()
        except HistoryGap:
            raise
        except Unmatched as unmatched:
            return self._mismatched(unmatched)
        except Exception as error:  # a named boundary: whatever the code raises fails the task
            return self._failed(error)
        finally:
            if entered:
                guard.leave(loop)
        return None

    def _feed(self, task: WorkflowActivation) -> None:
        machine = self._machine
        machine.feed(History(task.events, task.previous_started_event_id), task.messages)
        self._tell()
        machine.release_history()

    def _tell(self) -> None:
        machine = self._machine
        while machine.advance():
            self._context.note_activation()
            self._handlers.activate(machine.take_jobs())
            machine.end_activation()
            machine.local_activities.count_activation()
        if machine.closed:
            self._handlers.warn_unfinished()

    def _outcome(self) -> WorkflowCompletion | LocalActivitiesPending:
        machine = self._machine
        local = machine.local_activities
        if local.is_waiting and not machine.closed:
            return LocalActivitiesPending(requests=local.take_requests(), stops=local.take_stops())
        return self.complete()

    def complete(self, *, force_new_task: bool = False) -> WorkflowCompletion:
        """What to answer to the task, as far as the code has come."""
        machine = self._machine
        results = {key: self._answer(query, key) for key, query in self._queries.items()}
        self._queries = {}
        return WorkflowCompletion(
            force_new_task=force_new_task,
            commands=[] if machine.finished else machine.take_commands(),
            sdk_metadata=machine.flags.take_metadata(),
            query_results=results,
            messages=machine.take_messages(),
            versioning_behavior=self._handlers.versioning_behavior,
            closed=machine.closed,
        )

    def _answer(self, query: WorkflowQuery, query_id: str = "legacy_query") -> WorkflowQueryResult:
        try:
            answer: Payloads = self._handlers.query(query, query_id)
        except Exception as error:  # a named boundary: the handler's error is the answer
            failure = self._context.failure_of(error)
            return WorkflowQueryResult(
                result_type=QueryResultType.QUERY_RESULT_TYPE_FAILED,
                error_message=failure.message,
                failure=failure,
            )
        return WorkflowQueryResult(
            result_type=QueryResultType.QUERY_RESULT_TYPE_ANSWERED, answer=answer
        )

    def _mismatched(self, unmatched: Unmatched) -> WorkflowCompletion | TaskFailure:
        told = report(unmatched, self._context, self._handlers.primary)
        message = str(told)
        error = self.mismatch = NondeterminismError(message, told)
        if self._context.is_failure_exception(error):
            return self._fail_workflow(error)
        failure = Failure(message=message, application_failure_info=ApplicationFailureInfo())
        return TaskFailure(cause=_NON_DETERMINISTIC, failure=failure, exception=error)

    def _fail_workflow(self, error: NondeterminismError) -> WorkflowCompletion:
        return WorkflowCompletion(
            commands=[self._handlers.failure_command(error)],
            sdk_metadata=self._machine.flags.take_metadata(),
            closed=True,
        )

    def _failed(self, error: BaseException) -> TaskFailure:
        return task_failure(error, self._context)


def task_failure(error: BaseException, context: WorkflowContext) -> TaskFailure:
    """The failure of a task by an exception of the workflow's code."""
    without_sdk_frames(error)
    try:
        failure = context.failure_of(error)
    except Exception as inner:  # a named boundary: the user's failure converter
        failure = Failure(
            message=f"Failed converting activation exception: {inner}",
            stack_trace="".join(traceback.format_exception(error)),
            application_failure_info=ApplicationFailureInfo(),
        )
    return TaskFailure(cause=_UNHANDLED, failure=failure, exception=error)


def unknown_workflow_failure(options: RunnerOptions, error: UnknownWorkflowError) -> TaskFailure:
    """How a worker answers a task of a workflow that it does not have."""
    failure = Failure()
    options.failure_converter.to_failure(error, options.payload_converter, failure)
    return TaskFailure(cause=_UNHANDLED, failure=failure, exception=error)
