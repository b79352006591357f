"""`perdure activity pause`, `unpause`, `reset` and `update-options`: for an activity of a workflow,
for those of all workflows that a query finds, and for one without a workflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from perdure.cli import many
from perdure.cli.calling import LISTING
from perdure.cli.parameters import duration_option
from perdure.cli.standalone import Place, ReasonOption, Timeouts, tell
from perdure.cli.standalone_activities import ACTIVITIES, Beginning, Retry

if TYPE_CHECKING:
    from google.protobuf.message import Message

Operation = TypeVar("Operation", bound="Message")

WorkflowOption = Annotated[
    str,
    typer.Option(
        "--workflow-id",
        "-w",
        help="Of which workflow; none, for an activity without one.",
        show_default=False,
    ),
]
RunOption = Annotated[
    str,
    typer.Option(
        "--run-id",
        "-r",
        help="Which run of the workflow, or of an activity without one; the latest, by default.",
        show_default=False,
    ),
]
JitterOption = Annotated[
    timedelta | None, duration_option("Wait for a random part of this time first.")
]
ONE_OF: Final = "give one of --activity-id, --type and, where it is, --all"
OF_WORKFLOWS: Final = "is for the activities of workflows: give --workflow-id, or --query"


@dataclass(frozen=True)
class Which:
    """Which activities a command is about."""

    workflow_id: WorkflowOption = ""
    activity_id: Annotated[
        str, typer.Option("--activity-id", "-a", help="Which activity.", show_default=False)
    ] = ""
    activity_type: Annotated[
        str,
        typer.Option(
            "--type", help="All activities of the workflow of this type.", show_default=False
        ),
    ] = ""
    run_id: RunOption = ""


@dataclass(frozen=True)
class Batch:
    """How a batch operation goes about it."""

    query: many.QueryOption = ""
    rps: many.RpsOption = 0
    yes: many.YesOption = False


def pause(which: Which, reason: ReasonOption = "", *, place: Place) -> None:
    """Start an activity no more, until it is unpaused. An attempt that runs may go on."""
    from temporalio.api.workflowservice.v1 import (
        PauseActivityExecutionRequest,
        PauseActivityExecutionResponse,
        PauseActivityRequest,
        PauseActivityResponse,
    )

    if not which.workflow_id:
        request = PauseActivityExecutionRequest(reason=reason)
        _ask_alone(place, which, request, PauseActivityExecutionResponse)
    else:
        of_workflow = PauseActivityRequest(reason=reason)
        _ask(place, which, of_workflow, PauseActivityResponse)
    tell(ACTIVITIES, place, which.activity_id or which.activity_type, "paused")


def unpause(
    which: Which,
    batch: Batch,
    jitter: JitterOption = None,
    reason: ReasonOption = "",
    *,
    match_all: Annotated[bool, typer.Option("--all", help="All that are paused.")] = False,
    reset_attempts: Annotated[bool, typer.Option("--reset-attempts")] = False,
    reset_heartbeat: Annotated[bool, typer.Option("--reset-heartbeat")] = False,
    place: Place,
) -> None:
    """Go on with activities that are paused."""
    from temporalio.api.batch.v1 import BatchOperationUnpauseActivities
    from temporalio.api.workflowservice.v1 import (
        UnpauseActivityExecutionRequest,
        UnpauseActivityExecutionResponse,
        UnpauseActivityRequest,
        UnpauseActivityResponse,
    )

    if _is_alone(which, batch):
        _refuse(
            {"--all": match_all, "--reset-attempts": reset_attempts}
            | {"--reset-heartbeat": reset_heartbeat}
        )
        alone = UnpauseActivityExecutionRequest(reason=reason)
        _set_jitter(alone, jitter)
        _ask_alone(place, which, alone, UnpauseActivityExecutionResponse)
        tell(ACTIVITIES, place, which.activity_id, "unpaused")
        return
    request = UnpauseActivityRequest(reset_attempts=reset_attempts, reset_heartbeat=reset_heartbeat)
    _set_jitter(request, jitter)
    if batch.query:
        operation = _of_all(BatchOperationUnpauseActivities, request, which, every=match_all)
        fields = {"unpause_activities_operation": operation}
        _begin(place, batch, "unpause activities of", fields, reason)
        return
    _ask(place, which, request, UnpauseActivityResponse, "unpause_all" if match_all else "")
    tell(ACTIVITIES, place, which.activity_id or which.activity_type or "all", "unpaused")


def reset(
    which: Which,
    batch: Batch,
    jitter: JitterOption = None,
    reason: ReasonOption = "",
    *,
    match_all: Annotated[bool, typer.Option("--all", help="All of the workflow.")] = False,
    keep_paused: Annotated[bool, typer.Option("--keep-paused")] = False,
    reset_heartbeats: Annotated[
        bool, typer.Option("--reset-heartbeats", "--clear-heartbeat-details")
    ] = False,
    restore_original_options: Annotated[bool, typer.Option("--restore-original-options")] = False,
    place: Place,
) -> None:
    """Begin activities again, with their first attempt."""
    from temporalio.api.batch.v1 import BatchOperationResetActivities
    from temporalio.api.workflowservice.v1 import (
        ResetActivityExecutionRequest,
        ResetActivityExecutionResponse,
        ResetActivityRequest,
        ResetActivityResponse,
    )

    asked: dict[str, Any] = {
        "keep_paused": keep_paused,
        "reset_heartbeat": reset_heartbeats,
        "restore_original_options": restore_original_options,
    }
    if _is_alone(which, batch):
        _refuse({"--all": match_all})
        alone = ResetActivityExecutionRequest(**asked)
        _set_jitter(alone, jitter)
        _ask_alone(place, which, alone, ResetActivityExecutionResponse)
        tell(ACTIVITIES, place, which.activity_id, "reset")
        return
    request = ResetActivityRequest(**asked)
    _set_jitter(request, jitter)
    if batch.query:
        operation = _of_all(BatchOperationResetActivities, request, which, every=match_all)
        fields = {"reset_activities_operation": operation}
        _begin(place, batch, "reset activities of", fields, reason)
        return
    _ask(place, which, request, ResetActivityResponse, "match_all" if match_all else "")
    tell(ACTIVITIES, place, which.activity_id or which.activity_type or "all", "reset")


def update_options(
    which: Which,
    timeouts: Timeouts,
    beginning: Beginning,
    retry: Retry,
    batch: Batch,
    task_queue: Annotated[str, typer.Option(help="Another task queue.")] = "",
    reason: ReasonOption = "",
    *,
    restore_original_options: Annotated[bool, typer.Option("--restore-original-options")] = False,
    place: Place,
) -> None:
    """Give activities other options, and tell which hold now."""
    from temporalio.api.batch.v1 import BatchOperationUpdateActivityOptions
    from temporalio.api.workflowservice.v1 import (
        UpdateActivityExecutionOptionsRequest,
        UpdateActivityExecutionOptionsResponse,
        UpdateActivityOptionsRequest,
        UpdateActivityOptionsResponse,
    )

    wanted = {**vars(timeouts), **vars(beginning), **vars(retry), "task_queue": task_queue or None}
    if _is_alone(which, batch):
        alone = UpdateActivityExecutionOptionsRequest(restore_original=restore_original_options)
        _set_options(alone, wanted)
        answer = _ask_alone(place, which, alone, UpdateActivityExecutionOptionsResponse)
        _show_options(place, answer)
        return
    request = UpdateActivityOptionsRequest(restore_original=restore_original_options)
    _set_options(request, wanted)
    if batch.query:
        every = not which.activity_type
        operation = _of_all(BatchOperationUpdateActivityOptions, request, which, every=every)
        fields = {"update_activity_options_operation": operation}
        _begin(place, batch, "change the options of activities of", fields, reason)
        return
    _show_options(place, _ask(place, which, request, UpdateActivityOptionsResponse))


# ---- which


def _is_alone(which: Which, batch: Batch) -> bool:
    """Whether it is an activity without a workflow. Raises BadParameter when a query finds others
    than those that are named."""
    many.is_for(batch.query, (which.workflow_id, which.run_id, which.activity_id))
    return not (batch.query or which.workflow_id)


def _refuse(of_workflows: Mapping[str, object]) -> None:
    """Raises BadParameter for an option that an activity without a workflow has no use for."""
    for option, value in of_workflows.items():
        if value:
            raise typer.BadParameter(OF_WORKFLOWS, param_hint=option)


def _of_all(
    make: Callable[..., Operation], request: Any, which: Which, *, every: bool
) -> Operation:
    """What a batch does to the activities of each workflow: what a request would do to those of
    one."""
    if bool(which.activity_type) == every:
        raise typer.BadParameter("give one of --type and, where it is, --all")
    operation = make(match_all=True) if every else make(type=which.activity_type)
    shared = {*operation.DESCRIPTOR.fields_by_name} - {"type", "match_all"}
    for described, value in request.ListFields():
        if described.name not in shared:
            continue
        if described.message_type is None:
            setattr(operation, described.name, value)
        else:
            getattr(operation, described.name).CopyFrom(value)
    return operation


def _begin(place: Place, batch: Batch, doing: str, fields: dict[str, Any], reason: str) -> None:
    how: dict[str, Any] = {"rps": batch.rps, "yes": batch.yes, "as_json": place.as_json}
    many.begin(place.target, doing, batch.query, fields, reason=reason, **how)


# ---- one


def _ask_alone(place: Place, which: Which, request: Any, response: type[Message]) -> Message:
    """Send a request about an activity without a workflow."""
    from uuid import uuid4

    from perdure.cli.asking import ask, identity

    _refuse({"--type": which.activity_type})
    if not which.activity_id:
        raise typer.BadParameter(
            "is missing (with --workflow-id, where it is of a workflow)",
            param_hint="--activity-id",
        )
    LISTING.set(ACTIVITIES.list_command)
    request.namespace, request.identity = place.namespace, identity()
    request.activity_id, request.run_id = which.activity_id, which.run_id
    request.request_id = str(uuid4())
    return ask(place.target, request, response)


def _ask(
    place: Place, which: Which, request: Any, response: type[Message], every: str = ""
) -> Message:
    """Send a request about activities of a workflow; `every` is its field that means all."""
    from perdure.cli.asking import ask, identity

    if sum(map(bool, (which.activity_id, which.activity_type, every))) != 1:
        raise typer.BadParameter(ONE_OF)
    if which.activity_id:
        request.id = which.activity_id
    elif which.activity_type:
        request.type = which.activity_type
    else:
        setattr(request, every, True)
    request.namespace, request.identity = place.namespace, identity()
    request.execution.workflow_id, request.execution.run_id = which.workflow_id, which.run_id
    return ask(place.target, request, response)


def _set_jitter(request: Any, jitter: timedelta | None) -> None:
    from perdure.cli.asking import to_duration

    if jitter is not None:
        request.jitter.CopyFrom(to_duration(jitter))


def _set_options(request: Any, wanted: Mapping[str, Any]) -> None:
    from perdure.cli.asking import to_duration

    for name, value in wanted.items():
        if value is None:
            continue
        field = name.removeprefix("retry_")
        is_of_retry = field != name
        options = request.activity_options
        holder = options.retry_policy if is_of_retry else options
        if isinstance(value, timedelta):
            getattr(holder, field).CopyFrom(to_duration(value))
        elif name == "task_queue":
            options.task_queue.name = value
        else:
            setattr(holder, field, value)
        path = f"retry_policy.{field}" if is_of_retry else field
        request.update_mask.paths.append("task_queue.name" if name == "task_queue" else path)


def _show_options(place: Place, answer: Message) -> None:
    from perdure.cli.asking import as_json

    options = as_json(answer)["activityOptions"]
    if place.as_json:
        from perdure.cli.terminal import print_json

        print_json(options)
        return
    from perdure.cli.rendering.tables import print_pairs

    print_pairs([(name, value) for name, value in sorted(options.items())])


COMMANDS: Final[Mapping[str, Callable[..., None]]] = {
    "pause": pause,
    "unpause": unpause,
    "reset": reset,
    "update-options": update_options,
}
