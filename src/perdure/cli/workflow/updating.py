"""`perdure workflow update`: sending updates to a workflow, and asking what came of them."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.calling import Target, call
from perdure.cli.exits import INTERRUPTED, REFUSED, fail
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
    from temporalio.api.failure.v1 import Failure
    from temporalio.api.update.v1 import Outcome

    from perdure.client import Client

RESULT_LENGTH_MAX = 100_000
"""A result is what was asked for, so it is shown whole, unless it is absurdly long."""

updates = typer.Typer(
    name="update",
    help="Send updates to a workflow, and see what came of them.",
    no_args_is_help=True,
)

NameOption = Annotated[str, typer.Option("--name", "--type", help="Which update.")]
FirstRunIdOption = Annotated[
    str | None,
    typer.Option(
        "--first-execution-run-id",
        help="Only if the workflow's chain of runs began with this one.",
        show_default=False,
    ),
]
NewUpdateIdOption = Annotated[
    str | None,
    typer.Option(
        "--update-id",
        help="The update's id: sent again under the same, it is done once. A random one, "
        "unless given.",
        show_default=False,
    ),
]
UpdateIdOption = Annotated[str, typer.Option("--update-id", help="Which update.")]


class Stage(enum.StrEnum):
    """How far an update must have come before the command returns."""

    ACCEPTED = "accepted"


StageOption = Annotated[
    Stage,
    typer.Option("--wait-for-stage", help="Return when the update has come that far."),
]


@updates.command()
def start(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    *,
    name: NameOption,
    wait_for_stage: StageOption,
    inputs: InputOption = [],  # noqa: B006 -- typer copies it
    input_files: InputFileOption = [],  # noqa: B006 -- typer copies it
    update_id: NewUpdateIdOption = None,
    first_execution_run_id: FirstRunIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Send an update and return when the workflow has accepted it."""
    del wait_for_stage  # there is only one to choose, and it must be said
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    args = inputs_from(inputs, input_files)

    async def send(client: Client) -> Told:
        from perdure.client import WorkflowUpdateStage

        handle = client.get_workflow_handle(
            chosen_id, run_id=run_id, first_execution_run_id=first_execution_run_id
        )
        sent = await handle.start_update(
            name, args=args, id=update_id, wait_for_stage=WorkflowUpdateStage.ACCEPTED
        )
        known = {"workflowId": chosen_id, "name": name, "updateId": sent.id}
        return Told(known=known, outcome=sent._known_outcome)

    told = _waited_for(Target(address, namespace), chosen_id, update_id, send)
    _print(told, f"update {told.known['updateId']} accepted by {chosen_id}", as_json=as_json)


@updates.command()
def execute(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    *,
    name: NameOption,
    inputs: InputOption = [],  # noqa: B006 -- typer copies it
    input_files: InputFileOption = [],  # noqa: B006 -- typer copies it
    update_id: NewUpdateIdOption = None,
    first_execution_run_id: FirstRunIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Send an update and wait for its result. Exits with 1 when it is refused or fails."""
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    args = inputs_from(inputs, input_files)

    async def send(client: Client) -> Told:
        from perdure.client import WorkflowUpdateStage

        handle = client.get_workflow_handle(
            chosen_id, run_id=run_id, first_execution_run_id=first_execution_run_id
        )
        sent = await handle.start_update(
            name, args=args, id=update_id, wait_for_stage=WorkflowUpdateStage.COMPLETED
        )
        known = {"workflowId": chosen_id, "name": name, "updateId": sent.id}
        return Told(known=known, outcome=sent._known_outcome)

    _print(_waited_for(Target(address, namespace), chosen_id, update_id, send), as_json=as_json)


@updates.command()
def result(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    *,
    update_id: UpdateIdOption,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Wait for the result of an update. Exits with 1 when it was refused or has failed."""
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)

    async def wait(client: Client) -> Told:
        sent = client.get_workflow_handle(chosen_id, run_id=run_id).get_update_handle(update_id)
        outcome = None
        while outcome is None:
            outcome = await sent._poll({}, None)
        return Told(known={"workflowId": chosen_id, "updateId": update_id}, outcome=outcome)

    _print(_waited_for(Target(address, namespace), chosen_id, update_id, wait), as_json=as_json)


