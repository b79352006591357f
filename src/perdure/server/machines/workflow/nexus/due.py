"""What is to be done now about a Nexus operation, whoever has scheduled it: the one place that says
when it is called, and for how long."""

from __future__ import annotations

import msgspec
from temporalio.api.enums.v1 import workflow_pb2

from perdure.server.machines.nexus.outcomes import Unreachable
from perdure.server.machines.ports import SECOND_NS, Limits
from perdure.server.machines.workflow.nexus import attempts
from perdure.server.machines.workflow.nexus.state import (
    CallState,
    Cancellation,
    CancelState,
    PendingOperation,
)
from perdure.server.machines.workflow.nexus.timing import time_left_ns, timeouts_of

GRACE_NS = 2 * SECOND_NS
"""A call that has not ended so long after its timeout never will."""
TOO_LATE_TO_CANCEL = "not enough time to execute another request before ScheduleToClose timeout"


class CallToMake(msgspec.Struct, frozen=True):
    """Its handler is asked. The shell may be asked again, when that was lost."""

    attempt: int
    is_cancel: bool
    timeout_ns: int
    operation_timeout_ns: int = 0
    """What is left for the operation to complete; 0 for no limit."""

    def begun(self, now_ns: int) -> attempts.CallBegun | attempts.CancelCallBegun:
        """What happens to the operation by that."""
        lost_ns = now_ns + self.timeout_ns + GRACE_NS
        return (attempts.CancelCallBegun if self.is_cancel else attempts.CallBegun)(lost_ns)


Due = (
    CallToMake
    | attempts.TimedOut
    | attempts.BackoffOver
    | attempts.CancelBackoffOver
    | attempts.CancelAnswered
)
"""One thing at a time: what comes next is asked when it has happened."""


def due(pending: PendingOperation, now_ns: int, limits: Limits) -> Due | None:
    """What is due of an operation that is not over; None when nothing is."""
    passed = [timeout for timeout in timeouts_of(pending) if timeout[0] <= now_ns]
    if passed:
        return attempts.TimedOut(min(passed)[1])
    calls = pending.calls
    if calls.state == CallState.BACKING_OFF and calls.due_ns <= now_ns:
        return attempts.BackoffOver()
    if calls.state == CallState.SCHEDULED and calls.due_ns <= now_ns:
        call = call_to_start(pending, now_ns, limits)
        return call or attempts.TimedOut(_nearest_timeout(pending, now_ns))
    cancellation = calls.cancellation
    if cancellation is None or not cancellation.due_ns or cancellation.due_ns > now_ns:
        return None
    if cancellation.state == CancelState.BACKING_OFF:
        return attempts.CancelBackoffOver()
    return _call_to_cancel(pending, cancellation, now_ns, limits)


def call_to_start(pending: PendingOperation, now_ns: int, limits: Limits) -> CallToMake | None:
    """The next call to start it; None when it would time out before that makes sense."""
    closes_ns, starts_ns = time_left_ns(pending.operation, now_ns)
    timeout_ns = limits.nexus_call_timeout_ns
    for left_ns in (closes_ns, starts_ns):
        if left_ns is not None:
            if left_ns < limits.nexus_call_timeout_ns_min:
                return None
            timeout_ns = min(timeout_ns, left_ns)
    ends_ns = [left_ns for left_ns in (closes_ns, pending.operation.start_to_close_ns) if left_ns]
    return CallToMake(
        attempt=pending.calls.attempt + 1,
        is_cancel=False,
        timeout_ns=timeout_ns,
        operation_timeout_ns=min(ends_ns, default=0),
    )


def _call_to_cancel(
    pending: PendingOperation, cancellation: Cancellation, now_ns: int, limits: Limits
) -> CallToMake | attempts.CancelAnswered:
    attempt, timeout_ns = cancellation.attempt + 1, limits.nexus_call_timeout_ns
    left_ns, _ = time_left_ns(pending.operation, now_ns)
    if left_ns is not None:
        if left_ns < limits.nexus_call_timeout_ns_min:
            unreachable = Unreachable(TOO_LATE_TO_CANCEL, is_retryable=False)
            return attempts.CancelAnswered(attempt, unreachable)
        timeout_ns = min(timeout_ns, left_ns)
    return CallToMake(attempt=attempt, is_cancel=True, timeout_ns=timeout_ns)


def _nearest_timeout(pending: PendingOperation, now_ns: int) -> int:
    """Which of the two that bound a call leaves it less time."""
    closes_ns, starts_ns = time_left_ns(pending.operation, now_ns)
    if starts_ns is None or (closes_ns is not None and closes_ns < starts_ns):
        return workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
    return workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START
