"""RespondWorkflowTaskCompleted: a worker's commands become events.

First all commands are checked, in a pass that changes nothing; a refused one fails the whole task
(or, for some causes, ends the run). Then the completion and the commands are recorded, then what
was buffered, then, when there is news for the workflow, the next task.
"""

from __future__ import annotations

from temporalio.api.enums.v1 import CommandType, command_type_pb2, failed_cause_pb2
from temporalio.api.failure.v1 import Failure, ServerFailureInfo
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from perdure.server.machines.durations import capped_ns
from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.server.machines.workflow import (
    chain,
    changes,
    events,
    problems,
    queries,
    speculative,
    transitions,
    updates,
    workflow_task,
)
from perdure.server.machines.workflow.commands import COMMANDS, protocol_message
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
)
from perdure.server.machines.workflow.from_time.activities import start_eagerly
from perdure.server.machines.workflow.from_workers.task_failed import TASK_NOT_FOUND, started_task
from perdure.server.machines.workflow.inputs import (
    CompleteWorkflowTask,
    RefusedWorkflowTask,
    StartedWorkflowTask,
    WorkflowTaskCompleted,
)
from perdure.server.machines.workflow.nexus.state import is_pending
from perdure.server.machines.workflow.state import WorkflowTask
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.versioning import (
    behavior_of,
    is_in_transition,
    is_versioned,
    version_of,
)

CLOSING_COMMANDS = frozenset(
    (
        command_type_pb2.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        command_type_pb2.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        command_type_pb2.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
        command_type_pb2.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
    )
)
COMMAND_TYPES = frozenset(CommandType.values())
HEARTBEAT_TIMED_OUT = "workflow task heartbeat timeout"


def running(
    turn: Turn, message: CompleteWorkflowTask
) -> WorkflowTaskCompleted | RefusedWorkflowTask:
    """Record what the worker decided, or fail its task."""
    request = message.request
    task = started_task(turn.run, message.token)
    transitions.check_completion(request)
    check_sequence(request)
    protocol_message.check_bodies(request)
    is_heartbeat = (
        request.force_create_new_workflow_task and not request.commands and not request.messages
    )
    if is_heartbeat and _is_heartbeat_over(turn):
        workflow_task.time_out_started(turn)
        workflow_task.schedule(turn)
        return RefusedWorkflowTask(HEARTBEAT_TIMED_OUT, is_not_found=True)
    if reason := _history_limit(turn, request):
        # Not even looked at, as on the real server: so a completion costs no more than a history.
        chain.terminate(turn, reason)
        return RefusedWorkflowTask(reason)
    try:
        checked = _check(turn, task, message)
    except CommandRefused as refusal:
        return _refuse(turn, task, request, refusal)
    if speculative.may_be_dropped(turn, request) and checked.only_rejects:
        return _drop(turn, request, checked)
    return _complete(turn, message, checked, is_heartbeat=is_heartbeat)


def _history_limit(turn: Turn, request: RespondWorkflowTaskCompletedRequest) -> str:
    """Which limit the history is beyond, or would be; "" for none."""
    recorded, limits = turn.run.recorded, turn.limits
    if recorded.next_event_id + len(request.commands) > limits.history_count_max:
        return chain.HISTORY_TOO_LONG
    closes = bool(request.commands) and request.commands[-1].command_type in CLOSING_COMMANDS
    if recorded.history_size_bytes > limits.history_size_bytes_max and not closes:
        return chain.HISTORY_TOO_LARGE
    return ""


def closed(turn: Turn, message: CompleteWorkflowTask) -> WorkflowTaskCompleted:
    """The run ended meanwhile."""
    raise NotFound(TASK_NOT_FOUND)


def check_sequence(request: RespondWorkflowTaskCompletedRequest) -> None:
    """A command that closes the run must be the last. Raises InvalidArgument; the task stays as it
    is."""
    closing = None
    for command in request.commands:
        if closing is not None:
            raise InvalidArgument(
                f"invalid command sequence: [{_names_of(request)}],"
                f" command {_name_of(closing)} must be the last command."
            )
        command_type = command.command_type
        if not command_type:
            raise InvalidArgument("unknown command type: Unspecified")
        if command_type not in COMMAND_TYPES:
            raise InvalidArgument(f"unknown command type: {command_type}")
        if command_type in CLOSING_COMMANDS:
            closing = command_type


