"""What clients and operators ask of a standalone activity."""

from __future__ import annotations

import msgspec
from temporalio.api.activity.v1 import ActivityExecutionOutcome
from temporalio.api.activity.v1 import ActivityOptions as OptionsMessage
from temporalio.api.command.v1 import ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import ActivityType, Payload, Payloads
from temporalio.api.enums.v1 import task_queue_pb2
from temporalio.api.failure.v1 import CanceledFailureInfo, Failure

from perdure.server.machines import durations
from perdure.server.machines.activity import control, options, retry
from perdure.server.machines.activity.attempt import Ends
from perdure.server.machines.activity.attempt import RequestCancel as CancelAttempt
from perdure.server.machines.errors import FailedPrecondition, InvalidArgument
from perdure.server.machines.standalone.clients import answered, check_same, terminate_again
from perdure.server.machines.standalone.inputs import RequestCancel, Started, Terminate
from perdure.server.machines.standalone.state import CancelRequest
from perdure.server.machines.standalone_activity import inputs, resets
from perdure.server.machines.standalone_activity.state import TASK_ID, Head, Status
from perdure.server.machines.standalone_activity.turn import Turn, begin, end, put, step, take
from perdure.server.machines.wire import duration
from perdure.server.machines.workflow.commands import schedule_activity
from perdure.server.machines.workflow.evolve import retry_policy_of
from perdure.server.machines.workflow.inputs import Done
from perdure.server.machines.workflow.state import (
    Activity,
    Attempt,
    AttemptState,
    Pause,
    PendingActivity,
)

CANCELED = "Activity canceled"


# ---- start


def start(turn: Turn, message: inputs.StartActivity) -> Started:
    """Begin a run."""
    request = message.request
    delay_ns = durations.capped_ns(request.start_delay)
    ready_ns = turn.now_ns + delay_ns
    activity = Activity(
        activity_id=request.activity_id,
        activity_type=request.activity_type.name,
        task_queue=request.task_queue.name,
        scheduled_event_id=TASK_ID,
        scheduled_time_ns=ready_ns,
        schedule_to_close_ns=durations.capped_ns(request.schedule_to_close_timeout),
        schedule_to_start_ns=durations.capped_ns(request.schedule_to_start_timeout),
        start_to_close_ns=durations.capped_ns(request.start_to_close_timeout),
        heartbeat_ns=durations.capped_ns(request.heartbeat_timeout),
        retry_policy=retry_policy_of(request.retry_policy),
        priority=request.priority.SerializeToString() if request.HasField("priority") else None,
    )
    state = AttemptState.BACKING_OFF if delay_ns else AttemptState.SCHEDULED
    attempt = Attempt(state=state, scheduled_time_ns=ready_ns, stamp=0 if delay_ns else 1)
    head = Head(
        run_id=turn.ids.uuid(),
        request_id=request.request_id,
        schedule_time_ns=turn.now_ns,
        start_delay_ns=delay_ns,
        pending=PendingActivity(activity, attempt),
    )
    begin(turn, head, request.SerializeToString(deterministic=True))
    return Started(head.run_id, is_new=True)


def start_closed(turn: Turn, message: inputs.StartActivity) -> Started:
    """The newest one with the same id is over: the reuse policy decides."""
    return answered(turn, message.request) or start(turn, message)


# ---- cancel, terminate


def cancel(turn: Turn, message: RequestCancel) -> Done:
    """A worker that has it hears of it by its heartbeat; one that nobody has ends at once."""
    head = turn.head
    if head.cancel is not None:
        check_same(head.cancel, message)
        turn.change()  # A transition all the same, as on the real server.
        return Done()
    request = CancelRequest(message.request_id, message.identity, message.reason)
    activity = msgspec.structs.replace(head.pending.activity, cancel_requested_event_id=TASK_ID)
    wanted = PendingActivity(activity, head.pending.attempt)
    after = step(turn, CancelAttempt(), wanted)
    if isinstance(after, Ends):
        reason = Payload(
            metadata={"encoding": b"json/plain"}, data=msgspec.json.encode(message.reason)
        )
        details = Payloads(payloads=[reason])
        end_canceled(turn, after.attempt, details, cancel=request)
    else:
        # No reset comes after it any more.
        attempt = msgspec.structs.replace(wanted.attempt, is_reset=False)
        turn.change(cancel=request, pending=PendingActivity(activity, attempt))
    return Done()


