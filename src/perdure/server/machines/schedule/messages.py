"""What schedules and the workflows that they start tell each other: the payload of outbox rows.

Tags are unique among the messages of all machines. Messages are stored: a new field goes at the
end, with a default.
"""

from __future__ import annotations

import msgspec


class Sender(msgspec.Struct, array_like=True, frozen=True):
    """The schedule, and the number of its action, that a workflow is started for."""

    schedule_id: str
    run_id: str
    number: int


# ---- to a workflow


class StartScheduled(msgspec.Struct, array_like=True, frozen=True, tag=101):
    """Start a workflow. `request` is a serialised StartWorkflowExecutionRequest."""

    sender: Sender
    request: bytes
    run_id: str = ""


class CancelScheduled(msgspec.Struct, array_like=True, frozen=True, tag=102):
    """Ask a workflow to cancel: a serialised RequestCancelWorkflowExecutionRequest."""

    request: bytes
    run_id: str = ""


class TerminateScheduled(msgspec.Struct, array_like=True, frozen=True, tag=103):
    """End a workflow: a serialised TerminateWorkflowExecutionRequest."""

    request: bytes
    run_id: str = ""


# ---- to a schedule


class ActionStarted(msgspec.Struct, array_like=True, frozen=True, tag=104):
    """The workflow of an action runs."""

    run_id: str
    number: int
    workflow_id: str
    workflow_run_id: str
    """The first of its chain."""
    started_ns: int


class ActionFailed(msgspec.Struct, array_like=True, frozen=True, tag=105):
    """There will be no workflow for an action."""

    run_id: str
    number: int


class ActionClosed(msgspec.Struct, array_like=True, frozen=True, tag=106):
    """The last run of the workflow's chain has ended: Temporal's WorkflowExecutionStatus, and its
    serialised Payloads or Failure."""

    run_id: str
    number: int
    status: int
    result: bytes = b""
    failure: bytes = b""


ToWorkflow = StartScheduled | CancelScheduled | TerminateScheduled
ToSchedule = ActionStarted | ActionFailed | ActionClosed
Message = ToWorkflow | ToSchedule
