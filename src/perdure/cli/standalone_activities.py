"""`perdure activity start`, `describe`, `list` and the like: activities that no workflow calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from perdure.cli.calling import LISTING, Target
from perdure.cli.parameters import duration_option
from perdure.cli.standalone import (
    Inputs,
    Kind,
    LimitOption,
    Place,
    QueryOption,
    ReasonOption,
    RunOption,
    Starting,
    Timeout,
    Timeouts,
    act,
    set_durations,
    show_count,
    show_info,
    show_list,
    show_outcome,
    started,
    summary_of,
    tell_started,
    time_of,
)

if TYPE_CHECKING:
    from temporalio.api.activity.v1 import ActivityExecutionInfo
    from temporalio.api.workflowservice.v1 import PollActivityExecutionResponse

ACTIVITIES: Final = Kind("activity", "activityId", "ACTIVITY", "perdure activity list")
_STATUS_PREFIX = "ACTIVITY_EXECUTION_STATUS_"

IdOption = Annotated[str, typer.Option("--activity-id", "-a", help="Which activity.")]
Interval = Annotated[timedelta | None, duration_option("Between two attempts, such as 10s.")]


@dataclass(frozen=True)
class What:
    """Which activity starts, and where."""

    activity_id: IdOption
    activity_type: Annotated[str, typer.Option("--type", help="Which activity, by its name.")]
    task_queue: Annotated[
        str, typer.Option("--task-queue", "-t", help="Whose workers shall run it.")
    ]


@dataclass(frozen=True)
class Beginning:
    """When an activity begins, and how often it is heard of."""

    heartbeat_timeout: Timeout = None
    start_delay: Annotated[
        timedelta | None, duration_option("Not before so long after it was scheduled, such as 1h.")
    ] = None


@dataclass(frozen=True)
class Retry:
    """How an activity is tried again."""

    retry_initial_interval: Interval = None
    retry_maximum_interval: Interval = None
    retry_backoff_coefficient: Annotated[
        float | None, typer.Option(min=1, help="How much longer each interval is.")
    ] = None
    retry_maximum_attempts: Annotated[
        int | None, typer.Option(min=0, help="0: as many as it takes.")
    ] = None


@dataclass(frozen=True)
class Priority:
    """What comes first."""

    priority_key: Annotated[int | None, typer.Option(min=1, max=5, help="1 comes first.")] = None
    fairness_key: Annotated[str | None, typer.Option(help="Whose it is.")] = None
    fairness_weight: Annotated[
        float | None, typer.Option(min=0, help="How large its owner's share is.")
    ] = None


def start(
    what: What,
    inputs: Inputs,
    timeouts: Timeouts,
    beginning: Beginning,
    retry: Retry,
    priority: Priority,
    starting: Starting,
    place: Place,
) -> None:
    """Start an activity without a workflow, and tell its run."""
    request = _start_request(what, inputs, (timeouts, beginning), retry, priority)
    run_id = _started(place.target, request, starting)
    tell_started(ACTIVITIES, place, what.activity_id, run_id)


def execute(
    what: What,
    inputs: Inputs,
    timeouts: Timeouts,
    beginning: Beginning,
    retry: Retry,
    priority: Priority,
    starting: Starting,
    place: Place,
) -> None:
    """Start an activity without a workflow, wait for it, and print its result."""
    request = _start_request(what, inputs, (timeouts, beginning), retry, priority)
    run_id = _started(place.target, request, starting)
    _show_result(place, what.activity_id, run_id)


def result(activity_id: IdOption, run_id: RunOption = "", *, place: Place) -> None:
    """Wait for an activity without a workflow, and print its result."""
    _show_result(place, activity_id, run_id)


def describe(activity_id: IdOption, run_id: RunOption = "", *, place: Place) -> None:
    """Show how an activity without a workflow stands."""
    from temporalio.api.workflowservice.v1 import (
        DescribeActivityExecutionRequest,
        DescribeActivityExecutionResponse,
    )

    from perdure.cli.asking import ask

    LISTING.set(ACTIVITIES.list_command)
    request = DescribeActivityExecutionRequest(
        namespace=place.namespace,
        activity_id=activity_id,
        run_id=run_id,
        include_heartbeat_details=True,
        include_last_failure=True,
    )
    show_info(place, ask(place.target, request, DescribeActivityExecutionResponse).info, _pairs_of)


def list_all(query: QueryOption = "", limit: LimitOption = 1000, *, place: Place) -> None:
    """List activities without a workflow, the newest first. JSON is one a line."""
    from temporalio.api.workflowservice.v1 import (
        ListActivityExecutionsRequest,
        ListActivityExecutionsResponse,
    )

    def row_of(one: Any) -> tuple[object, ...]:
        scheduled = time_of(one, "schedule_time")
        status = _status(one.status)
        return (one.activity_id, status, one.activity_type.name, one.task_queue, scheduled)

    head = ("ACTIVITY ID", "STATUS", "TYPE", "TASK QUEUE", "SCHEDULED")
    request = ListActivityExecutionsRequest(query=query)
    show_list(place, request, ListActivityExecutionsResponse, limit, (head, row_of))


def count(query: QueryOption = "", *, place: Place) -> None:
    """Count activities without a workflow."""
    from temporalio.api.workflowservice.v1 import (
        CountActivityExecutionsRequest,
        CountActivityExecutionsResponse,
    )

    request = CountActivityExecutionsRequest(query=query)
    show_count(place, request, CountActivityExecutionsResponse)


def cancel(
    activity_id: IdOption, run_id: RunOption = "", reason: ReasonOption = "", *, place: Place
) -> None:
    """Ask an activity without a workflow to stop. Its worker hears of it with a heartbeat."""
    from temporalio.api.workflowservice.v1 import (
        RequestCancelActivityExecutionRequest,
        RequestCancelActivityExecutionResponse,
    )

    request = RequestCancelActivityExecutionRequest(
        activity_id=activity_id, run_id=run_id, reason=reason
    )
    response = RequestCancelActivityExecutionResponse
    act(ACTIVITIES, place, request, response, "cancellation requested")


def terminate(
    activity_id: IdOption, run_id: RunOption = "", reason: ReasonOption = "", *, place: Place
) -> None:
    """End an activity without a workflow at once."""
    from temporalio.api.workflowservice.v1 import (
        TerminateActivityExecutionRequest,
        TerminateActivityExecutionResponse,
    )

    request = TerminateActivityExecutionRequest(
        activity_id=activity_id, run_id=run_id, reason=reason
    )
    act(ACTIVITIES, place, request, TerminateActivityExecutionResponse, "terminated")


def delete(activity_id: IdOption, run_id: RunOption = "", *, place: Place) -> None:
    """Forget an activity without a workflow."""
    from temporalio.api.workflowservice.v1 import (
        DeleteActivityExecutionRequest,
        DeleteActivityExecutionResponse,
    )

    request = DeleteActivityExecutionRequest(activity_id=activity_id, run_id=run_id)
    act(ACTIVITIES, place, request, DeleteActivityExecutionResponse, "deleted")


# ---- start


def _start_request(
    what: What, inputs: Inputs, times: tuple[object, ...], retry: Retry, priority: Priority
) -> Any:
    from temporalio.api.common.v1 import ActivityType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import StartActivityExecutionRequest

    from perdure.cli.asking import payloads_of, to_duration

    values = inputs.values()
    request = StartActivityExecutionRequest(
        activity_id=what.activity_id,
        activity_type=ActivityType(name=what.activity_type),
        task_queue=TaskQueue(name=what.task_queue),
        input=payloads_of(values) if values else None,
    )
    for group in times:
        set_durations(request, group)
    for name, value in vars(retry).items():
        field = name.removeprefix("retry_")
        if isinstance(value, timedelta):
            getattr(request.retry_policy, field).CopyFrom(to_duration(value))
        elif value is not None:
            setattr(request.retry_policy, field, value)
    for name, value in vars(priority).items():
        if value is not None:
            setattr(request.priority, name, value)
    return request


def _started(target: Target, request: Any, starting: Starting) -> str:
    from temporalio.api.workflowservice.v1 import StartActivityExecutionResponse

    return started(ACTIVITIES, target, request, StartActivityExecutionResponse, starting)


# ---- result


def _show_result(place: Place, activity_id: str, run_id: str) -> None:
    """Print the result; what failed ends the command."""
    found = _waited_for(place.target, activity_id, run_id)
    has_failed = found.outcome.HasField("failure")
    told = {"activityId": activity_id, "runId": found.run_id}
    failure = found.outcome.failure if has_failed else None
    show_outcome(place, told, list(found.outcome.result.payloads), failure)


def _waited_for(target: Target, activity_id: str, run_id: str) -> PollActivityExecutionResponse:
    from temporalio.api.workflowservice.v1 import (
        PollActivityExecutionRequest,
        PollActivityExecutionResponse,
    )

    from perdure.cli.asking import asked
    from perdure.cli.calling import call

    LISTING.set(ACTIVITIES.list_command)
    request = PollActivityExecutionRequest(
        namespace=target.namespace, activity_id=activity_id, run_id=run_id
    )

    async def wait(client: Any) -> PollActivityExecutionResponse:
        while True:
            found = await asked(client, request, PollActivityExecutionResponse)
            if found.HasField("outcome"):
                return found

    return call(target, wait)


# ---- describe


def _pairs_of(info: ActivityExecutionInfo) -> list[tuple[str, object]]:
    from temporalio.api.enums.v1 import PendingActivityState

    from perdure.cli.rendering.failures import enum_words, failure_lines
    from perdure.cli.rendering.payloads import brief_all
    from perdure.cli.rendering.times import took

    state = enum_words(PendingActivityState.Name(info.run_state), "PENDING_ACTIVITY_STATE_")
    failures = failure_lines(info.last_failure) if info.HasField("last_failure") else []
    return [
        ("activity id", info.activity_id),
        ("run id", info.run_id),
        ("type", info.activity_type.name),
        ("task queue", info.task_queue),
        ("status", _status(info.status)),
        ("state", state if info.run_state else ""),
        ("attempt", info.attempt),
        ("last heartbeat", brief_all(info.heartbeat_details.payloads)),
        ("last failure", "\n".join(failures)),
        ("last worker", info.last_worker_identity),
        ("next attempt", time_of(info, "next_attempt_schedule_time")),
        ("scheduled", time_of(info, "schedule_time")),
        ("started", time_of(info, "last_started_time")),
        ("expires", time_of(info, "expiration_time")),
        ("closed", time_of(info, "close_time")),
        (
            "took",
            took(info.execution_duration.ToTimedelta().total_seconds())
            if info.HasField("close_time")
            else "",
        ),
        ("canceled because", info.canceled_reason),
        ("summary", summary_of(info)),
    ]


def _status(status: int) -> str:
    from temporalio.api.enums.v1 import ActivityExecutionStatus

    from perdure.cli.rendering.failures import enum_words

    name = ActivityExecutionStatus.Name(status)  # type: ignore[arg-type]
    return enum_words(name, _STATUS_PREFIX)


COMMANDS: Final[Mapping[str, Callable[..., None]]] = {
    "start": start,
    "execute": execute,
    "result": result,
    "describe": describe,
    "list": list_all,
    "count": count,
    "cancel": cancel,
    "terminate": terminate,
    "delete": delete,
}
