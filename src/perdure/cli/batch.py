"""`perdure batch`: one operation on many workflows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli import many
from perdure.cli.calling import LISTING, Target
from perdure.cli.confirming import YesOption
from perdure.cli.exits import fail
from perdure.cli.parameters import (
    DEFAULT_ADDRESS,
    AddressOption,
    InputFileOption,
    InputOption,
    JsonOption,
    NamespaceOption,
    inputs_from,
)
from perdure.cli.saying import say

if TYPE_CHECKING:
    from temporalio.api.batch.v1 import BatchOperationInfo
    from temporalio.api.workflowservice.v1 import DescribeBatchOperationResponse

batches = typer.Typer(
    name="batch", help="Do something to many workflows at once.", no_args_is_help=True
)
JobArgument = Annotated[str, typer.Argument(metavar="JOB_ID", help="Which batch operation.")]
OPERATIONS = ("terminate", "cancel", "signal", "delete", "reset")


@batches.command("start")
def start(
    operation: Annotated[
        str, typer.Argument(metavar="OPERATION", help=f"One of {', '.join(OPERATIONS)}.")
    ],
    query: Annotated[str, typer.Option("--query", "-q", help="Which workflows.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept in the histories.")],
    job_id: Annotated[str, typer.Option(help="A name for it; made up, unless given.")] = "",
    rps: Annotated[float, typer.Option(min=0, help="How many a second; 0 for the usual.")] = 0,
    signal_name: Annotated[str, typer.Option("--name", help="Which signal.")] = "",
    inputs: InputOption = [],  # noqa: B006 -- typer copies it
    input_files: InputFileOption = [],  # noqa: B006 -- typer copies it
    reset_to: Annotated[
        str, typer.Option("--reset-to", help="first or last workflow task.")
    ] = "last",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Begin to do something to all workflows that a query finds. It goes on by itself."""
    arguments = inputs_from(inputs, input_files)
    many.begin(
        Target(address, namespace),
        operation,
        query,
        operation_of(operation, signal_name, arguments, reset_to),
        reason=reason,
        rps=rps,
        job_id=job_id,
        yes=yes,
        as_json=as_json,
    )


@batches.command("describe")
def describe(
    job_id: JobArgument,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell how far a batch operation has come."""
    from temporalio.api.workflowservice.v1 import (
        DescribeBatchOperationRequest,
        DescribeBatchOperationResponse,
    )

    from perdure.cli import asking
    from perdure.cli.rendering.tables import print_pairs
    from perdure.cli.terminal import print_json

    LISTING.set("perdure batch list")
    request = DescribeBatchOperationRequest(namespace=namespace, job_id=job_id)
    found = asking.ask(Target(address, namespace), request, DescribeBatchOperationResponse)
    if as_json:
        print_json(asking.as_json(found))
        return
    failed = f", {found.failure_operation_count} failed" if found.failure_operation_count else ""
    done = f"{found.complete_operation_count} of {found.total_operation_count}{failed}"
    print_pairs(
        [
            ("job", found.job_id),
            ("operation", _type(found)),
            ("state", _state(found)),
            ("done", done),
            ("started", _time(found.start_time)),
            ("ended", _time(found.close_time) if found.HasField("close_time") else ""),
            ("query", found.query),
            ("reason", found.reason),
            ("by", found.identity),
        ]
    )


@batches.command("list")
def list_all(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """List batch operations, the newest first. JSON is one a line."""
    from temporalio.api.workflowservice.v1 import (
        ListBatchOperationsRequest,
        ListBatchOperationsResponse,
    )

    from perdure.cli import asking
    from perdure.cli.rendering.tables import print_rows
    from perdure.cli.terminal import print_json

    found: list[BatchOperationInfo] = []
    request = ListBatchOperationsRequest(namespace=namespace)
    while len(found) < limit:
        page = asking.ask(Target(address, namespace), request, ListBatchOperationsResponse)
        found += page.operation_info
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    if as_json:
        for info in found[:limit]:
            print_json(asking.as_json(info))
        return
    print_rows(
        ("JOB", "OPERATION", "STATE", "STARTED"),
        [
            (info.job_id, _type(info), _state(info), _time(info.start_time))
            for info in found[:limit]
        ],
    )


@batches.command("stop")
def stop(
    job_id: JobArgument,
    reason: Annotated[str, typer.Option(help="Why.")],
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Do no more of a batch operation. What is done stays done."""
    from temporalio.api.workflowservice.v1 import (
        StopBatchOperationRequest,
        StopBatchOperationResponse,
    )

    from perdure.cli.asking import ask, identity

    LISTING.set("perdure batch list")
    request = StopBatchOperationRequest(
        namespace=namespace, job_id=job_id, reason=reason, identity=identity()
    )
    ask(Target(address, namespace), request, StopBatchOperationResponse)
    _tell(job_id, f"batch operation {job_id} is stopped", "stopped", as_json)


def operation_of(
    name: str, signal_name: str = "", arguments: Sequence[Any] = (), reset_to: str = "last"
) -> dict[str, Any]:
    """The field of the request that says what is done."""
    from temporalio.api.batch.v1 import (
        BatchOperationCancellation,
        BatchOperationDeletion,
        BatchOperationReset,
        BatchOperationSignal,
        BatchOperationTermination,
    )
    from temporalio.api.common.v1 import ResetOptions

    from perdure.cli.asking import identity, payloads_of

    who = identity()
    match name:
        case "terminate":
            return {"termination_operation": BatchOperationTermination(identity=who)}
        case "cancel":
            return {"cancellation_operation": BatchOperationCancellation(identity=who)}
        case "delete":
            return {"deletion_operation": BatchOperationDeletion(identity=who)}
        case "signal":
            if not signal_name:
                fail("a signal needs its --name", 2)
            signal = BatchOperationSignal(
                signal=signal_name, identity=who, input=payloads_of(arguments)
            )
            return {"signal_operation": signal}
        case "reset":
            options = ResetOptions()
            if reset_to not in ("first", "last"):
                raise typer.BadParameter("it is first or last", param_hint="--reset-to")
            getattr(options, f"{reset_to}_workflow_task").SetInParent()
            return {"reset_operation": BatchOperationReset(identity=who, options=options)}
    raise typer.BadParameter(f"{name!r} is none of {', '.join(OPERATIONS)}", param_hint="OPERATION")


def _type(found: DescribeBatchOperationResponse | BatchOperationInfo) -> str:
    from temporalio.api.enums.v1 import BatchOperationType

    name = BatchOperationType.Name(found.operation_type)
    return name.removeprefix("BATCH_OPERATION_TYPE_").lower().replace("_", " ")


def _state(found: DescribeBatchOperationResponse | BatchOperationInfo) -> str:
    from temporalio.api.enums.v1 import BatchOperationState

    return BatchOperationState.Name(found.state).removeprefix("BATCH_OPERATION_STATE_").lower()


def _time(timestamp: Any) -> str:
    from datetime import UTC

    from perdure.cli.rendering.times import local

    return local(timestamp.ToDatetime(tzinfo=UTC))


def _tell(job_id: str, text: str, done: str, as_json: bool) -> None:
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"jobId": job_id, "done": done})
    else:
        say(text)
