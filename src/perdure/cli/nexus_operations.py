"""`perdure nexus operation`: operations that no workflow calls."""

from __future__ import annotations

from datetime import UTC, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.calling import Target
from perdure.cli.exits import MISUSED, REFUSED, fail
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
    from temporalio.api.nexus.v1 import NexusOperationExecutionInfo
    from temporalio.api.workflowservice.v1 import PollNexusOperationExecutionResponse

operations = typer.Typer(
    name="operation",
    help="Start operations without a workflow, and look after them.",
    no_args_is_help=True,
)

PAGE = 100
_STATUS_PREFIX = "NEXUS_OPERATION_EXECUTION_STATUS_"
_STATE_PREFIX = "PENDING_NEXUS_OPERATION_STATE_"


class Reuse(StrEnum):
    """What becomes of an id whose operation is over."""

    ALLOW_DUPLICATE = "AllowDuplicate"
    ALLOW_DUPLICATE_FAILED_ONLY = "AllowDuplicateFailedOnly"
    REJECT_DUPLICATE = "RejectDuplicate"


class Conflict(StrEnum):
    """What becomes of an id whose operation goes on."""

    FAIL = "Fail"
    USE_EXISTING = "UseExisting"


IdOption = Annotated[str, typer.Option("--operation-id", help="Which operation.")]
RunOption = Annotated[
    str, typer.Option("--run-id", "-r", help="Which run; the latest, by default.")
]
EndpointOption = Annotated[str, typer.Option("--endpoint", help="Where it is called.")]
ServiceOption = Annotated[str, typer.Option("--service", help="Of which service it is.")]
OperationOption = Annotated[str, typer.Option("--operation", help="What it is called.")]
Timeout = Annotated[timedelta | None, duration_option("At most so long, such as 30s.")]
ReuseOption = Annotated[Reuse | None, typer.Option("--id-reuse-policy", case_sensitive=False)]
ConflictOption = Annotated[
    Conflict | None, typer.Option("--id-conflict-policy", case_sensitive=False)
]
SummaryOption = Annotated[str, typer.Option("--static-summary", help="A line that labels it.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why.")]
QueryOption = Annotated[str, typer.Option("--query", "-q", help="Of which this is true.")]


