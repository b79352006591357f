"""`perdure workflow signal`, `cancel` and `terminate`: acting on a workflow that runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli import many
from perdure.cli.batch import operation_of
from perdure.cli.calling import Target, call
from perdure.cli.parameters import (
    DEFAULT_ADDRESS,
    AddressOption,
    InputFileOption,
    InputOption,
    JsonOption,
    NamespaceOption,
    RunIdOption,
    WorkflowIdArgument,
    WorkflowIdOption,
    inputs_from,
    the_workflow_id,
)
from perdure.cli.saying import say

if TYPE_CHECKING:
    from perdure.client import Client, WorkflowHandle

ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept in the history.")]


def signal(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    *,
    name: Annotated[str, typer.Option("--name", help="Which signal.")],
    inputs: InputOption = [],  # noqa: B006 -- typer copies it
    input_files: InputFileOption = [],  # noqa: B006 -- typer copies it
    query: many.QueryOption = "",
    reason: ReasonOption = "",
    rps: many.RpsOption = 0,
    yes: many.YesOption = False,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Send a signal. It is stored when this returns."""
    args = inputs_from(inputs, input_files)
    if many.is_for(query, (workflow_id, workflow_id_option, run_id)):
        fields = operation_of("signal", name, args)
        target = Target(address, namespace)
        many.begin(
            target, "signal", query, fields, reason=reason, rps=rps, yes=yes, as_json=as_json
        )
        return
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    _act(
        Target(address, namespace),
        chosen_id,
        run_id,
        lambda handle: handle.signal(name, args=args),
    )
    _tell(chosen_id, f"signal {name} sent to {chosen_id}", "signaled", as_json=as_json)


def cancel(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    reason: ReasonOption = "",
    query: many.QueryOption = "",
    rps: many.RpsOption = 0,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    yes: many.YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a workflow to stop. It may clean up first."""
    if many.is_for(query, (workflow_id, workflow_id_option, run_id)):
        target, fields = Target(address, namespace), operation_of("cancel")
        many.begin(
            target, "cancel", query, fields, reason=reason, rps=rps, yes=yes, as_json=as_json
        )
        return
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    _act(
        Target(address, namespace),
        chosen_id,
        run_id,
        lambda handle: handle.cancel(reason=reason),
    )
    _tell(chosen_id, f"{chosen_id} was asked to stop", "cancelRequested", as_json=as_json)


def terminate(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    reason: ReasonOption = "",
    query: many.QueryOption = "",
    rps: many.RpsOption = 0,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    yes: many.YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Stop a workflow at once. It is not told."""
    if many.is_for(query, (workflow_id, workflow_id_option, run_id)):
        target, fields = Target(address, namespace), operation_of("terminate")
        many.begin(
            target, "terminate", query, fields, reason=reason, rps=rps, yes=yes, as_json=as_json
        )
        return
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    _act(
        Target(address, namespace),
        chosen_id,
        run_id,
        lambda handle: handle.terminate(reason=reason or "terminated from the command line"),
    )
    _tell(chosen_id, f"{chosen_id} is terminated", "terminated", as_json=as_json)


def _act(
    target: Target,
    workflow_id: str,
    run_id: str | None,
    action: Callable[[WorkflowHandle[Any, Any]], Awaitable[None]],
) -> None:
    async def act(client: Client) -> None:
        await action(client.get_workflow_handle(workflow_id, run_id=run_id))

    call(target, act)


def _tell(workflow_id: str, text: str, done: str, *, as_json: bool) -> None:
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"workflowId": workflow_id, "done": done})
    else:
        say(text)
