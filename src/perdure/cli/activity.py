"""`perdure activity`: acting on the activities of a workflow, and on those without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final

import typer

from perdure.cli import activity_control, standalone_activities
from perdure.cli.activity_control import RunOption, WorkflowOption
from perdure.cli.groups import with_groups
from perdure.cli.parameters import json_from
from perdure.cli.standalone import Place, ReasonOption, act
from perdure.cli.standalone_activities import ACTIVITIES, IdOption

activities = typer.Typer(
    name="activity",
    help="Act on the activities of a workflow; start activities without one.",
    no_args_is_help=True,
)


def complete(
    activity_id: IdOption,
    workflow_id: WorkflowOption = "",
    result: Annotated[str, typer.Option(metavar="JSON", help="What it results in.")] = "null",
    run_id: RunOption = "",
    *,
    place: Place,
) -> None:
    """Complete an activity from outside of its worker."""
    from temporalio.api.workflowservice.v1 import (
        RespondActivityTaskCompletedByIdRequest,
        RespondActivityTaskCompletedByIdResponse,
    )

    from perdure.cli.asking import payloads_of

    request = RespondActivityTaskCompletedByIdRequest(
        workflow_id=workflow_id,
        run_id=run_id,
        activity_id=activity_id,
        result=payloads_of([json_from(result, "--result")]),
    )
    act(ACTIVITIES, place, request, RespondActivityTaskCompletedByIdResponse, "completed")


def fail_activity(
    activity_id: IdOption,
    workflow_id: WorkflowOption = "",
    reason: ReasonOption = "failed from the command line",
    detail: Annotated[str, typer.Option(metavar="JSON", help="Details of the failure.")] = "",
    run_id: RunOption = "",
    *,
    place: Place,
) -> None:
    """Fail an activity from outside of its worker, for good."""
    from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
    from temporalio.api.workflowservice.v1 import (
        RespondActivityTaskFailedByIdRequest,
        RespondActivityTaskFailedByIdResponse,
    )

    from perdure.cli.asking import payloads_of

    info = ApplicationFailureInfo(non_retryable=True)
    if detail:
        info.details.CopyFrom(payloads_of([json_from(detail, "--detail")]))
    request = RespondActivityTaskFailedByIdRequest(
        workflow_id=workflow_id,
        run_id=run_id,
        activity_id=activity_id,
        failure=Failure(message=reason, source="CLI", application_failure_info=info),
    )
    act(ACTIVITIES, place, request, RespondActivityTaskFailedByIdResponse, "failed")


COMMANDS: Final[Mapping[str, Callable[..., None]]] = {
    **standalone_activities.COMMANDS,
    "complete": complete,
    "fail": fail_activity,
    **activity_control.COMMANDS,
}
for _name, _command in COMMANDS.items():
    activities.command(_name)(with_groups(_command))