@operations.command("start")
def start(
    operation_id: IdOption,
    endpoint: EndpointOption,
    service: ServiceOption,
    operation: OperationOption,
    input_: InputOption = [],  # noqa: B006 -- typer makes a list of its own
    input_file: InputFileOption = [],  # noqa: B006
    schedule_to_close_timeout: Timeout = None,
    schedule_to_start_timeout: Timeout = None,
    start_to_close_timeout: Timeout = None,
    id_reuse_policy: ReuseOption = None,
    id_conflict_policy: ConflictOption = None,
    static_summary: SummaryOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Start an operation, and tell its run."""
    timeouts = (schedule_to_close_timeout, schedule_to_start_timeout, start_to_close_timeout)
    request = _start_request(
        (operation_id, endpoint, service, operation), input_, input_file, timeouts, static_summary
    )
    run_id = _start(Target(address, namespace), request, id_reuse_policy, id_conflict_policy)
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"operationId": operation_id, "runId": run_id, "done": "started"})
    else:
        say(f"operation {operation_id}: started, run {run_id}")


@operations.command("execute")
def execute(
    operation_id: IdOption,
    endpoint: EndpointOption,
    service: ServiceOption,
    operation: OperationOption,
    input_: InputOption = [],  # noqa: B006 -- typer makes a list of its own
    input_file: InputFileOption = [],  # noqa: B006
    schedule_to_close_timeout: Timeout = None,
    schedule_to_start_timeout: Timeout = None,
    start_to_close_timeout: Timeout = None,
    id_reuse_policy: ReuseOption = None,
    id_conflict_policy: ConflictOption = None,
    static_summary: SummaryOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Start an operation, wait for it, and print its result."""
    timeouts = (schedule_to_close_timeout, schedule_to_start_timeout, start_to_close_timeout)
    request = _start_request(
        (operation_id, endpoint, service, operation), input_, input_file, timeouts, static_summary
    )
    target = Target(address, namespace)
    run_id = _start(target, request, id_reuse_policy, id_conflict_policy)
    _show_result(target, operation_id, run_id, as_json=as_json)


@operations.command("result")
def result(
    operation_id: IdOption,
    run_id: RunOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Wait for an operation, and print its result."""
    _show_result(Target(address, namespace), operation_id, run_id, as_json=as_json)


@operations.command("describe")
def describe(
    operation_id: IdOption,
    run_id: RunOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Show how an operation stands."""
    from temporalio.api.workflowservice.v1 import (
        DescribeNexusOperationExecutionRequest,
        DescribeNexusOperationExecutionResponse,
    )

    from perdure.cli import asking

    request = DescribeNexusOperationExecutionRequest(
        namespace=namespace, operation_id=operation_id, run_id=run_id
    )
    target = Target(address, namespace)
    found = asking.ask(target, request, DescribeNexusOperationExecutionResponse)
    if as_json:
        from perdure.cli.terminal import print_json

        print_json(asking.as_json(found.info))
        return
    from perdure.cli.rendering.tables import print_pairs

    print_pairs(_pairs_of(found.info))


@operations.command("list")
def list_all(
    query: QueryOption = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 1000,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """List operations, the newest first."""
    from temporalio.api.workflowservice.v1 import (
        ListNexusOperationExecutionsRequest,
        ListNexusOperationExecutionsResponse,
    )

    from perdure.cli import asking

    target = Target(address, namespace)
    request = ListNexusOperationExecutionsRequest(namespace=namespace, query=query)
    found: list[Any] = []
    while len(found) < limit:
        request.page_size = min(PAGE, limit - len(found))
        page = asking.ask(target, request, ListNexusOperationExecutionsResponse)
        found += page.operations
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    if as_json:
        from perdure.cli.terminal import print_json

        print_json([asking.as_json(one) for one in found])
        return
    from perdure.cli.rendering.tables import print_rows
    from perdure.cli.rendering.times import local

    rows = [
        (
            one.operation_id,
            _status(one.status),
            f"{one.service}.{one.operation}",
            one.endpoint,
            local(one.schedule_time.ToDatetime(tzinfo=UTC)),
        )
        for one in found
    ]
    print_rows(("OPERATION ID", "STATUS", "OPERATION", "ENDPOINT", "SCHEDULED"), rows)


@operations.command("count")
def count(
    query: QueryOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Count operations."""
    from temporalio.api.workflowservice.v1 import (
        CountNexusOperationExecutionsRequest,
        CountNexusOperationExecutionsResponse,
    )

    from perdure.cli.asking import ask
    from perdure.cli.rendering.payloads import json_value

    request = CountNexusOperationExecutionsRequest(namespace=namespace, query=query)
    found = ask(Target(address, namespace), request, CountNexusOperationExecutionsResponse)
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


@operations.command("cancel")
def cancel(
    operation_id: IdOption,
    run_id: RunOption = "",
    reason: ReasonOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Ask the handler of an operation to cancel it."""
    from temporalio.api.workflowservice.v1 import (
        RequestCancelNexusOperationExecutionRequest,
        RequestCancelNexusOperationExecutionResponse,
    )

    from perdure.cli.asking import ask, identity

    request = RequestCancelNexusOperationExecutionRequest(
        namespace=namespace,
        operation_id=operation_id,
        run_id=run_id,
        reason=reason,
        identity=identity(),
    )
    ask(Target(address, namespace), request, RequestCancelNexusOperationExecutionResponse)
    _tell(operation_id, "cancellation requested", as_json=as_json)


@operations.command("terminate")
def terminate(
    operation_id: IdOption,
    run_id: RunOption = "",
    reason: ReasonOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """End an operation at once. Its handler is not told."""
    from temporalio.api.workflowservice.v1 import (
        TerminateNexusOperationExecutionRequest,
        TerminateNexusOperationExecutionResponse,
    )

    from perdure.cli.asking import ask, identity

    request = TerminateNexusOperationExecutionRequest(
        namespace=namespace,
        operation_id=operation_id,
        run_id=run_id,
        reason=reason,
        identity=identity(),
    )
    ask(Target(address, namespace), request, TerminateNexusOperationExecutionResponse)
    _tell(operation_id, "terminated", as_json=as_json)


# ---- start


def _start_request(
    names: tuple[str, str, str, str],
    texts: list[str],
    files: list[Path],
    timeouts: tuple[timedelta | None, ...],
    summary: str,
) -> Any:
    from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionRequest

    from perdure.cli.asking import identity, payloads_of, to_duration

    operation_id, endpoint, service, operation = names
    values = inputs_from(texts, files)
    if len(values) > 1:
        fail("an operation has one input: give --input or --input-file once", MISUSED)
    request = StartNexusOperationExecutionRequest(
        operation_id=operation_id,
        endpoint=endpoint,
        service=service,
        operation=operation,
        identity=identity(),
        input=payloads_of(values).payloads[0] if values else None,
    )
    fields = ("schedule_to_close_timeout", "schedule_to_start_timeout", "start_to_close_timeout")
    for field, timeout in zip(fields, timeouts, strict=True):
        if timeout is not None:
            getattr(request, field).CopyFrom(to_duration(timeout))
    if summary:
        request.user_metadata.summary.CopyFrom(payloads_of([summary]).payloads[0])
    return request


def _start(target: Target, request: Any, reuse: Reuse | None, conflict: Conflict | None) -> str:
    from uuid import uuid4

    from temporalio.api.enums.v1 import NexusOperationIdConflictPolicy, NexusOperationIdReusePolicy
    from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionResponse

    from perdure.cli.asking import ask

    request.namespace, request.request_id = target.namespace, str(uuid4())
    if reuse is not None:
        name = f"NEXUS_OPERATION_ID_REUSE_POLICY_{reuse.name}"
        request.id_reuse_policy = NexusOperationIdReusePolicy.Value(name)
    if conflict is not None:
        name = f"NEXUS_OPERATION_ID_CONFLICT_POLICY_{conflict.name}"
        request.id_conflict_policy = NexusOperationIdConflictPolicy.Value(name)
    return ask(target, request, StartNexusOperationExecutionResponse).run_id


# ---- result


def _show_result(target: Target, operation_id: str, run_id: str, *, as_json: bool) -> None:
    """Print the result; what failed ends the command."""
    found = _waited_for(target, operation_id, run_id)
    from perdure.cli import asking
    from perdure.cli.rendering.failures import failure_lines
    from perdure.cli.rendering.payloads import brief, json_value
    from perdure.cli.terminal import print_json

    has_failed = found.HasField("failure")
    if as_json:
        told: dict[str, Any] = {"operationId": operation_id, "runId": found.run_id}
        if has_failed:
            told["failure"] = asking.as_json(found.failure)
        else:
            told["result"] = json_value(found.result)
        print_json(told)
    elif has_failed:
        say("\n".join(failure_lines(found.failure)), err=True)
    else:
        say(brief(found.result, length_max=2**31))
    if has_failed:
        raise typer.Exit(REFUSED)


def _waited_for(
    target: Target, operation_id: str, run_id: str
) -> PollNexusOperationExecutionResponse:
    from temporalio.api.enums.v1 import NexusOperationWaitStage
    from temporalio.api.workflowservice.v1 import (
        PollNexusOperationExecutionRequest,
        PollNexusOperationExecutionResponse,
    )

    from perdure.cli.asking import asked
    from perdure.cli.calling import call

    request = PollNexusOperationExecutionRequest(
        namespace=target.namespace,
        operation_id=operation_id,
        run_id=run_id,
        wait_stage=NexusOperationWaitStage.NEXUS_OPERATION_WAIT_STAGE_CLOSED,
    )

    async def wait(client: Any) -> PollNexusOperationExecutionResponse:
        while True:
            found = await asked(client, request, PollNexusOperationExecutionResponse)
            if found.run_id:
                return found

    return call(target, wait)


# ---- describe


def _pairs_of(info: NexusOperationExecutionInfo) -> list[tuple[str, object]]:
    from temporalio.api.enums.v1 import NexusOperationCancellationState, PendingNexusOperationState

    from perdure.cli.rendering.failures import enum_words, failure_lines
    from perdure.cli.rendering.payloads import brief
    from perdure.cli.rendering.times import local, took

    def time(name: str) -> str:
        if not info.HasField(name):  # type: ignore[arg-type]
            return ""
        return local(getattr(info, name).ToDatetime(tzinfo=UTC))

    state = enum_words(PendingNexusOperationState.Name(info.state), _STATE_PREFIX)
    failures = (
        failure_lines(info.last_attempt_failure) if info.last_attempt_failure.ByteSize() else []
    )
    cancellation = ""
    if info.HasField("cancellation_info"):
        asked = info.cancellation_info
        name = NexusOperationCancellationState.Name(asked.state)
        cancellation = enum_words(name, "NEXUS_OPERATION_CANCELLATION_STATE_")
        cancellation += f" ({asked.reason})" if asked.reason else ""
    return [
        ("operation id", info.operation_id),
        ("run id", info.run_id),
        ("endpoint", info.endpoint),
        ("operation", f"{info.service}.{info.operation}"),
        ("status", _status(info.status)),
        ("state", state if info.state else ""),
        ("blocked", info.blocked_reason),
        ("attempt", info.attempt),
        ("last failure", "\n".join(failures)),
        ("next attempt", time("next_attempt_schedule_time")),
        ("cancellation", cancellation),
        ("scheduled", time("schedule_time")),
        ("expires", time("expiration_time")),
        ("closed", time("close_time")),
        ("took", took(info.execution_duration.ToTimedelta().total_seconds())),
        ("token", info.operation_token),
        ("started by", info.identity),
        (
            "summary",
            brief(info.user_metadata.summary) if info.user_metadata.HasField("summary") else "",
        ),
    ]


def _status(status: int) -> str:
    from temporalio.api.enums.v1 import NexusOperationExecutionStatus

    from perdure.cli.rendering.failures import enum_words

    name = NexusOperationExecutionStatus.Name(status)  # type: ignore[arg-type]
    return enum_words(name, _STATUS_PREFIX)


def _tell(operation_id: str, done: str, *, as_json: bool) -> None:
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"operation": operation_id, "done": done})
    else:
        say(f"operation {operation_id}: {done}")
