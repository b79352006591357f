"""What all commands that close a run have in common."""

from __future__ import annotations

from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines.workflow.commands.context import CheckContext, CommandRefused


def check_may_close(context: CheckContext) -> None:
    """A run cannot close over news that its workflow has not seen: the task fails and runs again
    with it."""
    if context.buffered:
        raise CommandRefused(failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND)
