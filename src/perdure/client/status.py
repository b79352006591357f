"""The enumerations of the client. Their values are those of the protobuf contract."""

from __future__ import annotations

from enum import IntEnum

from temporalio.api.enums.v1 import update_pb2, workflow_pb2


class WorkflowExecutionStatus(IntEnum):
    """The state of a run."""

    RUNNING = workflow_pb2.WORKFLOW_EXECUTION_STATUS_RUNNING
    COMPLETED = workflow_pb2.WORKFLOW_EXECUTION_STATUS_COMPLETED
    FAILED = workflow_pb2.WORKFLOW_EXECUTION_STATUS_FAILED
    CANCELED = workflow_pb2.WORKFLOW_EXECUTION_STATUS_CANCELED
    TERMINATED = workflow_pb2.WORKFLOW_EXECUTION_STATUS_TERMINATED
    CONTINUED_AS_NEW = workflow_pb2.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
    TIMED_OUT = workflow_pb2.WORKFLOW_EXECUTION_STATUS_TIMED_OUT


class WorkflowHistoryEventFilterType(IntEnum):
    """Which events of a history are wanted."""

    ALL_EVENT = workflow_pb2.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT
    CLOSE_EVENT = workflow_pb2.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT


class WorkflowUpdateStage(IntEnum):
    """How far an update must have come before its call returns."""

    ADMITTED = update_pb2.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED
    ACCEPTED = update_pb2.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
    COMPLETED = update_pb2.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
