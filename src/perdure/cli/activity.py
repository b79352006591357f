"""`perdure activity`: acting on the activities of a workflow, and on those without one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from perdure.cli import many
from perdure.cli.calling import Target
from perdure.cli.parameters import (
    DEFAULT_ADDRESS,
    AddressOption,
    JsonOption,
    NamespaceOption,
    RunIdOption,
    duration_option,
    json_from,
)
from perdure.cli.saying import say
from perdure.cli.standalone_activities import add_commands

if TYPE_CHECKING:
    from google.protobuf.message import Message

Operation = TypeVar("Operation", bound="Message")

activities = typer.Typer(
    name="activity",
    help="Act on the activities of a workflow; start activities without one.",
    no_args_is_help=True,
)
WorkflowOption = Annotated[str, typer.Option("--workflow-id", "-w", help="Of which workflow.")]
WorkflowOrQueryOption = Annotated[
    str,
    typer.Option("--workflow-id", "-w", help="Of which workflow.", show_default=False),
]
IdOption = Annotated[
    str, typer.Option("--activity-id", "-a", help="Which activity.", show_default=False)
]
TypeOption = Annotated[
    str, typer.Option("--type", help="All activities of this type.", show_default=False)
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why.")]
Timeout = Annotated[timedelta | None, duration_option("Another timeout, such as 30s.")]


add_commands(activities)


@activities.command("complete")
def complete(
    activity_id: IdOption,
    workflow_id: WorkflowOption = "",
    result: Annotated[str, typer.Option(metavar="JSON", help="What it results in.")] = "null",
    run_id: RunIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Complete an activity from outside of its worker."""
    from temporalio.api.workflowservice.v1 import (
        RespondActivityTaskCompletedByIdRequest,
        RespondActivityTaskCompletedByIdResponse,
    )

    from perdure.cli.asking import ask, identity, payloads_of

    request = RespondActivityTaskCompletedByIdRequest(
        namespace=namespace,
        workflow_id=workflow_id,
        run_id=run_id or "",
        activity_id=activity_id,
        result=payloads_of([json_from(result, "--result")]),
        identity=identity(),
    )
    ask(Target(address, namespace), request, RespondActivityTaskCompletedByIdResponse)
    _tell(activity_id, "completed", as_json=as_json)


