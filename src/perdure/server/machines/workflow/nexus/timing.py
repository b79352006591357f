"""What of a Nexus operation is due when: pure projections, as in `workflow.deadlines`."""

from __future__ import annotations

from temporalio.api.enums.v1 import TimeoutType, workflow_pb2

from perdure.server.machines.workflow.nexus.state import CallState, Operation, PendingOperation


def operation_deadline(pending: PendingOperation) -> int:
    """When something of an operation is due: a timeout, or a call; 0 for never."""
    calls = pending.calls
    times_ns = [time_ns for time_ns, _ in timeouts_of(pending)]
    if calls.state != CallState.OUTCOME_BUFFERED:
        times_ns.append(calls.due_ns)
        if calls.cancellation is not None:
            times_ns.append(calls.cancellation.due_ns)
    return min((time_ns for time_ns in times_ns if time_ns), default=0)


def timeouts_of(pending: PendingOperation) -> list[tuple[int, TimeoutType.ValueType]]:
    """The timeouts that an operation has as it stands, and when they pass."""
    operation, calls = pending.operation, pending.calls
    if calls.state == CallState.OUTCOME_BUFFERED:
        return []
    limits = [
        (
            operation.scheduled_ns,
            operation.schedule_to_close_ns,
            workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE,
        )
    ]
    if calls.state == CallState.STARTED:
        limits.append(
            (
                calls.started_ns,
                operation.start_to_close_ns,
                workflow_pb2.TIMEOUT_TYPE_START_TO_CLOSE,
            )
        )
    else:
        limits.append(
            (
                operation.scheduled_ns,
                operation.schedule_to_start_ns,
                workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START,
            )
        )
    return [(since_ns + length_ns, kind) for since_ns, length_ns, kind in limits if length_ns]


def time_left_ns(operation: Operation, now_ns: int) -> tuple[int | None, int | None]:
    """Until the schedule-to-close and the schedule-to-start timeout; None for one that it has
    not."""
    passed_ns = now_ns - operation.scheduled_ns
    close_ns, start_ns = operation.schedule_to_close_ns, operation.schedule_to_start_ns
    return (
        close_ns - passed_ns if close_ns else None,
        start_ns - passed_ns if start_ns else None,
    )