def _names_of(request: RespondWorkflowTaskCompletedRequest) -> str:
    return ", ".join(_name_of(command.command_type) for command in request.commands)


def _name_of(command_type: CommandType.ValueType) -> str:
    """COMMAND_TYPE_START_TIMER as the real server prints it: StartTimer."""
    name = CommandType.Name(command_type).removeprefix("COMMAND_TYPE_")
    return "".join(word.capitalize() for word in name.split("_"))


def _is_heartbeat_over(turn: Turn) -> bool:
    since_ns = turn.run.pending.heartbeat_since_ns
    return bool(since_ns) and turn.now_ns > since_ns + turn.limits.workflow_task_heartbeat_ns_max


def _check(turn: Turn, task: WorkflowTask, message: CompleteWorkflowTask) -> CheckContext:
    """Look at every command as if those before it had been applied. Raises CommandRefused."""
    run, request = turn.run, message.request
    is_unrecorded = run.pending.transient_task is not None or run.speculative is not None
    unrecorded_events = 2 if is_unrecorded else 0
    context = CheckContext(
        run=run,
        workflow=turn.workflow,
        messages=request.messages,
        limits=turn.limits,
        now_ns=turn.now_ns,
        namespace=turn.workflow.namespace,
        activity_ids=set(run.activity_ids),
        timer_ids=set(run.timers),
        fired_timer_ids={timer.timer_id for timer in run.timers.values() if timer.is_fired},
        buffered=len(run.buffered),
        pending_activities=len(run.activities),
        pending_children=sum(not child.is_over for child in run.children.values()),
        pending_signals=sum(not signal.is_answered for signal in run.external_signals.values()),
        pending_cancels=sum(not cancel.is_answered for cancel in run.external_cancels.values()),
        next_event_id=run.recorded.next_event_id + unrecorded_events + 1,
        search_attributes=message.search_attributes,
        pending_nexus_operations=sum(map(is_pending, run.nexus_operations.values())),
        endpoints=message.endpoints,
        system_problems=message.system_problems,
    )
    for index, said in enumerate(request.messages):
        context.message_indexes.setdefault(said.id, index)
    for command in request.commands:
        handler = COMMANDS.get(command.command_type)
        if handler is None:
            name = CommandType.Name(command.command_type)
            raise InvalidArgument(f"command {name} is not supported by this server yet")
        handler.check(context, command)
        context.next_event_id += 1
    protocol_message.check_rest(context)
    return context


def _refuse(
    turn: Turn,
    task: WorkflowTask,
    request: RespondWorkflowTaskCompletedRequest,
    refusal: CommandRefused,
) -> RefusedWorkflowTask:
    """Fail the task. One that fails again and again is left to time out, so that its worker does
    not spin."""
    unhandled = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    if task.attempt > 1 and refusal.cause != unhandled:
        raise InvalidArgument(refusal.text)
    updates.abort_sent(turn)
    workflow_task.fail(
        turn,
        cause=refusal.cause,
        failure=Failure(message=refusal.text, server_failure_info=ServerFailureInfo()),
        identity=request.identity,
        binary_checksum=request.binary_checksum,
        worker_version=_stamp_of(request),
    )
    if refusal.terminate:
        workflow_task.force_close(turn)
        chain.close(
            turn, events.workflow_terminated(refusal.text, None, workflow_task.HISTORY_SERVICE)
        )
    else:
        workflow_task.schedule(turn)
    return RefusedWorkflowTask(refusal.text)


def _drop(
    turn: Turn, request: RespondWorkflowTaskCompletedRequest, checked: CheckContext
) -> WorkflowTaskCompleted:
    """All that the speculative task brought was rejected: it has never been. But its worker has
    the run in memory now, where that was another's before."""
    run = turn.run
    run.speculative = None
    if request.HasField("sticky_attributes"):
        _set_sticky(turn, request)
        turn.is_transition = False
    queries.settle(turn, request.query_results)
    for index, body in checked.rest.items():
        updates.apply(turn, request.messages[index].protocol_instance_id, body)
    updates.reject_unprocessed(turn)
    next_task = None
    if updates.has_unsent(turn.workflow):
        next_task = _next_task(turn, request, 0, is_speculative=True)
    else:
        queries.unblock(turn)
    return WorkflowTaskCompleted(
        workflow_task=next_task,
        reset_history_event_id=run.recorded.completed_task_started_event_id,
    )


