"""`perdure worker list|count|describe`: who is alive, by what workers tell of themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.calling import Target
from perdure.cli.parameters import DEFAULT_ADDRESS, AddressOption, JsonOption, NamespaceOption
from perdure.cli.saying import say

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp
    from temporalio.api.worker.v1 import WorkerHeartbeat, WorkerSlotsInfo

PAGE = 1000
"""Workers; how many are asked for at a time."""

QueryOption = Annotated[
    str, typer.Option("--query", "-q", help="Which: such as \"TaskQueue='greetings'\".")
]
SystemOption = Annotated[
    bool, typer.Option("--include-system-workers", help="Those of the server itself too.")
]


def list_all(
    query: QueryOption = "",
    limit: Annotated[int, typer.Option(min=0, help="How many at most; 0 for all.")] = 0,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    include_system_workers: SystemOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the workers that told of themselves in the last minutes. JSON is one a line."""
    from temporalio.api.workflowservice.v1 import ListWorkersRequest, ListWorkersResponse

    from perdure.cli import asking
    from perdure.cli.rendering.tables import print_rows
    from perdure.cli.terminal import print_json

    found: list[WorkerHeartbeat] = []
    request = ListWorkersRequest(
        namespace=namespace,
        query=query,
        page_size=PAGE,
        include_system_workers=include_system_workers,
    )
    while True:
        response = asking.ask(Target(address, namespace), request, ListWorkersResponse)
        found += [info.worker_heartbeat for info in response.workers_info]
        request.next_page_token = response.next_page_token
        if not response.next_page_token or 0 < limit <= len(found):
            break
    found = found[:limit] if limit else found
    if as_json:
        for one in found:
            print_json(asking.as_json(one))
        return
    print_rows(
        ("INSTANCE", "STATUS", "TASK QUEUE", "IDENTITY", "HOST", "PID", "VERSION", "STARTED"),
        [
            (
                one.worker_instance_key,
                _status(one),
                one.task_queue,
                one.worker_identity,
                one.host_info.host_name,
                one.host_info.process_id,
                _version(one),
                _time(one.start_time),
            )
            for one in found
        ],
    )


def count(
    query: QueryOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    include_system_workers: SystemOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count the workers that told of themselves in the last minutes."""
    from temporalio.api.workflowservice.v1 import CountWorkersRequest, CountWorkersResponse

    from perdure.cli.asking import ask
    from perdure.cli.terminal import print_json

    request = CountWorkersRequest(
        namespace=namespace, query=query, include_system_workers=include_system_workers
    )
    found = ask(Target(address, namespace), request, CountWorkersResponse)
    if as_json:
        print_json({"count": found.count})
    else:
        say(f"Total: {found.count}")


def describe(
    key: Annotated[
        str, typer.Option("--worker-instance-key", help="Which; `perdure worker list` shows it.")
    ],
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell all that a worker tells of itself."""
    from temporalio.api.workflowservice.v1 import DescribeWorkerRequest, DescribeWorkerResponse

    from perdure.cli import asking
    from perdure.cli.rendering.tables import print_pairs, print_rows
    from perdure.cli.terminal import print_json

    request = DescribeWorkerRequest(namespace=namespace, worker_instance_key=key)
    found = asking.ask(Target(address, namespace), request, DescribeWorkerResponse)
    if as_json:
        print_json(asking.as_json(found.worker_info))
        return
    one = found.worker_info.worker_heartbeat
    host = one.host_info
    print_pairs(
        [
            ("instance", one.worker_instance_key),
            ("identity", one.worker_identity),
            ("status", _status(one)),
            ("task queue", one.task_queue),
            ("version", _version(one)),
            ("SDK", f"{one.sdk_name} {one.sdk_version}".strip()),
            ("host", host.host_name),
            ("process", host.process_id),
            ("CPU of the host", f"{host.current_host_cpu_usage:.0%}"),
            ("memory of the host", f"{host.current_host_mem_usage:.0%}"),
            ("started", _time(one.start_time)),
            ("heard last", _time(one.heartbeat_time)),
            ("runs kept", one.current_sticky_cache_size),
            ("tasks on kept runs", one.total_sticky_cache_hit),
            ("tasks on read runs", one.total_sticky_cache_miss),
        ]
    )
    say("")
    print_rows(
        ("TASKS", "POLLS", "USED", "FREE", "SUPPLIER", "DONE", "FAILED"),
        [
            _row("workflow", one.workflow_task_slots_info, _workflow_polls(one)),
            _row(
                "activity", one.activity_task_slots_info, one.activity_poller_info.current_pollers
            ),
            _row("local activity", one.local_activity_slots_info, ""),
            _row("nexus", one.nexus_task_slots_info, one.nexus_poller_info.current_pollers),
        ],
    )


def _row(kind: str, slots: WorkerSlotsInfo, polls: object) -> tuple[object, ...]:
    return (
        kind,
        polls,
        slots.current_used_slots,
        slots.current_available_slots,
        slots.slot_supplier_kind,
        slots.total_processed_tasks,
        slots.total_failed_tasks,
    )


def _workflow_polls(one: WorkerHeartbeat) -> str:
    own = one.workflow_sticky_poller_info.current_pollers
    return f"{one.workflow_poller_info.current_pollers} + {own} sticky"


def _status(one: WorkerHeartbeat) -> str:
    from temporalio.api.enums.v1 import WorkerStatus

    return WorkerStatus.Name(one.status).removeprefix("WORKER_STATUS_").lower().replace("_", " ")


def _version(one: WorkerHeartbeat) -> str:
    version = one.deployment_version
    return ":".join(part for part in (version.deployment_name, version.build_id) if part)


def _time(time: Timestamp) -> str:
    from perdure.cli.rendering.times import local

    return local(datetime.fromtimestamp(time.seconds, UTC)) if time.seconds else ""
