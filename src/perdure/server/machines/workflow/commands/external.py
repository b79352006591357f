"""What commands that reach for another workflow have in common."""

from __future__ import annotations

import re

from temporalio.api.enums.v1 import WorkflowTaskFailedCause

from perdure.server.machines.workflow.commands.context import CheckContext, CommandRefused

_DASHED = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UUID = re.compile(rf"[0-9a-fA-F]{{32}}|{_DASHED}|(?i:urn:uuid:){_DASHED}|\{{{_DASHED}\}}")


def check_same_namespace(
    context: CheckContext, namespace: str, cause: WorkflowTaskFailedCause.ValueType
) -> None:
    """Another namespace is out of reach (as with the real server's default settings)."""
    if namespace and namespace != context.namespace:
        raise CommandRefused(cause, "cross namespace commands are not allowed")


def check_count(
    pending: int, pending_max: int, what: str, cause: WorkflowTaskFailedCause.ValueType
) -> None:
    """No more than so many may be pending at once."""
    if 0 < pending_max <= pending:
        raise CommandRefused(
            cause,
            f"the number of {what}, {pending}, has reached the per-workflow limit of {pending_max}",
        )


def is_run_id(text: str) -> bool:
    """Whether it is a UUID, in one of the ways that one is written."""
    return _UUID.fullmatch(text) is not None
