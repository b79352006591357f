"""What an operator does to an activity: pause, unpause, reset, give it other options.

None of it is an event. A worker that has the activity keeps it, and learns of a pause or a reset by
its heartbeat. An attempt that waits for a worker is offered anew, with a stamp of its own, so that
the offer before is stale. As on the real server, what is offered anew has forgotten why the attempt
before it failed.
"""

from __future__ import annotations

import msgspec

from perdure.server.machines.activity.retry import exponential_delay
from perdure.server.machines.errors import FailedPrecondition, NotFound
from perdure.server.machines.ports import Limits
from perdure.server.machines.workflow.state import (
    ActivityOptions,
    Attempt,
    AttemptState,
    PendingActivity,
)
from perdure.server.machines.workflow.state import Pause as PauseState

ALREADY_PAUSED = "activity is already paused"
NO_SUCH_ACTIVITY = (
    "Can't find pending activity with such ID. Invalid activityID or activity already completed"
)

_replace = msgspec.structs.replace


class Pause(msgspec.Struct, frozen=True):
    """Do not start it, or, when it runs, do not start it again."""

    pause: PauseState


class Unpause(msgspec.Struct, frozen=True):
    """Go on, at `ready_ns`."""

    now_ns: int
    ready_ns: int
    resets_attempts: bool = False
    resets_heartbeat: bool = False


class Reset(msgspec.Struct, frozen=True):
    """Begin again with the first attempt, at `ready_ns`."""

    now_ns: int
    ready_ns: int
    resets_heartbeat: bool = False
    keeps_paused: bool = False
    restores_options: bool = False


class SetOptions(msgspec.Struct, frozen=True):
    """Go on with other options; None: those that its workflow had asked for."""

    now_ns: int
    options: ActivityOptions | None


def pause(pending: PendingActivity, trigger: Pause, limits: Limits) -> Attempt:
    """Paused; the same request may come twice. Raises FailedPrecondition for another one."""
    attempt = pending.attempt
    if attempt.pause is not None:
        if attempt.pause.request_id == trigger.pause.request_id:
            return attempt
        raise FailedPrecondition(ALREADY_PAUSED)
    is_started = attempt.state == AttemptState.STARTED
    state = AttemptState.STARTED if is_started else AttemptState.PAUSED
    return _replace(attempt, state=state, pause=trigger.pause)


def unpause(pending: PendingActivity, trigger: Unpause, limits: Limits) -> Attempt:
    """On offer again; what is not paused stays as it is."""
    attempt = pending.attempt
    if attempt.pause is None:
        return attempt
    attempt = _replace(
        attempt, pause=None, attempt=1 if trigger.resets_attempts else attempt.attempt
    )
    if trigger.resets_heartbeat:
        attempt = _without_heartbeat(attempt)
    if attempt.state == AttemptState.STARTED:
        return attempt
    return _ready(attempt, trigger.now_ns, trigger.ready_ns)


def reset(pending: PendingActivity, trigger: Reset, limits: Limits) -> Attempt:
    """The first attempt is on offer again; what runs counts as the first from now on."""
    attempt = pending.attempt
    attempt = _replace(
        attempt,
        attempt=1,
        is_reset=True,
        forgets_heartbeat=attempt.forgets_heartbeat or trigger.resets_heartbeat,
        pause=attempt.pause if trigger.keeps_paused else None,
        options=restored(pending) if trigger.restores_options else attempt.options,
    )
    if attempt.state == AttemptState.STARTED or attempt.pause is not None:
        return attempt
    return _ready(attempt, trigger.now_ns, trigger.ready_ns)


def set_options(pending: PendingActivity, trigger: SetOptions, limits: Limits) -> Attempt:
    """The options hold at once. What waits is offered anew; a backoff is what the new policy makes
    of it."""
    attempt = _replace(pending.attempt, options=trigger.options)
    if attempt.state == AttemptState.STARTED:
        return attempt
    ready_ns = _next_time(PendingActivity(pending.activity, attempt))
    ready = _ready(attempt, trigger.now_ns, ready_ns)
    return ready if attempt.pause is None else _replace(ready, state=AttemptState.PAUSED)


def no_such_activity(pending: PendingActivity, trigger: object, limits: Limits) -> Attempt:
    """It is over."""
    raise NotFound(NO_SUCH_ACTIVITY)


def restored(pending: PendingActivity) -> ActivityOptions | None:
    """What a reset restores: all but the priority, as on the real server."""
    options, activity = pending.attempt.options, pending.activity
    if options is None or options.priority == activity.priority:
        return None
    return ActivityOptions(
        task_queue=activity.task_queue,
        schedule_to_close_ns=activity.schedule_to_close_ns,
        schedule_to_start_ns=activity.schedule_to_start_ns,
        start_to_close_ns=activity.start_to_close_ns,
        heartbeat_ns=activity.heartbeat_ns,
        retry_policy=activity.retry_policy,
        priority=options.priority,
    )


def _ready(attempt: Attempt, now_ns: int, ready_ns: int) -> Attempt:
    """On offer from `ready_ns` on."""
    if attempt.forgets_heartbeat:
        attempt = _without_heartbeat(attempt)
    is_due = ready_ns <= now_ns
    return _replace(
        attempt,
        state=AttemptState.SCHEDULED if is_due else AttemptState.BACKING_OFF,
        stamp=attempt.stamp + 1,
        scheduled_time_ns=ready_ns,
        last_failure=b"",
        is_reset=False,
        forgets_heartbeat=False,
    )


def _without_heartbeat(attempt: Attempt) -> Attempt:
    return _replace(attempt, heartbeat_time_ns=0, heartbeat_details=b"")


def _next_time(pending: PendingActivity) -> int:
    """When an attempt begins by its policy: the backoff counts from the end of the one before, and
    is one step longer than that of an attempt which has just failed, as on the real server."""
    attempt, policy = pending.attempt, pending.options.retry_policy
    if attempt.attempt <= 1:
        return attempt.scheduled_time_ns
    delay_ns = exponential_delay(policy, attempt.attempt)
    if policy.interval_ns_max and (delay_ns <= 0 or delay_ns > policy.interval_ns_max):
        delay_ns = policy.interval_ns_max
    if delay_ns <= 0:
        return attempt.scheduled_time_ns
    return attempt.last_attempt_complete_ns + delay_ns
