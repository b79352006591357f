"""The enumerations that callers choose from. Their values are those of the protobuf contract."""

from __future__ import annotations

from enum import IntEnum

from temporalio.api.enums.v1 import activity_pb2, query_pb2, workflow_pb2


class WorkflowIDReusePolicy(IntEnum):
    """Whether a workflow id may be used again after the last run with it has closed."""

    ALLOW_DUPLICATE = workflow_pb2.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
    ALLOW_DUPLICATE_FAILED_ONLY = workflow_pb2.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
    REJECT_DUPLICATE = workflow_pb2.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
    TERMINATE_IF_RUNNING = workflow_pb2.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING


class WorkflowIDConflictPolicy(IntEnum):
    """What a start does while a run with the same workflow id is open."""

    UNSPECIFIED = workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED
    FAIL = workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_FAIL
    USE_EXISTING = workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
    TERMINATE_EXISTING = workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING


class ActivityIDReusePolicy(IntEnum):
    """Whether an activity id may be used again after the last execution with it has closed."""

    UNSPECIFIED = activity_pb2.ACTIVITY_ID_REUSE_POLICY_UNSPECIFIED
    ALLOW_DUPLICATE = activity_pb2.ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE
    ALLOW_DUPLICATE_FAILED_ONLY = activity_pb2.ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
    REJECT_DUPLICATE = activity_pb2.ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE


class ActivityIDConflictPolicy(IntEnum):
    """What a start does while an activity with the same id is open."""

    UNSPECIFIED = activity_pb2.ACTIVITY_ID_CONFLICT_POLICY_UNSPECIFIED
    FAIL = activity_pb2.ACTIVITY_ID_CONFLICT_POLICY_FAIL
    USE_EXISTING = activity_pb2.ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING


class QueryRejectCondition(IntEnum):
    """In which states a workflow does not answer a query."""

    NONE = query_pb2.QUERY_REJECT_CONDITION_NONE
    NOT_OPEN = query_pb2.QUERY_REJECT_CONDITION_NOT_OPEN
    NOT_COMPLETED_CLEANLY = query_pb2.QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY


class HeaderCodecBehavior(IntEnum):
    """Which headers the payload codec is applied to. Not part of the protobuf contract."""

    NO_CODEC = 1
    CODEC = 2
    WORKFLOW_ONLY_CODEC = 3
