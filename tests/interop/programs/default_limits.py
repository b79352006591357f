"""The limits as they are by default: what just fits, and what is one too much."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.message import Message
from temporalio.api.command.v1 import Command, RecordMarkerCommandAttributes
from temporalio.api.common.v1 import (
    Link,
    Memo,
    Payload,
    Payloads,
    SearchAttributes,
    WorkerVersionCapabilities,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import CommandType
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.workflowservice.v1 import (
    ListWorkflowExecutionsRequest,
    PollWorkflowTaskQueueRequest,
    SignalWorkflowExecutionRequest,
)

from tests.interop.programs.children_by_hand import start_child
from tests.interop.programs.external import cancel as cancel_external
from tests.interop.programs.external import signal as signal_external
from tests.interop.raw import HandWorker
from tests.interop.stage import Stage, types_of

Sized = TypeVar("Sized", bound=Message)

BLOB_BYTES_MAX = 2 * 1024 * 1024
ID_LENGTH_MAX = 1000
PENDING_MAX = 2000
BUFFERED_MAX = 100
SUGGESTED_EVENTS = 4 * 1024
SUGGESTED_BYTES = 4 * 1024 * 1024


def _fitted(size: int, make: Callable[[int], Sized]) -> Sized:
    """What is made of a text, which is so long that the whole has this size."""
    length = size - 30
    while (made := make(length)).ByteSize() < size:
        length += 1
    assert made.ByteSize() == size
    return made


def _sized(size: int) -> Payloads:
    """A list of one payload that has this many bytes on the wire."""
    return _fitted(size, lambda length: Payloads(payloads=[Payload(data=b"x" * length)]))


def _memo(size: int) -> Memo:
    return _fitted(size, lambda length: Memo(fields={"m": Payload(data=b"x" * length)}))


def _keyword(size: int) -> Payload:
    return Payload(
        metadata={"encoding": b"json/plain", "type": b"Keyword"},
        data=b'"' + b"x" * (size - 2) + b'"',
    )


def _attributes(*sizes: int) -> SearchAttributes:
    names = ("BatcherUser", "TemporalScheduledById", "BatcherNamespace")
    return SearchAttributes(
        indexed_fields={name: _keyword(size) for name, size in zip(names, sizes, strict=False)}
    )


def _link(size: int) -> Link:
    return _fitted(size, lambda length: Link(batch_job=Link.BatchJob(job_id="x" * length)))


def _metadata(summary: int, details: int) -> UserMetadata:
    return UserMetadata(summary=Payload(data=b"x" * summary), details=Payload(data=b"x" * details))


async def default_limits_of_starts(stage: Stage) -> None:
    """A start with each thing as large as it may be, and larger by one."""
    worker = HandWorker(stage)
    id_base = stage.workflow_id("i")
    fields: dict[str, list[dict[str, Any]]] = {
        "input": [{"input": _sized(BLOB_BYTES_MAX + more)} for more in (0, 1)],
        "memo": [{"memo": _memo(BLOB_BYTES_MAX + more)} for more in (0, 1)],
        "attribute": [{"search_attributes": _attributes(2048 + more)} for more in (0, 1)],
        "link": [{"links": [_link(4000 + more)]} for more in (0, 1)],
        "links": [{"links": [_link(10)] * (10 + more)} for more in (0, 1)],
        "summary": [{"user_metadata": _metadata(400 + more, 10)} for more in (0, 1)],
        "details": [{"user_metadata": _metadata(10, 20_000 + more)} for more in (0, 1)],
        "id": [{"workflow_id": id_base.ljust(ID_LENGTH_MAX + more, "x")} for more in (0, 1)],
        "id in bytes": [
            {"workflow_id": id_base + "ä" * ((ID_LENGTH_MAX - len(id_base)) // 2 + more)}
            for more in (0, 1)
        ],
        "type": [
            {"workflow_type": WorkflowType(name="x" * (ID_LENGTH_MAX + more))} for more in (0, 1)
        ],
        "request id": [{"request_id": "x" * (ID_LENGTH_MAX + more)} for more in (0, 1)],
        "identity": [{"identity": "x" * (ID_LENGTH_MAX + more)} for more in (0, 1)],
    }
    for label, (fits, too_much) in fields.items():
        start = stage.service.start_workflow_execution
        name = label.replace(" ", "-")
        for which, changed in (("fits", fits), ("is too much", too_much)):
            await stage.outcome(
                f"{label} {which}", start(worker.start_request(f"{name}-{which[:4]}", **changed))
            )


def _markers(count: int, size: int = 1) -> list[Command]:
    attributes = RecordMarkerCommandAttributes(marker_name="m", details={"d": _sized(size + 10)})
    return [
        Command(
            command_type=CommandType.COMMAND_TYPE_RECORD_MARKER,
            record_marker_command_attributes=attributes,
        )
    ] * count


async def default_limits_of_commands(stage: Stage) -> None:
    """Commands that are too large, or whose number is too large, by one."""
    worker = HandWorker(stage)
    target, queue = stage.workflow_id("target"), stage.queue()
    too_many = range(PENDING_MAX + 1)
    commands: dict[str, list[Command]] = {
        "marker name": _markers(1),
        "activities": [worker.schedule_activity(f"a{n}") for n in too_many],
        "children": [start_child(f"{target}{n}", queue) for n in too_many],
        "signals": [signal_external(target) for _ in too_many],
        "cancels": [cancel_external(target) for _ in too_many],
    }
    commands["marker name"][0].record_marker_command_attributes.marker_name = "x" * (
        ID_LENGTH_MAX + 1
    )
    for label, given in commands.items():
        execution = await worker.start(label.replace(" ", "-"))
        await stage.outcome(label, worker.complete(await worker.poll(), *given))
        await stage.history(f"{label}: history", execution)
        await worker.finish()


def _signal(
    stage: Stage, execution: WorkflowExecution, name: str, **fields: Any
) -> Awaitable[Message]:
    return stage.service.signal_workflow_execution(
        SignalWorkflowExecutionRequest(
            namespace=stage.namespace, workflow_execution=execution, signal_name=name, **fields
        )
    )


async def default_limits_of_histories(stage: Stage) -> None:
    """When a new run is suggested, and how much is buffered."""
    before = 6  # What a run has at its second task, without what its first one has recorded.
    cases = {
        f"{count} events": _markers(count - before)
        for count in (SUGGESTED_EVENTS - 1, SUGGESTED_EVENTS)
    }
    for label, markers in cases.items():
        worker = HandWorker(stage, label)  # Its queue has no task of another run.
        execution = await worker.start(label)
        first = await worker.poll()
        await worker.complete(first, *markers, force_create_new_workflow_task=True)
        await worker.poll()
        started = (await stage.fetch(execution))[-1].workflow_task_started_event_attributes
        reasons = sorted(started.suggest_continue_as_new_reasons)
        stage.observe(f"{label}: advice", [started.suggest_continue_as_new, reasons])
    for count in (3, 4):
        label = f"{count} quarters of the bytes"
        worker = HandWorker(stage, label)  # Its queue has no task of another run.
        execution = await worker.start(label)
        for number in range(count):
            await _signal(stage, execution, f"s{number}", input=_sized(SUGGESTED_BYTES // 4))
        await worker.poll()
        started = (await stage.fetch(execution))[-1].workflow_task_started_event_attributes
        reasons = sorted(started.suggest_continue_as_new_reasons)
        stage.observe(f"{label}: advice", [started.suggest_continue_as_new, reasons])
    worker = HandWorker(stage, "buffered")
    buffered = await worker.start("buffered")
    task = await worker.poll()
    for number in range(BUFFERED_MAX + 2):
        await stage.outcome(f"signal {number}", _signal(stage, buffered, f"s{number}"))
    await stage.outcome("the task goes on", worker.complete(task))
    stage.observe("buffered", types_of(await stage.fetch(buffered)))


async def default_limits_of_pages(stage: Stage) -> None:
    """Lists of any size are answered; a worker's build id has a length."""
    for page_size in (-1, 0, 1000, 1001, 2**31 - 1):
        listing = ListWorkflowExecutionsRequest(
            namespace=stage.namespace, page_size=page_size, query=f"WorkflowId = '{stage.nonce}'"
        )
        answer = stage.service.list_workflow_executions(listing)
        await stage.outcome(f"page of {page_size}", answer)
    version = WorkerVersionCapabilities(build_id="b" * 256)
    request = PollWorkflowTaskQueueRequest(
        namespace=stage.namespace,
        task_queue=stage.task_queue(),
        worker_version_capabilities=version,
    )
    poll = stage.service.poll_workflow_task_queue(request, timeout=timedelta(seconds=10))
    await stage.outcome("build id of 256", poll)
