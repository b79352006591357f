"""`perdure activity start`, `describe`, `list` and the like: activities that no workflow calls."""

from __future__ import annotations

from datetime import UTC, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.calling import LISTING, Target
from perdure.cli.exits import REFUSED
from perdure.cli.parameters import (
    DEFAULT_ADDRESS,
    AddressOption,
    InputFileOption,
    InputOption,
    JsonOption,
    NamespaceOption,
    duration_option,
    inputs_from,
)
from perdure.cli.saying import say

if TYPE_CHECKING:
    from temporalio.api.activity.v1 import ActivityExecutionInfo
    from temporalio.api.workflowservice.v1 import PollActivityExecutionResponse

PAGE = 100
LIST_COMMAND = "perdure activity list"
_STATUS_PREFIX = "ACTIVITY_EXECUTION_STATUS_"


class Reuse(StrEnum):
    """What becomes of an id whose activity is over."""

    ALLOW_DUPLICATE = "AllowDuplicate"
    ALLOW_DUPLICATE_FAILED_ONLY = "AllowDuplicateFailedOnly"
    REJECT_DUPLICATE = "RejectDuplicate"


class Conflict(StrEnum):
    """What becomes of an id whose activity goes on."""

    FAIL = "Fail"
    USE_EXISTING = "UseExisting"


IdOption = Annotated[str, typer.Option("--activity-id", "-a", help="Which activity.")]
RunOption = Annotated[
    str, typer.Option("--run-id", "-r", help="Which run; the latest, by default.")
]
TypeOption = Annotated[str, typer.Option("--type", help="Which activity, by its name.")]
QueueOption = Annotated[str, typer.Option("--task-queue", "-t", help="Whose workers shall run it.")]
Timeout = Annotated[timedelta | None, duration_option("At most so long, such as 30s.")]
DelayOption = Annotated[timedelta | None, duration_option("Not before so long, such as 1h.")]
ReuseOption = Annotated[Reuse | None, typer.Option("--id-reuse-policy", case_sensitive=False)]
ConflictOption = Annotated[
    Conflict | None, typer.Option("--id-conflict-policy", case_sensitive=False)
]
AttemptsOption = Annotated[
    int | None, typer.Option("--retry-maximum-attempts", min=0, help="0: as many as it takes.")
]
SummaryOption = Annotated[str, typer.Option("--static-summary", help="A line that labels it.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why.")]
QueryOption = Annotated[str, typer.Option("--query", "-q", help="Of which this is true.")]


