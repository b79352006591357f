"""`perdure nexus operation`: operations that no workflow calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from perdure.cli.calling import LISTING, Target
from perdure.cli.exits import MISUSED, fail
from perdure.cli.groups import with_groups
from perdure.cli.standalone import (
    Inputs,
    Kind,
    LimitOption,
    Place,
    QueryOption,
    ReasonOption,
    RunOption,
    Starting,
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
    from temporalio.api.nexus.v1 import NexusOperationExecutionInfo
    from temporalio.api.workflowservice.v1 import PollNexusOperationExecutionResponse

OPERATIONS: Final = Kind(
    "operation", "operationId", "NEXUS_OPERATION", "perdure nexus operation list"
)
_STATUS_PREFIX = "NEXUS_OPERATION_EXECUTION_STATUS_"
_STATE_PREFIX = "PENDING_NEXUS_OPERATION_STATE_"

IdOption = Annotated[str, typer.Option("--operation-id", help="Which operation.")]


@dataclass(frozen=True)
class What:
    """Which operation starts, and where."""

    operation_id: IdOption
    endpoint: Annotated[str, typer.Option("--endpoint", help="Where it is called.")]
    service: Annotated[str, typer.Option("--service", help="Of which service it is.")]
    operation: Annotated[str, typer.Option("--operation", help="What it is called.")]


def start(what: What, inputs: Inputs, timeouts: Timeouts, starting: Starting, place: Place) -> None:
    """Start an operation, and tell its run."""
    run_id = _started(place.target, _start_request(what, inputs, timeouts), starting)
    tell_started(OPERATIONS, place, what.operation_id, run_id)


def execute(
    what: What, inputs: Inputs, timeouts: Timeouts, starting: Starting, place: Place
) -> None:
    """Start an operation, wait for it, and print its result."""
    run_id = _started(place.target, _start_request(what, inputs, timeouts), starting)
    _show_result(place, what.operation_id, run_id)


def result(operation_id: IdOption, run_id: RunOption = "", *, place: Place) -> None:
    """Wait for an operation, and print its result."""
    _show_result(place, operation_id, run_id)


def describe(operation_id: IdOption, run_id: RunOption = "", *, place: Place) -> None:
    """Show how an operation stands."""
    from temporalio.api.workflowservice.v1 import (
        DescribeNexusOperationExecutionRequest,
        DescribeNexusOperationExecutionResponse,
    )

    from perdure.cli.asking import ask

    LISTING.set(OPERATIONS.list_command)
    request = DescribeNexusOperationExecutionRequest(
        namespace=place.namespace, operation_id=operation_id, run_id=run_id
    )
    found = ask(place.target, request, DescribeNexusOperationExecutionResponse)
    show_info(place, found.info, _pairs_of)


def list_all(query: QueryOption = "", limit: LimitOption = 1000, *, place: Place) -> None:
    """List operations, the newest first. JSON is one a line."""
    from temporalio.api.workflowservice.v1 import (
        ListNexusOperationExecutionsRequest,
        ListNexusOperationExecutionsResponse,
    )

    def row_of(one: Any) -> tuple[object, ...]:
        called = f"{one.service}.{one.operation}"
        scheduled = time_of(one, "schedule_time")
        return (one.operation_id, _status(one.status), called, one.endpoint, scheduled)

    head = ("OPERATION ID", "STATUS", "OPERATION", "ENDPOINT", "SCHEDULED")
    request = ListNexusOperationExecutionsRequest(query=query)
    show_list(place, request, ListNexusOperationExecutionsResponse, limit, (head, row_of))


def count(query: QueryOption = "", *, place: Place) -> None:
    """Count operations."""
    from temporalio.api.workflowservice.v1 import (
        CountNexusOperationExecutionsRequest,
        CountNexusOperationExecutionsResponse,
    )

    request = CountNexusOperationExecutionsRequest(query=query)
    show_count(place, request, CountNexusOperationExecutionsResponse)


def cancel(
    operation_id: IdOption, run_id: RunOption = "", reason: ReasonOption = "", *, place: Place
) -> None:
    """Ask the handler of an operation to cancel it."""
    from temporalio.api.workflowservice.v1 import (
        RequestCancelNexusOperationExecutionRequest,
        RequestCancelNexusOperationExecutionResponse,
    )

    request = RequestCancelNexusOperationExecutionRequest(
        operation_id=operation_id, run_id=run_id, reason=reason
    )
    response = RequestCancelNexusOperationExecutionResponse
    act(OPERATIONS, place, request, response, "cancellation requested")


def terminate(
    operation_id: IdOption, run_id: RunOption = "", reason: ReasonOption = "", *, place: Place
) -> None:
    """End an operation at once. Its handler is not told."""
    from temporalio.api.workflowservice.v1 import (
        TerminateNexusOperationExecutionRequest,
        TerminateNexusOperationExecutionResponse,
    )

    request = TerminateNexusOperationExecutionRequest(
        operation_id=operation_id, run_id=run_id, reason=reason
    )
    act(OPERATIONS, place, request, TerminateNexusOperationExecutionResponse, "terminated")


# ---- start


def _start_request(what: What, inputs: Inputs, timeouts: Timeouts) -> Any:
    from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionRequest

    from perdure.cli.asking import payloads_of

    values = inputs.values()
    if len(values) > 1:
        fail("an operation has one input: give --input or --input-file once", MISUSED)
    request = StartNexusOperationExecutionRequest(
        **vars(what), input=payloads_of(values).payloads[0] if values else None
    )
    set_durations(request, timeouts)
    return request


def _started(target: Target, request: Any, starting: Starting) -> str:
    from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionResponse

    return started(OPERATIONS, target, request, StartNexusOperationExecutionResponse, starting)


# ---- result


def _show_result(place: Place, operation_id: str, run_id: str) -> None:
    """Print the result; what failed ends the command."""
    found = _waited_for(place.target, operation_id, run_id)
    told = {"operationId": operation_id, "runId": found.run_id}
    failure = found.failure if found.HasField("failure") else None
    show_outcome(place, told, [found.result], failure)


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

    LISTING.set(OPERATIONS.list_command)
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
    from perdure.cli.rendering.times import took

    state = enum_words(PendingNexusOperationState.Name(info.state), _STATE_PREFIX)
    failures = (
        failure_lines(info.last_attempt_failure) if info.last_attempt_failure.ByteSize() else []
    )
    cancellation = ""
    if info.HasField("cancellation_info"):
        asked = info.cancellation_info
        name = NexusOperationCancellationState.Name(asked.state)
        # Only an operation that is started can be canceled: until then nothing becomes of it.
        words = enum_words(name, "NEXUS_OPERATION_CANCELLATION_STATE_")
        cancellation = words if asked.state else "requested"
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
        ("next attempt", time_of(info, "next_attempt_schedule_time")),
        ("cancellation", cancellation),
        ("scheduled", time_of(info, "schedule_time")),
        ("expires", time_of(info, "expiration_time")),
        ("closed", time_of(info, "close_time")),
        ("took", took(info.execution_duration.ToTimedelta().total_seconds())),
        ("token", info.operation_token),
        ("started by", info.identity),
        ("summary", summary_of(info)),
    ]


def _status(status: int) -> str:
    from temporalio.api.enums.v1 import NexusOperationExecutionStatus

    from perdure.cli.rendering.failures import enum_words

    name = NexusOperationExecutionStatus.Name(status)  # type: ignore[arg-type]
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
}

operations = typer.Typer(
    name="operation",
    help="Start operations without a workflow, and look after them.",
    no_args_is_help=True,
)
for _name, _command in COMMANDS.items():
    operations.command(_name)(with_groups(_command))
