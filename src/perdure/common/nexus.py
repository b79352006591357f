"""The enumerations of Nexus operations that no workflow calls. Their values are those of the
protobuf contract."""

from __future__ import annotations

from enum import IntEnum

from temporalio.api.enums.v1 import common_pb2, nexus_pb2


class NexusOperationIDReusePolicy(IntEnum):
    """Whether an operation's id may be used again after the last execution with it has closed."""

    UNSPECIFIED = nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_UNSPECIFIED
    ALLOW_DUPLICATE = nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_ALLOW_DUPLICATE
    ALLOW_DUPLICATE_FAILED_ONLY = (
        nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
    )
    REJECT_DUPLICATE = nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_REJECT_DUPLICATE


class NexusOperationIDConflictPolicy(IntEnum):
    """What a start does while an operation with the same id is open."""

    UNSPECIFIED = nexus_pb2.NEXUS_OPERATION_ID_CONFLICT_POLICY_UNSPECIFIED
    FAIL = nexus_pb2.NEXUS_OPERATION_ID_CONFLICT_POLICY_FAIL
    USE_EXISTING = nexus_pb2.NEXUS_OPERATION_ID_CONFLICT_POLICY_USE_EXISTING


class NexusOperationExecutionStatus(IntEnum):
    """How an operation stands, or how it has ended."""

    UNSPECIFIED = nexus_pb2.NEXUS_OPERATION_EXECUTION_STATUS_UNSPECIFIED
    RUNNING = nexus_pb2.NEXUS_OPERATION_EXECUTION_STATUS_RUNNING
    COMPLETED = nexus_pb2.NEXUS_OPERATION_EXECUTION_STATUS_COMPLETED
    FAILED = nexus_pb2.NEXUS_OPERATION_EXECUTION_STATUS_FAILED
    CANCELED = nexus_pb2.NEXUS_OPERATION_EXECUTION_STATUS_CANCELED
    TERMINATED = nexus_pb2.NEXUS_OPERATION_EXECUTION_STATUS_TERMINATED
    TIMED_OUT = nexus_pb2.NEXUS_OPERATION_EXECUTION_STATUS_TIMED_OUT


class PendingNexusOperationExecutionState(IntEnum):
    """What becomes of an operation that has not ended."""

    UNSPECIFIED = common_pb2.PENDING_NEXUS_OPERATION_STATE_UNSPECIFIED
    SCHEDULED = common_pb2.PENDING_NEXUS_OPERATION_STATE_SCHEDULED
    BACKING_OFF = common_pb2.PENDING_NEXUS_OPERATION_STATE_BACKING_OFF
    STARTED = common_pb2.PENDING_NEXUS_OPERATION_STATE_STARTED
    BLOCKED = common_pb2.PENDING_NEXUS_OPERATION_STATE_BLOCKED


class NexusOperationCancellationState(IntEnum):
    """How the request to cancel an operation stands."""

    UNSPECIFIED = common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_UNSPECIFIED
    SCHEDULED = common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_SCHEDULED
    BACKING_OFF = common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_BACKING_OFF
    SUCCEEDED = common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_SUCCEEDED
    FAILED = common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_FAILED
    TIMED_OUT = common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_TIMED_OUT
    BLOCKED = common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_BLOCKED