@activities.command("fail")
def fail_activity(
    activity_id: IdOption,
    workflow_id: WorkflowOption = "",
    reason: ReasonOption = "failed from the command line",
    detail: Annotated[str, typer.Option(metavar="JSON", help="Details of the failure.")] = "",
    run_id: RunIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Fail an activity from outside of its worker, for good."""
    from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
    from temporalio.api.workflowservice.v1 import (
        RespondActivityTaskFailedByIdRequest,
        RespondActivityTaskFailedByIdResponse,
    )

    from perdure.cli.asking import ask, identity, payloads_of

    info = ApplicationFailureInfo(non_retryable=True)
    if detail:
        info.details.CopyFrom(payloads_of([json_from(detail, "--detail")]))
    request = RespondActivityTaskFailedByIdRequest(
        namespace=namespace,
        workflow_id=workflow_id,
        run_id=run_id or "",
        activity_id=activity_id,
        failure=Failure(message=reason, source="CLI", application_failure_info=info),
        identity=identity(),
    )
    ask(Target(address, namespace), request, RespondActivityTaskFailedByIdResponse)
    _tell(activity_id, "failed", as_json=as_json)


@activities.command("pause")
def pause(
    workflow_id: WorkflowOption,
    activity_id: IdOption = "",
    activity_type: TypeOption = "",
    reason: ReasonOption = "",
    run_id: RunIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Start an activity no more, until it is unpaused. An attempt that runs may go on."""
    from temporalio.api.workflowservice.v1 import PauseActivityRequest, PauseActivityResponse

    request = PauseActivityRequest(**_common(namespace, workflow_id, run_id), reason=reason)
    _send(address, request, PauseActivityResponse, activity_id, activity_type, "")
    _tell(activity_id or activity_type, "paused", as_json=as_json)


@activities.command("unpause")
def unpause(
    workflow_id: WorkflowOrQueryOption = "",
    activity_id: IdOption = "",
    activity_type: TypeOption = "",
    jitter: Timeout = None,
    run_id: RunIdOption = None,
    query: many.QueryOption = "",
    reason: ReasonOption = "",
    rps: many.RpsOption = 0,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    yes: many.YesOption = False,
    match_all: Annotated[bool, typer.Option("--all", help="All that are paused.")] = False,
    reset_attempts: Annotated[bool, typer.Option("--reset-attempts")] = False,
    reset_heartbeat: Annotated[bool, typer.Option("--reset-heartbeat")] = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with activities that are paused."""
    from temporalio.api.batch.v1 import BatchOperationUnpauseActivities
    from temporalio.api.workflowservice.v1 import UnpauseActivityRequest, UnpauseActivityResponse

    from perdure.cli.asking import to_duration

    request = UnpauseActivityRequest(
        **_common(namespace, workflow_id, run_id),
        reset_attempts=reset_attempts,
        reset_heartbeat=reset_heartbeat,
    )
    if jitter is not None:
        request.jitter.CopyFrom(to_duration(jitter))
    if _is_for_many(query, workflow_id, run_id, activity_id):
        operation = _of_all(
            BatchOperationUnpauseActivities, request, activity_type, every=match_all
        )
        fields = {"unpause_activities_operation": operation}
        how: dict[str, Any] = {"reason": reason, "rps": rps, "yes": yes, "as_json": as_json}
        many.begin(Target(address, namespace), "unpause activities of", query, fields, **how)
        return
    every = "unpause_all" if match_all else ""
    _send(address, request, UnpauseActivityResponse, activity_id, activity_type, every)
    _tell(activity_id or activity_type or "all", "unpaused", as_json=as_json)


@activities.command("reset")
def reset(
    workflow_id: WorkflowOrQueryOption = "",
    activity_id: IdOption = "",
    activity_type: TypeOption = "",
    jitter: Timeout = None,
    run_id: RunIdOption = None,
    query: many.QueryOption = "",
    reason: ReasonOption = "",
    rps: many.RpsOption = 0,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    yes: many.YesOption = False,
    match_all: Annotated[bool, typer.Option("--all", help="All of the workflow.")] = False,
    keep_paused: Annotated[bool, typer.Option("--keep-paused")] = False,
    reset_heartbeats: Annotated[bool, typer.Option("--reset-heartbeats")] = False,
    restore_original_options: Annotated[bool, typer.Option("--restore-original-options")] = False,
    as_json: JsonOption = False,
) -> None:
    """Begin activities again, with their first attempt."""
    from temporalio.api.batch.v1 import BatchOperationResetActivities
    from temporalio.api.workflowservice.v1 import ResetActivityRequest, ResetActivityResponse

    from perdure.cli.asking import to_duration

    request = ResetActivityRequest(
        **_common(namespace, workflow_id, run_id),
        keep_paused=keep_paused,
        reset_heartbeat=reset_heartbeats,
        restore_original_options=restore_original_options,
    )
    if jitter is not None:
        request.jitter.CopyFrom(to_duration(jitter))
    if _is_for_many(query, workflow_id, run_id, activity_id):
        operation = _of_all(BatchOperationResetActivities, request, activity_type, every=match_all)
        fields = {"reset_activities_operation": operation}
        how: dict[str, Any] = {"reason": reason, "rps": rps, "yes": yes, "as_json": as_json}
        many.begin(Target(address, namespace), "reset activities of", query, fields, **how)
        return
    every = "match_all" if match_all else ""
    _send(address, request, ResetActivityResponse, activity_id, activity_type, every)
    _tell(activity_id or activity_type or "all", "reset", as_json=as_json)


@activities.command("update-options")
def update_options(
    workflow_id: WorkflowOrQueryOption = "",
    activity_id: IdOption = "",
    activity_type: TypeOption = "",
    task_queue: Annotated[str, typer.Option(help="Another task queue.")] = "",
    schedule_to_close_timeout: Timeout = None,
    schedule_to_start_timeout: Timeout = None,
    start_to_close_timeout: Timeout = None,
    heartbeat_timeout: Timeout = None,
    retry_initial_interval: Timeout = None,
    retry_maximum_interval: Timeout = None,
    retry_backoff_coefficient: Annotated[float | None, typer.Option(min=1)] = None,
    retry_maximum_attempts: Annotated[int | None, typer.Option(min=0)] = None,
    run_id: RunIdOption = None,
    query: many.QueryOption = "",
    reason: ReasonOption = "",
    rps: many.RpsOption = 0,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    yes: many.YesOption = False,
    restore_original_options: Annotated[bool, typer.Option("--restore-original-options")] = False,
    as_json: JsonOption = False,
) -> None:
    """Give activities other options, and tell which hold now."""
    from temporalio.api.batch.v1 import BatchOperationUpdateActivityOptions
    from temporalio.api.workflowservice.v1 import (
        UpdateActivityOptionsRequest,
        UpdateActivityOptionsResponse,
    )

    from perdure.cli import asking
    from perdure.cli.terminal import print_json

    wanted = {
        "task_queue": task_queue or None,
        "schedule_to_close_timeout": schedule_to_close_timeout,
        "schedule_to_start_timeout": schedule_to_start_timeout,
        "start_to_close_timeout": start_to_close_timeout,
        "heartbeat_timeout": heartbeat_timeout,
        "retry_policy.initial_interval": retry_initial_interval,
        "retry_policy.maximum_interval": retry_maximum_interval,
        "retry_policy.backoff_coefficient": retry_backoff_coefficient,
        "retry_policy.maximum_attempts": retry_maximum_attempts,
    }
    request = UpdateActivityOptionsRequest(
        **_common(namespace, workflow_id, run_id), restore_original=restore_original_options
    )
    _set_options(request, {name: value for name, value in wanted.items() if value is not None})
    if _is_for_many(query, workflow_id, run_id, activity_id):
        operation = _of_all(
            BatchOperationUpdateActivityOptions, request, activity_type, every=not activity_type
        )
        fields = {"update_activity_options_operation": operation}
        how: dict[str, Any] = {"reason": reason, "rps": rps, "yes": yes, "as_json": as_json}
        many.begin(
            Target(address, namespace), "change the options of activities of", query, fields, **how
        )
        return
    response = UpdateActivityOptionsResponse
    found = _send(address, request, response, activity_id, activity_type, "")
    options = asking.as_json(found)["activityOptions"]
    if as_json:
        print_json(options)
        return
    from perdure.cli.rendering.tables import print_pairs

    print_pairs([(name, value) for name, value in sorted(options.items())])


def _is_for_many(query: str, workflow_id: str, run_id: str | None, activity_id: str) -> bool:
    """Whether it is what a query finds. Raises BadParameter when nothing is."""
    is_for_many = many.is_for(query, (workflow_id, run_id, activity_id))
    if not is_for_many and not workflow_id:
        raise typer.BadParameter("is missing", param_hint="--workflow-id")
    return is_for_many


def _of_all(
    make: Callable[..., Operation], request: Any, activity_type: str, *, every: bool
) -> Operation:
    """What a batch does to the activities of each workflow: what a request would do to those of
    one."""
    if bool(activity_type) == every:
        raise typer.BadParameter("give one of --type and, where it is, --all")
    operation = make(match_all=True) if every else make(type=activity_type)
    shared = {*operation.DESCRIPTOR.fields_by_name} - {"type", "match_all"}
    for described, value in request.ListFields():
        if described.name not in shared:
            continue
        if described.message_type is None:
            setattr(operation, described.name, value)
        else:
            getattr(operation, described.name).CopyFrom(value)
    return operation


def _set_options(request: Any, wanted: dict[str, Any]) -> None:
    from perdure.cli.asking import to_duration

    for path, value in wanted.items():
        options = request.activity_options
        *parents, last = path.split(".")
        for parent in parents:
            options = getattr(options, parent)
        if isinstance(value, timedelta):
            getattr(options, last).CopyFrom(to_duration(value))
        elif last == "task_queue":
            options.task_queue.name = value
        else:
            setattr(options, last, value)
        request.update_mask.paths.append("task_queue.name" if last == "task_queue" else path)


def _common(namespace: str, workflow_id: str, run_id: str | None) -> dict[str, Any]:
    from temporalio.api.common.v1 import WorkflowExecution

    from perdure.cli.asking import identity

    return {
        "namespace": namespace,
        "execution": WorkflowExecution(workflow_id=workflow_id, run_id=run_id or ""),
        "identity": identity(),
    }


def _send(
    address: str,
    request: Any,
    response: type[Message],
    activity_id: str,
    activity_type: str,
    every: str,
) -> Message:
    """Name the activities that a request is about, and send it."""
    from perdure.cli.asking import ask

    if sum(map(bool, (activity_id, activity_type, every))) != 1:
        raise typer.BadParameter("give one of --activity-id, --type and, where it is, --all")
    if activity_id:
        request.id = activity_id
    elif activity_type:
        request.type = activity_type
    else:
        setattr(request, every, True)
    return ask(Target(address, request.namespace), request, response)


def _tell(name: str, done: str, *, as_json: bool) -> None:
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"activity": name, "done": done})
    else:
        say(f"activity {name}: {done}")