def cancel_closed(turn: Turn, message: RequestCancel) -> Done:
    """It is over; whoever had asked for it may ask again."""
    before = turn.head.cancel
    if before is None or before.request_id != message.request_id:
        raise FailedPrecondition(f"activity is in terminal state {_state_name(turn)}")
    turn.change()  # A transition all the same, as on the real server.
    return Done()


def end_canceled(
    turn: Turn, attempt: Attempt, details: Payloads | None, *, cancel: CancelRequest | None = None
) -> None:
    """It has cancelled, as was asked for."""
    wanted = cancel or turn.head.cancel
    failure = Failure(
        message=CANCELED,
        canceled_failure_info=CanceledFailureInfo(
            details=details, identity=wanted.identity if wanted else ""
        ),
    )
    outcome = ActivityExecutionOutcome(failure=failure)
    end(turn, Status.CANCELED, outcome, attempt, cancel=wanted)


def terminate_closed(turn: Turn, message: Terminate) -> Done:
    """It is over; whoever had ended it may ask again."""
    done = terminate_again(turn, message)
    turn.change()  # A transition all the same, as on the real server.
    return done


# ---- operators


def pause(turn: Turn, message: inputs.Pause) -> Done:
    """Do not start it, or not again."""
    if message.request_id == turn.head.pause_request_id:
        turn.change()  # A transition all the same, as on the real server.
        return Done()
    if _state_name(turn) not in ("Scheduled", "Started"):
        raise FailedPrecondition(f"activity is in non-pausable state {_state_name(turn)}")
    state = Pause(turn.now_ns, message.identity, message.reason, message.request_id)
    take(turn, control.Pause(state), pause_request_id=message.request_id)
    return Done()


def unpause(turn: Turn, message: inputs.Unpause) -> Done:
    """Go on, but not before the backoff is over that was interrupted."""
    if message.request_id and message.request_id == turn.head.unpause_request_id:
        turn.change()  # A transition all the same, as on the real server.
        return Done()
    attempt = turn.head.pending.attempt
    if _state_name(turn) not in ("Paused", "PauseRequested"):
        raise FailedPrecondition(f"activity is in non-unpausable state {_state_name(turn)}")
    ready_ns = max(turn.now_ns + message.delay_ns, attempt.scheduled_time_ns)
    unpause = control.Unpause(turn.now_ns, ready_ns)
    take(turn, unpause, unpause_request_id=message.request_id)
    return Done()


def reset(turn: Turn, message: inputs.Reset) -> Done:
    """Begin again with the first attempt; while a worker has one, once that is over. Raises
    FailedPrecondition."""
    head, pending = turn.head, turn.head.pending
    if message.request_id and message.request_id == head.reset_request_id:
        turn.change()  # A transition all the same, as on the real server.
        return Done()
    if head.cancel is not None:
        raise FailedPrecondition("cannot reset an activity with a pending cancellation")
    if pending.attempt.is_reset:
        raise FailedPrecondition("cannot reset an activity with a pending reset")
    ready_ns = turn.now_ns + message.delay_ns
    if not head.last_started_ns:
        ready_ns = max(ready_ns, head.schedule_time_ns + head.start_delay_ns)
    trigger = control.Reset(
        turn.now_ns,
        ready_ns,
        resets_heartbeat=message.resets_heartbeat,
        keeps_paused=message.keeps_paused,
        restores_options=message.restores_options,
    )
    if pending.attempt.state == AttemptState.STARTED:
        put(
            turn,
            resets.ask(pending.attempt, trigger),
            restores_options=message.restores_options,
            reset_request_id=message.request_id,
        )
    else:
        take(turn, trigger, reset_request_id=message.request_id)
    return Done()