def start(
    activity_id: IdOption,
    activity_type: TypeOption,
    task_queue: QueueOption,
    input_: InputOption = [],  # noqa: B006 -- typer makes a list of its own
    input_file: InputFileOption = [],  # noqa: B006
    schedule_to_close_timeout: Timeout = None,
    schedule_to_start_timeout: Timeout = None,
    start_to_close_timeout: Timeout = None,
    heartbeat_timeout: Timeout = None,
    start_delay: DelayOption = None,
    retry_maximum_attempts: AttemptsOption = None,
    id_reuse_policy: ReuseOption = None,
    id_conflict_policy: ConflictOption = None,
    static_summary: SummaryOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Start an activity without a workflow, and tell its run."""
    run_id = _start(
        Target(address, namespace),
        (activity_id, activity_type, task_queue),
        inputs_from(input_, input_file),
        {
            "schedule_to_close_timeout": schedule_to_close_timeout,
            "schedule_to_start_timeout": schedule_to_start_timeout,
            "start_to_close_timeout": start_to_close_timeout,
            "heartbeat_timeout": heartbeat_timeout,
            "start_delay": start_delay,
        },
        retry_maximum_attempts,
        (id_reuse_policy, id_conflict_policy),
        static_summary,
    )
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"activityId": activity_id, "runId": run_id, "done": "started"})
    else:
        say(f"activity {activity_id}: started, run {run_id}")


def execute(
    activity_id: IdOption,
    activity_type: TypeOption,
    task_queue: QueueOption,
    input_: InputOption = [],  # noqa: B006 -- typer makes a list of its own
    input_file: InputFileOption = [],  # noqa: B006
    schedule_to_close_timeout: Timeout = None,
    schedule_to_start_timeout: Timeout = None,
    start_to_close_timeout: Timeout = None,
    heartbeat_timeout: Timeout = None,
    start_delay: DelayOption = None,
    retry_maximum_attempts: AttemptsOption = None,
    id_reuse_policy: ReuseOption = None,
    id_conflict_policy: ConflictOption = None,
    static_summary: SummaryOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Start an activity without a workflow, wait for it, and print its result."""
    target = Target(address, namespace)
    run_id = _start(
        target,
        (activity_id, activity_type, task_queue),
        inputs_from(input_, input_file),
        {
            "schedule_to_close_timeout": schedule_to_close_timeout,
            "schedule_to_start_timeout": schedule_to_start_timeout,
            "start_to_close_timeout": start_to_close_timeout,
            "heartbeat_timeout": heartbeat_timeout,
            "start_delay": start_delay,
        },
        retry_maximum_attempts,
        (id_reuse_policy, id_conflict_policy),
        static_summary,
    )
    _show_result(target, activity_id, run_id, as_json=as_json)


def result(
    activity_id: IdOption,
    run_id: RunOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Wait for an activity without a workflow, and print its result."""
    _show_result(Target(address, namespace), activity_id, run_id, as_json=as_json)


def describe(
    activity_id: IdOption,
    run_id: RunOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Show how an activity without a workflow stands."""
    from temporalio.api.workflowservice.v1 import (
        DescribeActivityExecutionRequest,
        DescribeActivityExecutionResponse,
    )

    from perdure.cli import asking

    LISTING.set(LIST_COMMAND)
    request = DescribeActivityExecutionRequest(
        namespace=namespace,
        activity_id=activity_id,
        run_id=run_id,
        include_heartbeat_details=True,
        include_last_failure=True,
    )
    found = asking.ask(Target(address, namespace), request, DescribeActivityExecutionResponse)
    if as_json:
        from perdure.cli.terminal import print_json

        print_json(asking.as_json(found.info))
        return
    from perdure.cli.rendering.tables import print_pairs

    print_pairs(_pairs_of(found.info))


def list_all(
    query: QueryOption = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 1000,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """List activities without a workflow, the newest first. JSON is one a line."""
    from temporalio.api.workflowservice.v1 import (
        ListActivityExecutionsRequest,
        ListActivityExecutionsResponse,
    )

    from perdure.cli import asking

    target = Target(address, namespace)
    request = ListActivityExecutionsRequest(namespace=namespace, query=query)
    found: list[Any] = []
    while len(found) < limit:
        request.page_size = min(PAGE, limit - len(found))
        page = asking.ask(target, request, ListActivityExecutionsResponse)
        found += page.executions
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    if as_json:
        from perdure.cli.terminal import print_json

        for one in found:
            print_json(asking.as_json(one))
        return
    from perdure.cli.rendering.tables import print_rows
    from perdure.cli.rendering.times import local

    rows = [
        (
            one.activity_id,
            _status(one.status),
            one.activity_type.name,
            one.task_queue,
            local(one.schedule_time.ToDatetime(tzinfo=UTC)),
        )
        for one in found
    ]
    print_rows(("ACTIVITY ID", "STATUS", "TYPE", "TASK QUEUE", "SCHEDULED"), rows)


def count(
    query: QueryOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Count activities without a workflow."""
    from temporalio.api.workflowservice.v1 import (
        CountActivityExecutionsRequest,
        CountActivityExecutionsResponse,
    )

    from perdure.cli.asking import ask
    from perdure.cli.rendering.payloads import json_value

    request = CountActivityExecutionsRequest(namespace=namespace, query=query)
    found = ask(Target(address, namespace), request, CountActivityExecutionsResponse)
    groups = [
        ([json_value(one) for one in group.group_values], group.count) for group in found.groups
    ]
    if as_json:
        from perdure.cli.terminal import print_json

        told: dict[str, Any] = {"count": found.count}
        if groups:
            told["groups"] = [{"values": values, "count": number} for values, number in groups]
        print_json(told)
        return
    say(f"{found.count:,}")
    for values, number in groups:
        say(f"{', '.join(map(str, values))}: {number:,}")


def cancel(
    activity_id: IdOption,
    run_id: RunOption = "",
    reason: ReasonOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Ask an activity without a workflow to stop. Its worker hears of it with a heartbeat."""
    from temporalio.api.workflowservice.v1 import (
        RequestCancelActivityExecutionRequest,
        RequestCancelActivityExecutionResponse,
    )

    from perdure.cli.asking import ask, identity

    LISTING.set(LIST_COMMAND)
    request = RequestCancelActivityExecutionRequest(
        namespace=namespace,
        activity_id=activity_id,
        run_id=run_id,
        reason=reason,
        identity=identity(),
    )
    ask(Target(address, namespace), request, RequestCancelActivityExecutionResponse)
    _tell(activity_id, "cancellation requested", as_json=as_json)


def terminate(
    activity_id: IdOption,
    run_id: RunOption = "",
    reason: ReasonOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """End an activity without a workflow at once."""
    from temporalio.api.workflowservice.v1 import (
        TerminateActivityExecutionRequest,
        TerminateActivityExecutionResponse,
    )

    from perdure.cli.asking import ask, identity

    LISTING.set(LIST_COMMAND)
    request = TerminateActivityExecutionRequest(
        namespace=namespace,
        activity_id=activity_id,
        run_id=run_id,
        reason=reason,
        identity=identity(),
    )
    ask(Target(address, namespace), request, TerminateActivityExecutionResponse)
    _tell(activity_id, "terminated", as_json=as_json)


def delete(
    activity_id: IdOption,
    run_id: RunOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Forget an activity without a workflow."""
    from temporalio.api.workflowservice.v1 import (
        DeleteActivityExecutionRequest,
        DeleteActivityExecutionResponse,
    )

    from perdure.cli.asking import ask

    LISTING.set(LIST_COMMAND)
    request = DeleteActivityExecutionRequest(
        namespace=namespace, activity_id=activity_id, run_id=run_id
    )
    ask(Target(address, namespace), request, DeleteActivityExecutionResponse)
    _tell(activity_id, "deleted", as_json=as_json)


# ---- start


def _start(
    target: Target,
    names: tuple[str, str, str],
    arguments: list[Any],
    times: dict[str, timedelta | None],
    attempts_max: int | None,
    policies: tuple[Reuse | None, Conflict | None],
    summary: str,
) -> str:
    from uuid import uuid4

    from temporalio.api.common.v1 import ActivityType
    from temporalio.api.enums.v1 import ActivityIdConflictPolicy, ActivityIdReusePolicy
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import (
        StartActivityExecutionRequest,
        StartActivityExecutionResponse,
    )

    from perdure.cli.asking import ask, identity, payloads_of, to_duration

    activity_id, activity_type, task_queue = names
    request = StartActivityExecutionRequest(
        namespace=target.namespace,
        activity_id=activity_id,
        activity_type=ActivityType(name=activity_type),
        task_queue=TaskQueue(name=task_queue),
        identity=identity(),
        request_id=str(uuid4()),
        input=payloads_of(arguments) if arguments else None,
    )
    for field, length in times.items():
        if length is not None:
            getattr(request, field).CopyFrom(to_duration(length))
    if attempts_max is not None:
        request.retry_policy.maximum_attempts = attempts_max
    reuse, conflict = policies
    if reuse is not None:
        name = f"ACTIVITY_ID_REUSE_POLICY_{reuse.name}"
        request.id_reuse_policy = ActivityIdReusePolicy.Value(name)
    if conflict is not None:
        name = f"ACTIVITY_ID_CONFLICT_POLICY_{conflict.name}"
        request.id_conflict_policy = ActivityIdConflictPolicy.Value(name)
    if summary:
        request.user_metadata.summary.CopyFrom(payloads_of([summary]).payloads[0])
    return ask(target, request, StartActivityExecutionResponse).run_id


# ---- result


def _show_result(target: Target, activity_id: str, run_id: str, *, as_json: bool) -> None:
    """Print the result; what failed ends the command."""
    found = _waited_for(target, activity_id, run_id)
    from perdure.cli import asking
    from perdure.cli.rendering.failures import failure_lines
    from perdure.cli.rendering.payloads import brief_all, json_value
    from perdure.cli.terminal import print_json

    has_failed = found.outcome.HasField("failure")
    payloads = found.outcome.result.payloads
    if as_json:
        told: dict[str, Any] = {"activityId": activity_id, "runId": found.run_id}
        if has_failed:
            told["failure"] = asking.as_json(found.outcome.failure)
        else:
            told["result"] = json_value(payloads[0]) if payloads else None
        print_json(told)
    elif has_failed:
        say("\n".join(failure_lines(found.outcome.failure)), err=True)
    else:
        say(brief_all(payloads, length_max=2**31))
    if has_failed:
        raise typer.Exit(REFUSED)


def _waited_for(target: Target, activity_id: str, run_id: str) -> PollActivityExecutionResponse:
    from temporalio.api.workflowservice.v1 import (
        PollActivityExecutionRequest,
        PollActivityExecutionResponse,
    )

    from perdure.cli.asking import asked
    from perdure.cli.calling import call

    LISTING.set(LIST_COMMAND)
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
    from perdure.cli.rendering.payloads import brief, brief_all
    from perdure.cli.rendering.times import local, took

    def time(name: str) -> str:
        if not info.HasField(name):  # type: ignore[arg-type]
            return ""
        return local(getattr(info, name).ToDatetime(tzinfo=UTC))

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
        ("next attempt", time("next_attempt_schedule_time")),
        ("scheduled", time("schedule_time")),
        ("started", time("last_started_time")),
        ("expires", time("expiration_time")),
        ("closed", time("close_time")),
        (
            "took",
            took(info.execution_duration.ToTimedelta().total_seconds())
            if info.HasField("close_time")
            else "",
        ),
        ("canceled because", info.canceled_reason),
        (
            "summary",
            brief(info.user_metadata.summary) if info.user_metadata.HasField("summary") else "",
        ),
    ]


def _status(status: int) -> str:
    from temporalio.api.enums.v1 import ActivityExecutionStatus

    from perdure.cli.rendering.failures import enum_words

    name = ActivityExecutionStatus.Name(status)  # type: ignore[arg-type]
    return enum_words(name, _STATUS_PREFIX)


def _tell(activity_id: str, done: str, *, as_json: bool) -> None:
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"activity": activity_id, "done": done})
    else:
        say(f"activity {activity_id}: {done}")


def add_commands(app: typer.Typer) -> None:
    """Give `perdure activity` the commands of this module."""
    app.command("start")(start)
    app.command("execute")(execute)
    app.command("result")(result)
    app.command("describe")(describe)
    app.command("list")(list_all)
    app.command("count")(count)
    app.command("cancel")(cancel)
    app.command("terminate")(terminate)
    app.command("delete")(delete)
