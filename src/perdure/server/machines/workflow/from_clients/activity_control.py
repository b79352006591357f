"""PauseActivity, UnpauseActivity, ResetActivity and UpdateActivityOptions: of one activity, of all
of a type, or of all.

Everything is checked before the first activity changes. A call that changes nothing counts as a
transition of the run all the same, as on the real server.
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from temporalio.api.activity.v1 import ActivityOptions as OptionsMessage
from temporalio.api.command.v1 import ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import ActivityType
from temporalio.api.enums.v1 import task_queue_pb2
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    ResetActivityRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
)

from perdure.server.machines import durations
from perdure.server.machines.activity import attempt, control, options
from perdure.server.machines.activity.control import NO_SUCH_ACTIVITY, SetOptions
from perdure.server.machines.backoff import share_ns
from perdure.server.machines.errors import InvalidArgument, InvariantViolation, NotFound
from perdure.server.machines.wire import duration
from perdure.server.machines.workflow import activity_task, changes
from perdure.server.machines.workflow.commands import schedule_activity
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.inputs import (
    Done,
    PauseActivity,
    ResetActivity,
    UnpauseActivity,
    UpdateActivityOptions,
    UpdatedActivityOptions,
)
from perdure.server.machines.workflow.state import (
    Attempt,
    AttemptState,
    Pause,
    PendingActivity,
    Run,
)
from perdure.server.machines.workflow.turn import Turn

Control = control.Pause | control.Unpause | control.Reset | SetOptions
Request = (
    PauseActivityRequest
    | UnpauseActivityRequest
    | ResetActivityRequest
    | UpdateActivityOptionsRequest
)


def pause(turn: Turn, message: PauseActivity) -> Done:
    """Pause them. Raises NotFound for none, FailedPrecondition for one that another request
    paused."""
    request = message.request
    state = Pause(turn.now_ns, request.identity, request.reason, request.request_id)
    _apply(turn, [(pending, control.Pause(state)) for pending in _named_by(turn.run, request)])
    return Done()


def unpause(turn: Turn, message: UnpauseActivity) -> Done:
    """Unpause those that are paused. Raises NotFound for none."""
    request = message.request
    _apply(
        turn,
        [
            (
                pending,
                control.Unpause(
                    turn.now_ns,
                    turn.now_ns + _share(request.jitter, message.seed, pending),
                    resets_attempts=request.reset_attempts,
                    resets_heartbeat=request.reset_heartbeat,
                ),
            )
            for pending in _named_by(turn.run, request)
        ],
    )
    return Done()


def reset(turn: Turn, message: ResetActivity) -> Done:
    """Begin them again. Raises NotFound for none."""
    request = message.request
    _apply(
        turn,
        [
            (
                pending,
                control.Reset(
                    turn.now_ns,
                    turn.now_ns + _share(request.jitter, message.seed, pending),
                    resets_heartbeat=request.reset_heartbeat,
                    keeps_paused=request.keep_paused,
                    restores_options=request.restore_original_options,
                ),
            )
            for pending in _named_by(turn.run, request)
        ],
    )
    return Done()


def update_options(turn: Turn, message: UpdateActivityOptions) -> UpdatedActivityOptions:
    """Give them other options, or their own ones back. Raises NotFound for none, and
    InvalidArgument."""
    request = message.request
    if not request.restore_original and not request.HasField("activity_options"):
        raise InvalidArgument("ActivityOptions are not provided")
    pendings = _named_by(turn.run, request)
    if request.restore_original:
        _apply(turn, [(pending, SetOptions(turn.now_ns, None)) for pending in pendings])
        restored = options.options_message(pendings[-1].activity)
        return UpdatedActivityOptions(restored.SerializeToString())
    if not request.HasField("update_mask"):
        raise InvalidArgument("UpdateMask is not provided")
    merged = [_merged(turn, pending, request) for pending in pendings]
    _apply(
        turn,
        [
            (pending, SetOptions(turn.now_ns, options.options_of(new, pending.options)))
            for pending, new in zip(pendings, merged, strict=True)
        ],
    )
    return UpdatedActivityOptions(merged[-1].SerializeToString())


def closed(
    turn: Turn, message: PauseActivity | UnpauseActivity | ResetActivity | UpdateActivityOptions
) -> Done:
    """The run is over, and its activities with it."""
    raise NotFound(WORKFLOW_COMPLETED)


def _named_by(run: Run, request: Request) -> list[PendingActivity]:
    """The activities that a request is about. Raises NotFound when there are none."""
    which = request.WhichOneof("activity")
    named = [
        pending
        for pending in run.activities.values()
        if pending.attempt.state != AttemptState.OUTCOME_BUFFERED
        and (
            which not in ("id", "type")
            or (which == "id" and pending.activity.activity_id == request.id)
            or (which == "type" and pending.activity.activity_type == request.type)
        )
    ]
    if not named:
        raise NotFound(NO_SUCH_ACTIVITY)
    return named


def _apply(turn: Turn, controls: list[tuple[PendingActivity, Control]]) -> None:
    """Do it to each. What is refused is refused before any has changed."""
    for pending, trigger in controls:
        attempt.step(pending, trigger, turn.limits)
    for pending, trigger in controls:
        if activity_task.take(turn, pending, trigger) is not None:
            raise InvariantViolation(f"{type(trigger).__name__} has ended an activity")
    _note_pauses(turn)


def _note_pauses(turn: Turn) -> None:
    """Keep which types are paused: lists show it, and go on to do so when such an activity ends."""
    run = turn.run
    was_changed = any(_is_paused(pending.attempt) for pending in run.activities.values())
    if not was_changed and not run.pending.paused_types:
        return
    types = {
        pending.activity.activity_type
        for pending in run.activities.values()
        if _is_paused(pending.attempt)
    }
    noted = tuple(sorted(types))
    if noted != run.pending.paused_types:
        turn.change(changes.PausesNoted(noted))


def _is_paused(attempt: Attempt) -> bool:
    return attempt.pause is not None and attempt.state != AttemptState.OUTCOME_BUFFERED


def _share(jitter: Duration, seed: str, pending: PendingActivity) -> int:
    """How much of a jitter one activity waits, in nanoseconds."""
    jitter_ns = durations.capped_ns(jitter)
    if jitter_ns <= 0:
        return 0
    return share_ns(jitter_ns, f"{seed}:{pending.activity.scheduled_event_id}")


def _merged(
    turn: Turn, pending: PendingActivity, request: UpdateActivityOptionsRequest
) -> OptionsMessage:
    """The options of an activity as the request changes them, with all defaults applied."""
    new = options.options_message(pending.options)
    new.retry_policy.ClearField("non_retryable_error_types")
    options.merge(new, request.activity_options, request.update_mask.paths)
    attributes = ScheduleActivityTaskCommandAttributes(
        activity_id=pending.activity.activity_id,
        activity_type=ActivityType(name=pending.activity.activity_type),
        task_queue=new.task_queue,
        schedule_to_close_timeout=new.schedule_to_close_timeout,
        schedule_to_start_timeout=new.schedule_to_start_timeout,
        start_to_close_timeout=new.start_to_close_timeout,
        heartbeat_timeout=new.heartbeat_timeout,
    )
    workflow_queue = turn.run.recorded.task_queue
    problem = schedule_activity.problem_of(attributes, workflow_queue, turn.limits.id_length_max)
    if problem is not None:
        raise InvalidArgument(problem)
    close_ns, start_ns, attempt_ns, heartbeat_ns = schedule_activity.timeouts_of(attributes, 0)
    new.schedule_to_close_timeout.CopyFrom(duration(close_ns))
    new.schedule_to_start_timeout.CopyFrom(duration(start_ns))
    new.start_to_close_timeout.CopyFrom(duration(attempt_ns))
    new.heartbeat_timeout.CopyFrom(duration(heartbeat_ns))
    new.task_queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL
    return new
