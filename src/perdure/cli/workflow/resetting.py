"""`perdure workflow reset`: going back to an earlier point of a workflow."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli import many
from perdure.cli.calling import Target, call
from perdure.cli.exits import fail
from perdure.cli.parameters import (
    DEFAULT_ADDRESS,
    AddressOption,
    JsonOption,
    NamespaceOption,
    RunIdOption,
    WorkflowIdArgument,
    WorkflowIdOption,
    the_workflow_id,
)
from perdure.cli.saying import say

if TYPE_CHECKING:
    from temporalio.api.common.v1 import WorkflowExecution
    from temporalio.api.enums.v1 import ResetReapplyExcludeType

    from perdure.client import Client


class ResetPoint(StrEnum):
    """Where a reset goes to, in the words of Temporal's command line."""

    FIRST = "FirstWorkflowTask"
    LAST = "LastWorkflowTask"
    LAST_CONTINUED = "LastContinuedAsNew"


class Reapply(StrEnum):
    """What of what came later is not done again."""

    ALL = "All"
    SIGNAL = "Signal"
    UPDATE = "Update"


def reset(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept in the history.")],
    event_id: Annotated[
        int | None,
        typer.Option("--event-id", "-e", min=1, help="The event that ends a workflow task."),
    ] = None,
    point: Annotated[
        ResetPoint | None,
        typer.Option("--type", "-t", case_sensitive=False, help="Instead of an event."),
    ] = None,
    exclude: Annotated[
        list[Reapply],
        typer.Option(
            "--reapply-exclude",
            case_sensitive=False,
            help="What came later and is not done again (may be repeated).",
        ),
    ] = [],  # noqa: B006 -- typer copies it
    query: many.QueryOption = "",
    rps: many.RpsOption = 0,
    yes: many.YesOption = False,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Begin a new run with the history of another, up to a workflow task."""
    from temporalio.api.common.v1 import WorkflowExecution
    from temporalio.api.workflowservice.v1 import (
        ResetWorkflowExecutionRequest,
        ResetWorkflowExecutionResponse,
    )

    from perdure.cli.asking import asked, identity

    if many.is_for(query, (workflow_id, workflow_id_option, run_id)):
        target, fields = Target(address, namespace), _of_many(point, exclude)
        many.begin(target, "reset", query, fields, reason=reason, rps=rps, yes=yes, as_json=as_json)
        return
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    if (event_id is None) == (point is None):
        raise typer.BadParameter("give --event-id or --type", param_hint="--event-id")

    async def reset_it(client: Client) -> ResetWorkflowExecutionResponse:
        execution = WorkflowExecution(workflow_id=chosen_id, run_id=run_id or "")
        cut = event_id or 0
        if point is not None:
            execution, cut = await _cut(client, namespace, execution, point)
        request = ResetWorkflowExecutionRequest(
            namespace=namespace,
            workflow_execution=execution,
            reason=reason,
            workflow_task_finish_event_id=cut,
            request_id=str(uuid.uuid4()),
            reset_reapply_exclude_types=_excluded(exclude),
            identity=identity(),
        )
        return await asked(client, request, ResetWorkflowExecutionResponse)

    new_run_id = call(Target(address, namespace), reset_it).run_id
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"workflowId": chosen_id, "runId": new_run_id, "done": "reset"})
    else:
        say(f"{chosen_id} goes on in run {new_run_id}")


def _of_many(point: ResetPoint | None, exclude: list[Reapply]) -> dict[str, Any]:
    """What a batch does. Raises BadParameter."""
    from temporalio.api.batch.v1 import BatchOperationReset
    from temporalio.api.common.v1 import ResetOptions

    from perdure.cli.asking import identity

    options = ResetOptions(reset_reapply_exclude_types=_excluded(exclude))
    if point is ResetPoint.FIRST:
        options.first_workflow_task.SetInParent()
    elif point is ResetPoint.LAST:
        options.last_workflow_task.SetInParent()
    else:
        raise typer.BadParameter(
            f"with a query it is {ResetPoint.FIRST.value} or {ResetPoint.LAST.value}",
            param_hint="--type",
        )
    return {"reset_operation": BatchOperationReset(identity=identity(), options=options)}


async def _cut(
    client: Client, namespace: str, execution: WorkflowExecution, point: ResetPoint
) -> tuple[WorkflowExecution, int]:
    """The run, and the event that a kind of point means."""
    from temporalio.api.common.v1 import WorkflowExecution
    from temporalio.api.enums.v1 import EventType
    from temporalio.api.workflowservice.v1 import (
        GetWorkflowExecutionHistoryRequest,
        GetWorkflowExecutionHistoryResponse,
    )

    from perdure.cli.asking import asked

    request = GetWorkflowExecutionHistoryRequest(namespace=namespace, execution=execution)
    completed: list[int] = []
    scheduled, continued_run_id = 0, ""
    while True:
        page = await asked(client, request, GetWorkflowExecutionHistoryResponse)
        for event in page.history.events:
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                completed.append(event.event_id)
            elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
                scheduled = scheduled or event.event_id
            elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                started = event.workflow_execution_started_event_attributes
                continued_run_id = started.continued_execution_run_id
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    if point is ResetPoint.LAST_CONTINUED:
        if not continued_run_id:
            fail("the run was not continued from another")
        earlier = WorkflowExecution(workflow_id=execution.workflow_id, run_id=continued_run_id)
        return await _cut(client, namespace, earlier, ResetPoint.LAST)
    if not completed and not scheduled:
        fail("no workflow task was ever scheduled, so there is nothing to go back to")
    if not completed:
        return execution, scheduled + 1
    return execution, completed[0 if point is ResetPoint.FIRST else -1]


def _excluded(exclude: list[Reapply]) -> list[ResetReapplyExcludeType.ValueType]:
    from temporalio.api.enums.v1 import ResetReapplyExcludeType

    names = [Reapply.SIGNAL, Reapply.UPDATE] if Reapply.ALL in exclude else exclude
    prefix = "RESET_REAPPLY_EXCLUDE_TYPE_"
    return [ResetReapplyExcludeType.Value(prefix + name.value.upper()) for name in names]
