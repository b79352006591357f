"""`perdure task-queue`: who polls a task queue, what waits on it, and what limits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.calling import Target
from perdure.cli.parameters import DEFAULT_ADDRESS, AddressOption, JsonOption, NamespaceOption
from perdure.cli.saying import say

if TYPE_CHECKING:
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueResponse

task_queues = typer.Typer(
    name="task-queue", help="Look at task queues, and limit them.", no_args_is_help=True
)
QueueArgument = Annotated[str, typer.Argument(metavar="TASK_QUEUE", help="Which task queue.")]
KINDS = {"workflow": 1, "activity": 2}
Kind = Annotated[
    str | None,
    typer.Option("--type", help="workflow or activity; both, unless given.", show_default=False),
]


@task_queues.command("describe")
def describe(
    task_queue: QueueArgument,
    kind: Kind = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell who polls a task queue, how much waits on it, and what limits it."""
    found = {
        name: _described(Target(address, namespace), task_queue, number)
        for name, number in KINDS.items()
        if kind in (None, name)
    }
    if not found:
        raise typer.BadParameter(f"{kind!r} is none of workflow, activity", param_hint="--type")
    from perdure.cli import asking
    from perdure.cli.rendering.tables import print_rows
    from perdure.cli.terminal import print_json

    if as_json:
        print_json({name: asking.as_json(one) for name, one in found.items()})
        return
    print_rows(
        ("TYPE", "WAITING", "OLDEST", "ADDED/S", "TAKEN/S", "LIMIT/S", "POLLERS"),
        [(name, *_row(one)) for name, one in found.items()],
    )
    pollers = [(name, poller) for name, one in found.items() for poller in one.pollers]
    if pollers:
        say("")
        print_rows(
            ("TYPE", "POLLER", "LAST SEEN", "LIMIT/S"),
            [
                (
                    name,
                    poller.identity,
                    _time(poller.last_access_time.seconds),
                    f"{poller.rate_per_second:g}",
                )
                for name, poller in pollers
            ],
        )


@task_queues.command("config")
def config(
    task_queue: QueueArgument,
    kind: Annotated[str, typer.Option("--type", help="workflow or activity.")] = "activity",
    limit: Annotated[
        float | None, typer.Option("--rps", min=0, help="How many tasks a second at most.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Take the limit away.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Limit how many tasks of a queue are given out, or limit it no more."""
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import RateLimit
    from temporalio.api.workflowservice.v1 import (
        UpdateTaskQueueConfigRequest,
        UpdateTaskQueueConfigResponse,
    )

    from perdure.cli import asking

    if kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is none of workflow, activity", param_hint="--type")
    if unlimited == (limit is not None):
        raise typer.BadParameter("give --rps or --unlimited", param_hint="--rps")
    request = UpdateTaskQueueConfigRequest(
        namespace=namespace,
        identity=asking.identity(),
        task_queue=task_queue,
        task_queue_type=TaskQueueType.ValueType(KINDS[kind]),
    )
    request.update_queue_rate_limit.reason = reason
    if limit is not None:
        rate = RateLimit(requests_per_second=limit)
        request.update_queue_rate_limit.rate_limit.CopyFrom(rate)
    found = asking.ask(Target(address, namespace), request, UpdateTaskQueueConfigResponse)
    if as_json:
        from perdure.cli.terminal import print_json

        print_json(asking.as_json(found))
    else:
        told = "is not limited any more" if limit is None else f"is limited to {limit:g} a second"
        say(f"{kind} tasks of {task_queue}: what is given out {told}")


def _described(target: Target, task_queue: str, kind: int) -> DescribeTaskQueueResponse:
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import (
        DescribeTaskQueueRequest,
        DescribeTaskQueueResponse,
    )

    from perdure.cli.asking import ask

    request = DescribeTaskQueueRequest(
        namespace=target.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.ValueType(kind),
        report_stats=True,
        report_config=True,
    )
    return ask(target, request, DescribeTaskQueueResponse)


def _row(described: DescribeTaskQueueResponse) -> tuple[object, ...]:
    from perdure.cli.rendering.times import took

    statistics = described.stats
    limit = described.config.queue_rate_limit.rate_limit.requests_per_second
    age = statistics.approximate_backlog_age.ToTimedelta().total_seconds()
    return (
        statistics.approximate_backlog_count,
        took(age) if age else "",
        f"{statistics.tasks_add_rate:.1f}",
        f"{statistics.tasks_dispatch_rate:.1f}",
        f"{limit:g}" if limit else "",
        len(described.pollers),
    )


def _time(seconds: int) -> str:
    from datetime import UTC, datetime

    from perdure.cli.rendering.times import local

    return local(datetime.fromtimestamp(seconds, UTC))
