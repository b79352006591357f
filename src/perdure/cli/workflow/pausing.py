"""`perdure workflow pause` and `unpause`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perdure.cli.calling import Target
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
from perdure.cli.workflow.acting import ReasonOption

if TYPE_CHECKING:
    from google.protobuf.message import Message


def pause(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    reason: ReasonOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Let a workflow do nothing more, until it is unpaused."""
    from temporalio.api.workflowservice.v1 import (
        PauseWorkflowExecutionRequest,
        PauseWorkflowExecutionResponse,
    )

    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    request = PauseWorkflowExecutionRequest(**_fields(namespace, chosen_id, run_id, reason))
    _send(address, request, PauseWorkflowExecutionResponse, "paused", as_json=as_json)


def unpause(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    reason: ReasonOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Let a workflow go on that was paused."""
    from temporalio.api.workflowservice.v1 import (
        UnpauseWorkflowExecutionRequest,
        UnpauseWorkflowExecutionResponse,
    )

    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    request = UnpauseWorkflowExecutionRequest(**_fields(namespace, chosen_id, run_id, reason))
    _send(address, request, UnpauseWorkflowExecutionResponse, "unpaused", as_json=as_json)


def _fields(namespace: str, workflow_id: str, run_id: str | None, reason: str) -> dict[str, Any]:
    import uuid

    from perdure.cli.asking import identity

    return {
        "namespace": namespace,
        "workflow_id": workflow_id,
        "run_id": run_id or "",
        "reason": reason,
        "identity": identity(),
        "request_id": str(uuid.uuid4()),
    }


def _send(address: str, request: Any, response: type[Message], done: str, *, as_json: bool) -> None:
    from perdure.cli.asking import ask

    ask(Target(address, request.namespace), request, response)
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"workflowId": request.workflow_id, "done": done})
    else:
        say(f"{request.workflow_id} is {done}")