@updates.command()
def describe(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    *,
    update_id: UpdateIdOption,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Tell how far an update has come, and its result when it has one."""
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)

    async def ask(client: Client) -> Told:
        from temporalio.api.common.v1 import WorkflowExecution
        from temporalio.api.enums.v1 import UpdateWorkflowExecutionLifecycleStage as Stages
        from temporalio.api.update.v1 import UpdateRef
        from temporalio.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest

        execution = WorkflowExecution(workflow_id=chosen_id, run_id=run_id or "")
        response = await client.workflow_service.poll_workflow_execution_update(
            PollWorkflowExecutionUpdateRequest(
                namespace=client.namespace,
                update_ref=UpdateRef(workflow_execution=execution, update_id=update_id),
                identity=client.identity,
            )
        )
        outcome = response.outcome if response.HasField("outcome") else None
        stage = Stages.Name(response.stage).rpartition("_")[2].capitalize()
        known = {"workflowId": chosen_id, "updateId": update_id, "stage": stage}
        return Told(known=known, outcome=outcome)

    _print_described(call(Target(address, namespace), ask), as_json=as_json)


def _waited_for(
    target: Target,
    workflow_id: str,
    update_id: str | None,
    action: Callable[[Client], Awaitable[Told]],
) -> Told:
    """What the action tells, which may take as long as the workflow's handler does."""
    from perdure.cli.terminal import waiting

    try:
        with waiting(f"waiting for {workflow_id}"):
            return call(target, action)
    except KeyboardInterrupt:
        again = (
            f"`perdure workflow update result {workflow_id} --update-id {update_id}` waits again"
        )
        hint = again if update_id else "give it an --update-id to be able to ask for it later"
        fail(f"stopped waiting, the update goes on: {hint}", INTERRUPTED)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is known of an update, and its outcome when it has one."""

    known: dict[str, Any]
    outcome: Outcome | None

    @property
    def failure(self) -> Failure | None:
        """Why it was refused, or has failed."""
        if self.outcome is None or not self.outcome.HasField("failure"):
            return None
        return self.outcome.failure

    def json(self) -> dict[str, Any]:
        """All of it for a program."""
        from google.protobuf import json_format

        from perdure.cli.rendering.payloads import json_value

        told = dict(self.known)
        if self.failure is not None:
            told["failure"] = json_format.MessageToDict(self.failure)
        elif self.outcome is not None:
            payloads = self.outcome.success.payloads
            told["result"] = json_value(payloads[0]) if payloads else None
        return told

    def result_text(self) -> str:
        """The result for people."""
        from perdure.cli.rendering.payloads import brief_all

        assert self.outcome is not None
        return brief_all(self.outcome.success.payloads, RESULT_LENGTH_MAX) or "null"


def _print(told: Told, text: str | None = None, *, as_json: bool) -> None:
    """Say it: the text, or else the result. Ends the command with 1 when the update failed."""
    from perdure.cli.rendering.failures import failure_lines
    from perdure.cli.terminal import print_json

    failure = told.failure
    if as_json:
        print_json(told.json())
    elif failure is not None:
        first, *causes = failure_lines(failure)
        say(f"perdure: the update failed: {first}", err=True)
        for cause in causes:
            say(f"  {cause}", err=True)
    else:
        say(told.result_text() if text is None else text)
    if failure is not None:
        raise typer.Exit(REFUSED)


def _print_described(told: Told, *, as_json: bool) -> None:
    from perdure.cli.rendering.failures import failure_lines
    from perdure.cli.terminal import print_json

    if as_json:
        print_json(told.json())
        return
    lines = [f"{told.known['updateId']}  {told.known['stage']}"]
    if told.failure is not None:
        first, *causes = failure_lines(told.failure)
        lines = [f"{lines[0]}  failed: {first}", *(f"  {cause}" for cause in causes)]
    elif told.outcome is not None:
        lines[0] += f"  {told.result_text()}"
    say("\n".join(lines))
