"""What workflow code has the server do by the server's own Nexus endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from perdure._definitions import signal_name, workflow_name_and_result_type
from perdure._replay.context import current
from perdure._replay.system_operations import SignalWithStart, signal_with_start
from perdure.common import (
    Priority,
    RetryPolicy,
    TypedSearchAttributes,
    VersioningOverride,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from perdure.workflow._workflows import ExternalWorkflowHandle


async def signal_with_start_workflow(
    workflow: str | Callable[..., Any],
    *positional_args: Any,
    args: Sequence[Any] | None = None,
    id: str,  # noqa: A002 -- the mirrored name
    task_queue: str,
    signal: str | Callable[..., Any],
    signal_args: Any = None,
    execution_timeout: timedelta | None = None,
    run_timeout: timedelta | None = None,
    task_timeout: timedelta | None = None,
    id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    id_conflict_policy: WorkflowIDConflictPolicy | None = None,
    retry_policy: RetryPolicy | None = None,
    cron_schedule: str | None = None,
    memo: Mapping[str, Any] | None = None,
    search_attributes: TypedSearchAttributes | None = None,
    priority: Priority | None = None,
    versioning_override: VersioningOverride | None = None,
    start_delay: timedelta | None = None,
    static_summary: str | None = None,
    static_details: str | None = None,
) -> ExternalWorkflowHandle[Any]:
    """Signals a workflow, starting it first if it is not there, where the server allows that.

    - The workflow's arguments are given by position, or as the list `args`.
    - `signal_args` is the signal's argument, or a list of several; a single one that is a list
      stands in another list.

    Raises NexusOperationError when the server refuses, ValueError for both kinds of arguments.
    """
    if positional_args and args is not None:
        raise ValueError("Cannot have positional_args and args")
    name, _ = workflow_name_and_result_type(workflow)
    asked = SignalWithStart(
        workflow=name,
        args=args if args is not None else positional_args,
        id=id,
        task_queue=task_queue,
        signal=signal_name(signal),
        signal_args=_signal_arguments(signal_args),
        execution_timeout=execution_timeout,
        run_timeout=run_timeout,
        task_timeout=task_timeout,
        id_reuse_policy=int(id_reuse_policy),
        id_conflict_policy=int(id_conflict_policy or 0),
        retry_policy=retry_policy,
        cron_schedule=cron_schedule or "",
        memo=memo,
        search_attributes=search_attributes,
        priority=priority or Priority(),
        versioning_override=versioning_override,
        start_delay=start_delay,
        static_summary=static_summary,
        static_details=static_details,
    )
    context = current()
    run_id = await signal_with_start(context, asked)
    return ExternalWorkflowHandle(context, id, run_id)


def _signal_arguments(given: Any) -> Sequence[Any]:
    if given is None:
        return ()
    return given if isinstance(given, list) else (given,)
