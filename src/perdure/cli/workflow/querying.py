"""`perdure workflow query` and `stack`: asking a workflow, whose worker answers."""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.calling import Target, call
from perdure.cli.exits import fail
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
    from perdure.client import Client
    from perdure.common import RawValue

STACK_TRACE = "__stack_trace"
PATIENCE = timedelta(seconds=10)
"""How long a worker has to answer."""
ANSWER_LENGTH_MAX = 1_000_000


class RejectCondition(enum.StrEnum):
    """Which workflows are not asked."""

    NOT_OPEN = "not_open"
    NOT_COMPLETED_CLEANLY = "not_completed_cleanly"


RejectOption = Annotated[
    RejectCondition | None,
    typer.Option(
        "--reject-condition",
        help="Do not ask a workflow that is not open, or that has ended without completing.",
        show_default=False,
    ),
]


def query(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    *,
    name: Annotated[str, typer.Option("--name", "--type", help="Which query.")],
    inputs: InputOption = [],  # noqa: B006 -- typer copies it
    input_files: InputFileOption = [],  # noqa: B006 -- typer copies it
    reject_condition: RejectOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Ask a workflow something, open or closed. Its worker answers."""
    from perdure.cli.rendering.payloads import brief, json_value
    from perdure.cli.terminal import print_json

    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    args = inputs_from(inputs, input_files)
    answer = _ask(Target(address, namespace), chosen_id, run_id, name, args, reject_condition)
    if as_json:
        result = None if answer is None else json_value(answer.payload)
        print_json({"workflowId": chosen_id, "result": result})
    else:
        say("null" if answer is None else brief(answer.payload, ANSWER_LENGTH_MAX))


def stack(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    reject_condition: RejectOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell where in its code a workflow waits."""
    from perdure.cli.rendering.payloads import json_value
    from perdure.cli.terminal import print_json

    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    answer = _ask(Target(address, namespace), chosen_id, run_id, STACK_TRACE, [], reject_condition)
    trace = None if answer is None else json_value(answer.payload)
    if as_json:
        print_json({"workflowId": chosen_id, "stack": trace})
    else:
        say(trace)


def _ask(
    target: Target,
    workflow_id: str,
    run_id: str | None,
    name: str,
    args: list[Any],
    condition: RejectCondition | None,
) -> RawValue | None:
    from perdure.client import (
        RPCError,
        RPCStatusCode,
        WorkflowQueryFailedError,
        WorkflowQueryRejectedError,
    )
    from perdure.common import QueryRejectCondition, RawValue

    rejecting = None if condition is None else QueryRejectCondition[condition.name]

    async def ask(client: Client) -> RawValue | None:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        try:
            answer: RawValue | None = await handle.query(
                name,
                args=args,
                result_type=RawValue,
                reject_condition=rejecting,
                rpc_timeout=PATIENCE,
            )
        except WorkflowQueryFailedError as error:
            fail(f"the workflow refused to answer: {error.message}")
        except WorkflowQueryRejectedError as error:
            status = "not open" if error.status is None else error.status.name
            fail(f"workflow {workflow_id} was not asked, since it is {status}")
        except RPCError as error:
            if error.status is RPCStatusCode.DEADLINE_EXCEEDED:
                fail(
                    f"no worker answered within {PATIENCE.total_seconds():g}s: is one running for "
                    f"its task queue? (`perdure workflow describe {workflow_id}` names it)"
                )
            raise
        return answer

    return call(target, ask)
