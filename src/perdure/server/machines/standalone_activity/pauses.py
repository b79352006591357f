"""What a pause leaves alone: unlike in a workflow, a standalone activity that is paused is timed
and retried as if it were not, but that nobody gets it."""

from __future__ import annotations

import msgspec
from temporalio.api.enums.v1 import workflow_pb2

from perdure.server.machines.activity import attempt as attempts
from perdure.server.machines.activity import control, failures
from perdure.server.machines.activity.attempt import Ends, Trigger
from perdure.server.machines.ports import Limits
from perdure.server.machines.workflow.from_time.activities import BACKOFF, Deadline, deadlines_of
from perdure.server.machines.workflow.state import Attempt, AttemptState, PendingActivity

_WAITS = (BACKOFF, workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START)
_replace = msgspec.structs.replace


def due_of(pending: PendingActivity) -> list[Deadline]:
    """Everything that can be due of it; while it is paused, not that somebody should get it."""
    found = deadlines_of(_unpaused(pending))
    if pending.attempt.pause is None:
        return found
    return [deadline for deadline in found if deadline.kind not in _WAITS]


def step(pending: PendingActivity, trigger: Trigger, limits: Limits) -> attempts.Step:
    """What a trigger does; whether and when there is another attempt is as without the pause. Why
    the last one failed is not forgotten when one is offered anew.
    Raises NotFound, FailedPrecondition."""
    before = pending.attempt
    if isinstance(trigger, control.Unpause | control.Reset | control.SetOptions):
        after = attempts.step(pending, trigger, limits)
        assert isinstance(after, Attempt), "what an operator does ends nothing"
        if isinstance(trigger, control.Reset) and after.state == AttemptState.PAUSED:
            # Done: what it waited for is over, and it begins with the end of the pause.
            after = _replace(after, is_reset=False, scheduled_time_ns=trigger.ready_ns)
        return _replace(after, last_failure=before.last_failure)
    if _is_time_over(before, trigger):
        return _out_of_time(before)
    if before.pause is None or not isinstance(trigger, attempts.Fail | attempts.TimeOut):
        return attempts.step(pending, trigger, limits)
    if isinstance(trigger, attempts.Fail) and before.state != AttemptState.STARTED:
        return attempts.step(pending, trigger, limits)
    after = attempts.step(_unpaused(pending), trigger, limits)
    if isinstance(after, Ends):
        return _replace(after, attempt=_paused(after.attempt, before))
    return after if after is None else _paused(after, before)


def _is_time_over(attempt: Attempt, trigger: Trigger) -> bool:
    return (
        isinstance(trigger, attempts.TimeOut)
        and trigger.timeout_type == workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
        and attempt.state == AttemptState.STARTED
    )


def _out_of_time(attempt: Attempt) -> Ends:
    """Unlike in a workflow, what ends it while a worker has it is said to be this timeout."""
    failure = failures.timed_out(workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE)
    failures.complete_timeout(failure, attempt.heartbeat_details, attempt.last_failure)
    return Ends(attempt, failure=failure, retry_state=workflow_pb2.RETRY_STATE_TIMEOUT)


def _unpaused(pending: PendingActivity) -> PendingActivity:
    attempt = pending.attempt
    if attempt.pause is None:
        return pending
    state = AttemptState.SCHEDULED if attempt.state == AttemptState.PAUSED else attempt.state
    return PendingActivity(pending.activity, _replace(attempt, state=state, pause=None))


def _paused(attempt: Attempt, before: Attempt) -> Attempt:
    waits = (AttemptState.BACKING_OFF, AttemptState.SCHEDULED)
    state = AttemptState.PAUSED if attempt.state in waits else attempt.state
    return _replace(attempt, state=state, pause=before.pause)