def _complete(
    turn: Turn, message: CompleteWorkflowTask, checked: CheckContext, *, is_heartbeat: bool
) -> WorkflowTaskCompleted:
    run, request = turn.run, message.request
    heartbeat_since_ns = run.pending.heartbeat_since_ns if is_heartbeat else 0
    stamp = _stamp_of(request)
    turn.make_normal(request.identity, stamp)
    workflow_task.record_transient(turn, request.identity, stamp)
    task = run.recorded.workflow_task
    assert task is not None, "the token showed a started task"
    before = behavior_of(run), version_of(run)
    versioning_before = run.recorded.versioning
    completed_event_id = turn.record(
        events.workflow_task_completed(task.scheduled_event_id, task.started_event_id, request)
    )
    turn.change(changes.TaskClosed(next_attempt=1))
    problems.forget(turn)
    if is_versioned(run):
        transitions.completed(turn, before)
        if run.recorded.versioning != versioning_before:
            turn.segment.visibility_changed = True
    _set_sticky(turn, request)
    queries.settle(turn, request.query_results)
    context = ApplyContext(completed_event_id, request.identity, request, served=message.served)
    context.endpoints = message.endpoints
    context.placed = _said(request, checked.placed)
    context.rest = _said(request, checked.rest)
    for command in request.commands:
        if command.command_type in CLOSING_COMMANDS:
            protocol_message.apply_rejections(turn, context)
        COMMANDS[command.command_type].apply(turn, context, command)
    if not run.is_open:
        return WorkflowTaskCompleted()
    protocol_message.apply_rest(turn, context)
    if not request.force_create_new_workflow_task:
        updates.reject_unprocessed(turn)
    activity_tasks = [
        start_eagerly(turn, scheduled_event_id, request.identity, turn.ids.uuid())
        for scheduled_event_id in context.eager_activities
        if scheduled_event_id in run.activities and run.pending.pause is None
    ]
    next_task = None
    must_go_on = context.needs_new_task or is_in_transition(run)
    if request.force_create_new_workflow_task or run.buffered or must_go_on:
        next_task = _next_task(turn, request, heartbeat_since_ns)
    elif updates.has_unsent(turn.workflow):
        next_task = _next_task(turn, request, 0, is_speculative=True)
    else:
        queries.unblock(turn)
    return WorkflowTaskCompleted(workflow_task=next_task, activity_tasks=activity_tasks)


def _said(
    request: RespondWorkflowTaskCompletedRequest, bodies: dict[int, updates.Body]
) -> list[tuple[str, updates.Body]]:
    return [(request.messages[index].protocol_instance_id, body) for index, body in bodies.items()]


def _set_sticky(turn: Turn, request: RespondWorkflowTaskCompletedRequest) -> None:
    queue = request.sticky_attributes.worker_task_queue.name
    timeout_ns = max(0, capped_ns(request.sticky_attributes.schedule_to_start_timeout))
    pending = turn.run.pending
    if is_in_transition(turn.run):
        queue, timeout_ns = "", 0  # The next task is for a worker of another version.
    if (pending.sticky_queue, pending.sticky_timeout_ns) != (queue, timeout_ns):
        turn.change(changes.StickySet(queue, timeout_ns))


def _next_task(
    turn: Turn,
    request: RespondWorkflowTaskCompletedRequest,
    heartbeat_since_ns: int,
    *,
    is_speculative: bool = False,
) -> StartedWorkflowTask | None:
    """Schedule the next task; the worker gets it with the answer, if it asked to. Only then can it
    be a speculative one, as on the real server."""
    is_inline = request.return_new_workflow_task and not is_in_transition(turn.run)
    if is_speculative and is_inline:
        speculative.schedule(turn, is_offered=False)
    else:
        workflow_task.schedule(
            turn, heartbeat_since_ns=heartbeat_since_ns, is_offered=not is_inline
        )
    if not is_inline or turn.run.workflow_task is None:
        return None
    if is_versioned(turn.run):
        transitions.note_target(turn, transitions.INLINE_TARGET)
    return workflow_task.start(
        turn,
        request_id=workflow_task.INLINE_REQUEST_ID,
        identity=request.identity,
        worker_version=_stamp_of(request),
        is_inline=True,
    )


def _stamp_of(request: RespondWorkflowTaskCompletedRequest) -> bytes | None:
    """The serialised version stamp of the worker; None when it sent none."""
    if request.HasField("worker_version_stamp"):
        return request.worker_version_stamp.SerializeToString()
    return None
