"""`perdure workflow start` and `execute`: the same options, without and with waiting."""

from __future__ import annotations

import uuid
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.calling import Target, call
from perdure.cli.parameters import (
    DEFAULT_ADDRESS,
    AddressOption,
    InputFileOption,
    InputOption,
    JsonOption,
    NamespaceOption,
    duration_option,
    inputs_from,
    memo_from,
)

if TYPE_CHECKING:
    from perdure.client import Client, WorkflowHandle


class ReusePolicy(StrEnum):
    """`common.WorkflowIDReusePolicy` in the words of Temporal's command line."""

    ALLOW_DUPLICATE = "AllowDuplicate"
    ALLOW_DUPLICATE_FAILED_ONLY = "AllowDuplicateFailedOnly"
    REJECT_DUPLICATE = "RejectDuplicate"
    TERMINATE_IF_RUNNING = "TerminateIfRunning"


class ConflictPolicy(StrEnum):
    """`common.WorkflowIDConflictPolicy` in the words of Temporal's command line."""

    UNSPECIFIED = "Unspecified"
    FAIL = "Fail"
    USE_EXISTING = "UseExisting"
    TERMINATE_EXISTING = "TerminateExisting"


# Temporal's command line takes these words in any case, and so does this one.
_REUSE = typer.Option("--id-reuse-policy", case_sensitive=False, help="When a run has closed.")
_CONFLICT = typer.Option("--id-conflict-policy", case_sensitive=False, help="When a run is open.")


def start(
    context: typer.Context,
    *,
    workflow_type: Annotated[str, typer.Option("--type", help="Which workflow, by its name.")],
    task_queue: Annotated[
        str, typer.Option("--task-queue", "-t", help="Whose workers shall run it.")
    ],
    workflow_id: Annotated[
        str | None, typer.Option("--workflow-id", "-w", help="Its id; made up, unless given.")
    ] = None,
    inputs: InputOption = [],  # noqa: B006 -- typer copies it
    input_files: InputFileOption = [],  # noqa: B006 -- typer copies it
    execution_timeout: Annotated[
        timedelta | None, duration_option("How long it may take, with all its runs.")
    ] = None,
    run_timeout: Annotated[timedelta | None, duration_option("How long a run may take.")] = None,
    task_timeout: Annotated[
        timedelta | None, duration_option("How long a workflow task may take.")
    ] = None,
    start_delay: Annotated[
        timedelta | None, duration_option("How long it waits before it begins.")
    ] = None,
    id_reuse_policy: Annotated[ReusePolicy, _REUSE] = ReusePolicy.ALLOW_DUPLICATE,
    id_conflict_policy: Annotated[ConflictPolicy, _CONFLICT] = ConflictPolicy.UNSPECIFIED,
    memo: Annotated[
        list[str], typer.Option("--memo", metavar="KEY=JSON", help="A note (may be repeated).")
    ] = [],  # noqa: B006 -- typer copies it
    cron: Annotated[str, typer.Option("--cron", help="Run it again and again, as cron.")] = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Start a workflow; `execute` also waits for its result."""
    from perdure.cli.workflow.waiting import print_outcome, print_started, wait_for_outcome
    from perdure.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

    chosen_id = workflow_id or f"{workflow_type}-{uuid.uuid4()}"
    args = inputs_from(inputs, input_files)
    options: dict[str, Any] = {
        "execution_timeout": execution_timeout,
        "run_timeout": run_timeout,
        "task_timeout": task_timeout,
        "start_delay": start_delay,
        "id_reuse_policy": WorkflowIDReusePolicy[id_reuse_policy.name],
        "id_conflict_policy": WorkflowIDConflictPolicy[id_conflict_policy.name],
        "memo": memo_from(memo),
        "cron_schedule": cron,
    }

    async def start_it(client: Client) -> WorkflowHandle[Any, Any]:
        return await client.start_workflow(
            workflow_type, args=args, id=chosen_id, task_queue=task_queue, **options
        )

    target = Target(address, namespace)
    handle = call(target, start_it)
    run_id = handle.result_run_id
    executes = context.info_name == "execute"
    if not (executes and as_json):
        print_started(chosen_id, run_id, as_json=as_json)
    if executes:
        print_outcome(wait_for_outcome(target, chosen_id, run_id), as_json=as_json)
