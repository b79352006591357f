"""Chains of runs: how a run begins, how it ends, and what goes on under the same workflow id.

A run that continues as new, is retried, or has a cron schedule gets exactly one successor, in the
turn that closes it.
"""

from __future__ import annotations

from temporalio.api.command.v1 import Command, ContinueAsNewWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import (
    Callback,
    Link,
    Payloads,
    Priority,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import ContinueAsNewInitiator, RetryState, task_queue_pb2, workflow_pb2
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionStartedEventAttributes
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import ResetPointInfo, ResetPoints
from temporalio.api.workflowservice.v1 import (
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
)

from perdure.server.machines.activity.retry import next_retry
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.schedule.cron import cron_backoff_ns
from perdure.server.machines.wire import duration, duration_ns, set_duration, timestamp
from perdure.server.machines.workflow import (
    callbacks,
    changes,
    deadlines,
    events,
    family,
    queries,
    updates,
    versioning,
    workflow_task,
)
from perdure.server.machines.workflow.effects import WithdrawTask
from perdure.server.machines.workflow.messages import Parent
from perdure.server.machines.workflow.state import (
    AttemptState,
    BlobName,
    PendingVersioning,
    Run,
    Status,
)
from perdure.server.machines.workflow.turn import Turn

HISTORY_TOO_LARGE = "Workflow history size exceeds limit."
HISTORY_TOO_LONG = "Workflow history count exceeds limit."
CONTINUE_AS_NEW_INTERVAL_NS = 1 * SECOND_NS
"""Runs of a chain begin no faster than this (Temporal's history.workflowIdReuseMinimalInterval)."""


def first_run(
    turn: Turn,
    request: StartWorkflowExecutionRequest,
    run_id: str,
    parent: Parent | None = None,
    signal: SignalWorkflowExecutionRequest | None = None,
) -> Run:
    """Begin a chain, as a client or a parent asked; a signal comes before its first task."""
    backoff_ns = first_backoff_ns(request, turn.now_ns)
    attributes = WorkflowExecutionStartedEventAttributes()
    attributes.workflow_type.CopyFrom(request.workflow_type)
    attributes.task_queue.CopyFrom(request.task_queue)
    attributes.workflow_task_timeout.CopyFrom(request.workflow_task_timeout)
    attributes.original_execution_run_id = run_id
    attributes.identity = request.identity
    attributes.first_execution_run_id = run_id
    attributes.attempt = 1
    attributes.cron_schedule = request.cron_schedule
    set_duration(attributes.first_workflow_task_backoff, backoff_ns)
    attributes.workflow_id = request.workflow_id
    attributes.eager_execution_accepted = request.request_eager_execution and not backoff_ns
    if request.completion_callbacks:
        attributes.completion_callbacks.extend(request.completion_callbacks)
    _copy_present(
        request,
        attributes,
        (
            "input",
            "workflow_execution_timeout",
            "workflow_run_timeout",
            "retry_policy",
            "memo",
            "search_attributes",
            "header",
            "continued_failure",
            "last_completion_result",
            "priority",
            "versioning_override",
        ),
    )
    if parent is not None:
        _set_parent(attributes, parent)
        if parent.inherited is not None:
            versioning.inherit_from_parent(attributes, parent.inherited)
    if request.cron_schedule:
        attributes.initiator = workflow_pb2.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
    execution_timeout_ns = duration_ns(request.workflow_execution_timeout)
    if execution_timeout_ns:
        # A delay is part of it, also one that is longer than the whole.
        expires_ns = turn.now_ns + execution_timeout_ns
        attributes.workflow_execution_expiration_time.CopyFrom(timestamp(expires_ns))
    event = events.workflow_started(
        attributes,
        request.user_metadata if request.HasField("user_metadata") else None,
        request.links,
    )
    run = _begin(turn, event, request.request_id)
    if signal is not None:
        turn.record(events.workflow_signaled(signal))
    if not backoff_ns:
        workflow_task.schedule(turn, is_offered=not request.request_eager_execution)
    return run


def first_backoff_ns(request: StartWorkflowExecutionRequest, now_ns: int) -> int:
    """How long the first workflow task waits: for the start delay, or for the first time of the
    cron schedule."""
    if request.cron_schedule:
        return cron_backoff_ns(request.cron_schedule, now_ns, now_ns) or 0
    return duration_ns(request.workflow_start_delay)


def close(turn: Turn, event: HistoryEvent, *, is_told: bool = True) -> None:
    """Record the close of the run; whatever it had on offer is withdrawn, and (if `is_told`) its
    children and its parent hear of it."""
    run = turn.run
    if run.is_task_started:
        turn.make_normal()
    run.speculative = None  # What nobody has taken has never been.
    task = run.workflow_task
    if task is not None and (not task.started_event_id or run.pending.is_task_undelivered):
        workflow_task.withdraw(turn)
    for scheduled_event_id, pending in run.activities.items():
        if pending.attempt.state == AttemptState.SCHEDULED:
            turn.effects.append(WithdrawTask(run.recorded.run_id, scheduled_event_id))
    if is_told:
        family.close_children(turn)
    turn.record(event)
    if is_told:
        family.report_close(turn, event)
        if turn.run.callbacks and _is_end_of_chain(turn.run):
            callbacks.trigger(turn)
    queries.unblock(turn)
    updates.abort(turn)
    if run.buffered:
        turn.change(changes.BufferTaken())
    # A closed run keeps the attempt: one whose task failed to the last answers no queries.
    turn.change(changes.TaskClosed(next_attempt=run.pending.attempt))
    turn.segment.visibility_changed = True


def limit_history(turn: Turn, *, was_too_large: bool) -> None:
    """A run whose history has outgrown its limits is ended, so that it cannot grow for ever: by the
    turn that makes it too long, or the one after it became too large (as on the real server)."""
    run, limits = turn.run, turn.limits
    if was_too_large:
        reason = HISTORY_TOO_LARGE
    elif run.recorded.next_event_id - 1 > limits.history_count_max:
        reason = HISTORY_TOO_LONG
    else:
        return
    if run.is_open:
        terminate(turn, reason)


def terminate(turn: Turn, reason: str) -> None:
    """End the run on the service's own account."""
    workflow_task.force_close(turn)
    close(turn, events.workflow_terminated(reason, None, workflow_task.HISTORY_SERVICE))


def continue_as_new(
    turn: Turn,
    completed_event_id: int,
    whole: Command,
    served: frozenset[VersionName] = frozenset(),
) -> None:
    """Close the run as continued, and begin its successor with what the command says. `served`: the
    versions whose workers poll the successor's queue, if that is another than the run's."""
    command = whole.continue_as_new_workflow_execution_command_attributes
    previous = turn.run
    recorded = previous.recorded
    run_id = turn.ids.uuid()
    closing = events.workflow_continued_as_new(completed_event_id, command, run_id)
    close(turn, events.with_command_metadata(closing, whole))
    attributes = WorkflowExecutionStartedEventAttributes(
        workflow_type=WorkflowType(name=command.workflow_type.name or recorded.workflow_type),
        task_queue=_normal_queue(command.task_queue.name or recorded.task_queue),
        workflow_task_timeout=(
            command.workflow_task_timeout
            if duration_ns(command.workflow_task_timeout)
            else duration(recorded.workflow_task_timeout_ns)
        ),
        initiator=(command.initiator or workflow_pb2.CONTINUE_AS_NEW_INITIATOR_WORKFLOW),
        attempt=1,
        cron_schedule=command.cron_schedule,
    )
    _copy_present(
        command,
        attributes,
        (
            "input",
            "header",
            "workflow_run_timeout",
            "retry_policy",
            "memo",
            "search_attributes",
            "last_completion_result",
        ),
    )
    attributes.completion_callbacks.extend(_callbacks_of(previous))
    if command.HasField("failure"):
        attributes.continued_failure.CopyFrom(command.failure)
    wanted_ns = duration_ns(command.backoff_start_interval)
    backoff_ns = _unhurried_ns(previous, wanted_ns, turn.now_ns)
    if backoff_ns or command.HasField("backoff_start_interval"):
        attributes.first_workflow_task_backoff.CopyFrom(duration(backoff_ns))
    versioning.inherit(attributes, previous, command.initial_versioning_behavior, served)
    _succeed(turn, previous, attributes, run_id)


def retry_or_cron(
    turn: Turn, failure: Failure | None
) -> tuple[RetryState.ValueType, int | None, ContinueAsNewInitiator.ValueType]:
    """What follows a run that failed with `failure` (None: completed): the retry state, the
    successor's backoff in nanoseconds (None when there is no successor), and who initiates it."""
    recorded = turn.run.recorded
    retry_state: RetryState.ValueType = workflow_pb2.RETRY_STATE_RETRY_POLICY_NOT_SET
    if failure is not None and recorded.retry_policy is not None:
        decision = next_retry(
            recorded.retry_policy,
            attempt=recorded.attempt,
            now_ns=turn.now_ns,
            expiration_ns=recorded.execution_expiration_ns,
            failure=failure,
        )
        retry_state = decision.retry_state
        if decision.delay_ns is not None:
            return (
                retry_state,
                decision.delay_ns,
                workflow_pb2.CONTINUE_AS_NEW_INITIATOR_RETRY,
            )
    backoff_ns = None
    if recorded.cron_schedule:
        execution_time_ns = recorded.start_time_ns + recorded.first_task_backoff_ns
        backoff_ns = cron_backoff_ns(recorded.cron_schedule, execution_time_ns, turn.now_ns)
    return (
        retry_state,
        backoff_ns,
        workflow_pb2.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE,
    )


def go_on(
    turn: Turn,
    previous: Run,
    run_id: str,
    backoff_ns: int,
    initiator: ContinueAsNewInitiator.ValueType,
    *,
    result: Payloads | None,
    failure: Failure | None,
) -> None:
    """Begin the successor of a run that was closed a moment ago, because of its retry policy or its
    cron schedule."""
    begun = HistoryEvent.FromString(previous.blobs[BlobName.START_EVENT])
    old = begun.workflow_execution_started_event_attributes
    recorded = previous.recorded
    is_retry = initiator == workflow_pb2.CONTINUE_AS_NEW_INITIATOR_RETRY
    attributes = WorkflowExecutionStartedEventAttributes(
        workflow_type=old.workflow_type,
        task_queue=_normal_queue(old.task_queue.name),
        workflow_task_timeout=old.workflow_task_timeout,
        initiator=initiator,
        attempt=recorded.attempt + 1 if is_retry else 1,
        cron_schedule=old.cron_schedule,
        first_workflow_task_backoff=duration(_unhurried_ns(previous, backoff_ns, turn.now_ns)),
        continued_failure=failure,
    )
    if is_retry:
        attributes.completion_callbacks.extend(_callbacks_of(previous))
    else:
        callbacks.trigger(turn)  # Each run of a cron schedule is an end by itself.
    # The memo and the search attributes are those of the start: what was upserted since belongs to
    # the run that is over.
    _copy_present(
        old,
        attributes,
        ("input", "header", "workflow_run_timeout", "retry_policy", "memo", "search_attributes"),
    )
    if result is not None:
        attributes.last_completion_result.CopyFrom(result)
    elif old.HasField("last_completion_result") and (is_retry or failure is not None):
        attributes.last_completion_result.CopyFrom(old.last_completion_result)
    versioning.inherit_on_retry(attributes, previous, old, is_retry=is_retry)
    _succeed(turn, previous, attributes, run_id)


def _succeed(
    turn: Turn, previous: Run, attributes: WorkflowExecutionStartedEventAttributes, run_id: str
) -> None:
    """Begin a successor: what every kind of it inherits."""
    recorded = previous.recorded
    attributes.original_execution_run_id = run_id
    attributes.first_execution_run_id = recorded.first_execution_run_id
    attributes.continued_execution_run_id = recorded.run_id
    attributes.workflow_id = turn.workflow.workflow_id
    if recorded.execution_timeout_ns:
        attributes.workflow_execution_timeout.CopyFrom(duration(recorded.execution_timeout_ns))
    if recorded.execution_expiration_ns:
        attributes.workflow_execution_expiration_time.CopyFrom(
            timestamp(recorded.execution_expiration_ns)
        )
    if recorded.priority is not None:
        attributes.priority.CopyFrom(Priority.FromString(recorded.priority))
    attributes.prev_auto_reset_points.CopyFrom(_expiring_points(turn, previous))
    if recorded.parent_workflow_id:
        _set_parent(attributes, family.parent_of(previous))
    links: tuple[Link, ...] = ()
    if BlobName.START_EVENT in previous.blobs:
        links = tuple(HistoryEvent.FromString(previous.blobs[BlobName.START_EVENT]).links)
    _begin(turn, events.workflow_started(attributes, None, links), turn.ids.uuid())
    if previous.pending.scheduled_by is not None:
        turn.change(changes.ScheduleNoted(previous.pending.scheduled_by))
    if not duration_ns(attributes.first_workflow_task_backoff):
        workflow_task.schedule(turn)


def _begin(turn: Turn, event: HistoryEvent, request_id: str) -> Run:
    run = turn.start_run(event)
    turn.change(changes.StartAccepted(request_id))
    declined = versioning.declined_by(event.workflow_execution_started_event_attributes)
    if declined is not None:
        turn.change(changes.VersioningChanged(PendingVersioning(declined=declined)))
    keep_start_event(turn, event)
    return run


def keep_start_event(turn: Turn, event: HistoryEvent) -> None:
    """Keep the start event of a run at hand, if the server may have to start a successor of it."""
    attributes = event.workflow_execution_started_event_attributes
    if (
        attributes.HasField("retry_policy")
        or attributes.cron_schedule
        or event.links
        or attributes.completion_callbacks
    ):
        turn.change(changes.StartEventKept(event.SerializeToString(deterministic=True)))


def _unhurried_ns(previous: Run, wanted_ns: int, now_ns: int) -> int:
    """The backoff that a successor should have, or more when the run lived so shortly that the
    chain would spin."""
    lifetime_ns = now_ns - deadlines.first_task_due(previous)
    if lifetime_ns + wanted_ns < CONTINUE_AS_NEW_INTERVAL_NS:
        return CONTINUE_AS_NEW_INTERVAL_NS - lifetime_ns
    return wanted_ns


def _expiring_points(turn: Turn, previous: Run) -> ResetPoints:
    recorded = previous.recorded
    expires_ns = recorded.close_time_ns + turn.workflow.retention_ns
    return ResetPoints(
        points=[
            ResetPointInfo(
                build_id=point.build_id,
                binary_checksum=point.binary_checksum,
                run_id=point.run_id,
                first_workflow_task_completed_id=point.first_completed_event_id,
                create_time=timestamp(point.create_time_ns),
                expire_time=timestamp(point.expire_time_ns or expires_ns),
                resettable=True,
            )
            for point in recorded.reset_points
        ]
    )


def _is_end_of_chain(run: Run) -> bool:
    recorded = run.recorded
    return recorded.status != Status.CONTINUED_AS_NEW and not recorded.successor_run_id


def _callbacks_of(run: Run) -> list[Callback]:
    return [
        Callback.FromString(callback.callback)
        for callback in run.callbacks.values()
        if not callback.update_id
    ]


def _set_parent(attributes: WorkflowExecutionStartedEventAttributes, parent: Parent) -> None:
    attributes.parent_workflow_namespace = parent.namespace
    attributes.parent_workflow_namespace_id = parent.namespace_id
    attributes.parent_workflow_execution.CopyFrom(
        WorkflowExecution(workflow_id=parent.workflow_id, run_id=parent.run_id)
    )
    attributes.parent_initiated_event_id = parent.initiated_event_id
    attributes.root_workflow_execution.CopyFrom(
        WorkflowExecution(workflow_id=parent.root_workflow_id, run_id=parent.root_run_id)
    )


def _normal_queue(name: str) -> TaskQueue:
    return TaskQueue(name=name, kind=task_queue_pb2.TASK_QUEUE_KIND_NORMAL)


def _copy_present(
    source: StartWorkflowExecutionRequest
    | ContinueAsNewWorkflowExecutionCommandAttributes
    | WorkflowExecutionStartedEventAttributes,
    target: WorkflowExecutionStartedEventAttributes,
    names: tuple[str, ...],
) -> None:
    """Copy sub-messages whole where the source has them, so that "unset" stays different from
    "empty"."""
    for name in names:
        if source.HasField(name):  # type: ignore[arg-type]
            getattr(target, name).CopyFrom(getattr(source, name))
