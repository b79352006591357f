"""A reset of a standalone activity that a worker has: unlike in a workflow, it is asked for, and
done when the attempt is over without a result. Whatever that came to, the first attempt is next."""

from __future__ import annotations

import msgspec
from temporalio.api.enums.v1 import workflow_pb2

from perdure.server.machines.activity import attempt as attempts
from perdure.server.machines.activity import control, failures
from perdure.server.machines.activity.attempt import Trigger
from perdure.server.machines.ports import Limits
from perdure.server.machines.workflow.state import Attempt, AttemptState, PendingActivity

_replace = msgspec.structs.replace


def ask(attempt: Attempt, trigger: control.Reset) -> Attempt:
    """It goes on, and is the last before the first."""
    return _replace(
        attempt,
        is_reset=True,
        forgets_heartbeat=trigger.resets_heartbeat,
        pause=attempt.pause if trigger.keeps_paused else None,
    )


def is_done_by(attempt: Attempt, trigger: Trigger) -> bool:
    """Whether a trigger ends an attempt that a reset waits for, and not the activity."""
    if not attempt.is_reset or attempt.state != AttemptState.STARTED:
        return False
    match trigger:
        case attempts.Fail():
            return True
        case attempts.TimeOut(timeout_type=timeout_type):
            return timeout_type != workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
        case attempts.Lose(stamp=stamp):
            return stamp == attempt.stamp
    return False


def begin_again(
    pending: PendingActivity,
    trigger: attempts.Fail | attempts.TimeOut | attempts.Lose,
    limits: Limits,
    *,
    restores_options: bool,
) -> Attempt:
    """The first attempt, on offer at once, or paused if that was to stay."""
    attempt = pending.attempt
    over = _replace(
        attempt,
        state=AttemptState.SCHEDULED if attempt.pause is None else AttemptState.PAUSED,
        attempt=1,
        last_attempt_complete_ns=trigger.now_ns,
        stamp=attempt.stamp + 1,
        scheduled_time_ns=trigger.now_ns,
        started_time_ns=0,
        request_id="",
        identity="",
        last_identity=attempt.identity,
        options=control.restored(pending) if restores_options else attempt.options,
        is_reset=False,
        forgets_heartbeat=False,
    )
    match trigger:
        case attempts.Fail(failure=failure, heartbeat_details=details):
            if details is not None:
                content = details.SerializeToString(deterministic=True)
                over = _replace(over, heartbeat_time_ns=trigger.now_ns, heartbeat_details=content)
        case attempts.TimeOut(timeout_type=timeout_type):
            failure = failures.timed_out(timeout_type)
        case _:
            failure = failures.lost()
    if attempt.forgets_heartbeat:
        over = _replace(over, heartbeat_time_ns=0, heartbeat_details=b"")
    return _replace(over, last_failure=failures.kept(failure, limits.activity_failure_bytes_max))