def set_options(turn: Turn, message: inputs.SetOptions) -> inputs.OptionsSet:
    """Other options hold at once. Raises InvalidArgument, FailedPrecondition."""
    pending = turn.head.pending
    if _state_name(turn) in ("CancelRequested", "ResetRequested"):
        set_options_closed(turn, message)
    if message.options is None:
        take(turn, control.SetOptions(turn.now_ns, None))
        merged = options.options_message(pending.activity)
    else:
        merged = _merged(turn, message.options, message.paths)
        new = options.options_of(merged, pending.options)
        take(turn, control.SetOptions(turn.now_ns, new))
    if turn.head.start_delay_ns:
        merged.start_delay.CopyFrom(duration(turn.head.start_delay_ns))
    merged.task_queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL
    return inputs.OptionsSet(merged.SerializeToString())


def _merged(turn: Turn, update: OptionsMessage, paths: tuple[str, ...]) -> OptionsMessage:
    pending = turn.head.pending
    new = options.options_message(pending.options)
    given = OptionsMessage()
    given.CopyFrom(update)
    if "retry_policy" in paths or "retryPolicy" in paths:
        given.retry_policy.SetInParent()  # Without one, the default one holds.
    options.merge(new, given, paths)
    attributes = ScheduleActivityTaskCommandAttributes(
        activity_id=pending.activity.activity_id,
        activity_type=ActivityType(name=pending.activity.activity_type),
        task_queue=new.task_queue,
        schedule_to_close_timeout=new.schedule_to_close_timeout,
        schedule_to_start_timeout=new.schedule_to_start_timeout,
        start_to_close_timeout=new.start_to_close_timeout,
        heartbeat_timeout=new.heartbeat_timeout,
        retry_policy=new.retry_policy,
    )
    if problem := schedule_activity.problem_of(attributes, "", turn.limits.id_length_max):
        raise InvalidArgument(problem)
    close_ns, start_ns, attempt_ns, heartbeat_ns = schedule_activity.timeouts_of(attributes, 0)
    new.schedule_to_close_timeout.CopyFrom(duration(close_ns))
    new.schedule_to_start_timeout.CopyFrom(duration(start_ns))
    new.start_to_close_timeout.CopyFrom(duration(attempt_ns))
    new.heartbeat_timeout.CopyFrom(duration(heartbeat_ns))
    retry.with_defaults(new.retry_policy)
    retry.validate(new.retry_policy)  # It cuts what is too long.
    return new


def pause_closed(turn: Turn, message: inputs.Pause) -> Done:
    """It is over; whoever had paused it may ask again."""
    if message.request_id == turn.head.pause_request_id:
        turn.change()  # A transition all the same, as on the real server.
        return Done()
    raise FailedPrecondition(f"activity is in non-pausable state {_state_name(turn)}")


def unpause_closed(turn: Turn, message: inputs.Unpause) -> Done:
    """It is over; whoever had let it go on may ask again."""
    if message.request_id and message.request_id == turn.head.unpause_request_id:
        turn.change()  # A transition all the same, as on the real server.
        return Done()
    raise FailedPrecondition(f"activity is in terminal state {_state_name(turn)}")


def reset_closed(turn: Turn, message: inputs.Reset) -> Done:
    """It is over; whoever had reset it may ask again."""
    if message.request_id and message.request_id == turn.head.reset_request_id:
        turn.change()  # A transition all the same, as on the real server.
        return Done()
    raise FailedPrecondition("activity execution is not running")


def set_options_closed(turn: Turn, message: inputs.SetOptions) -> Done:
    """Nothing comes of other options any more."""
    raise FailedPrecondition(f"Cannot update options for activity in state {_state_name(turn)}")


def _state_name(turn: Turn) -> str:
    """How a refusal calls the state that it stands in."""
    status = turn.run.shown_status
    if status != Status.RUNNING:
        return turn.family.statuses[status]
    attempt = turn.head.pending.attempt
    if attempt.state != AttemptState.STARTED:
        return "Scheduled"
    if turn.head.cancel is not None:
        return "CancelRequested"
    if attempt.is_reset:
        return "ResetRequested"
    return "Started" if attempt.pause is None else "PauseRequested"
