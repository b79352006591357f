"""`perdure workflow signal-with-start`: signal a workflow, which is started if it does not run."""

from __future__ import annotations

import uuid
from datetime import timedelta
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
    json_from,
    memo_from,
)

if TYPE_CHECKING:
    from perdure.client import Client, WorkflowHandle


def signal_with_start(
    *,
    workflow_type: Annotated[str, typer.Option("--type", help="Which workflow, by its name.")],
    task_queue: Annotated[
        str, typer.Option("--task-queue", "-t", help="Whose workers shall run it.")
    ],
    signal_name: Annotated[str, typer.Option("--signal-name", help="Which signal.")],
    signal_inputs: Annotated[
        list[str],
        typer.Option("--signal-input", metavar="JSON", help="An argument of the signal."),
    ] = [],  # noqa: B006 -- typer copies it
    workflow_id: Annotated[
        str | None, typer.Option("--workflow-id", "-w", help="Its id; made up, unless given.")
    ] = None,
    inputs: InputOption = [],  # noqa: B006 -- typer copies it
    input_files: InputFileOption = [],  # noqa: B006 -- typer copies it
    execution_timeout: Annotated[
        timedelta | None, duration_option("How long it may take, with all its runs.")
    ] = None,
    run_timeout: Annotated[timedelta | None, duration_option("How long a run may take.")] = None,
    memo: Annotated[
        list[str], typer.Option("--memo", metavar="KEY=JSON", help="A note (may be repeated).")
    ] = [],  # noqa: B006 -- typer copies it
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Send a signal to a workflow, and start it first if it does not run."""
    from perdure.cli.workflow.waiting import print_started

    chosen_id = workflow_id or f"{workflow_type}-{uuid.uuid4()}"
    args = inputs_from(inputs, input_files)
    signal_args = [json_from(text, "--signal-input") for text in signal_inputs]

    async def start_it(client: Client) -> WorkflowHandle[Any, Any]:
        return await client.start_workflow(
            workflow_type,
            args=args,
            id=chosen_id,
            task_queue=task_queue,
            execution_timeout=execution_timeout,
            run_timeout=run_timeout,
            memo=memo_from(memo),
            start_signal=signal_name,
            start_signal_args=signal_args,
        )

    handle = call(Target(address, namespace), start_it)
    print_started(chosen_id, handle.result_run_id, as_json=as_json)
