"""Reads back everything that was run and checks that it is whole: H1 to H3, seen from outside.

H1  Event ids are 1..n without gaps. Event times never decrease, with two exceptions, both as on
    the real server: an event that was buffered while a workflow task ran keeps its arrival time,
    and ActivityTaskStarted, written with the outcome, keeps the time when the attempt started.
H2  A history that is read twice is equal, byte by byte.
H3  The list shows every run once, as COMPLETED, with the number of events that its history has;
    the history begins with the start, ends with the completion, and holds every activity's
    scheduling, start and completion.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import grpc.aio
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, WorkflowExecutionStatus
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
)

from bench.api import CHANNEL_OPTIONS, RETRIED, async_call
from bench.results import AuditResult
from bench.workloads import NAMESPACE

CONCURRENT_READS: Final = 32
LIST_PAGE_SIZE: Final = 1_000
VISIBILITY_TIMEOUT_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 0.2
RETRIES_MAX: Final = 100
CALL_TIMEOUT_SECONDS: Final = 30.0
EXAMPLES_MAX: Final = 10

# The events that close a workflow task, and the field of their attributes.
WORKFLOW_TASK_CLOSES: Final[Mapping[int, str]] = MappingProxyType(
    {
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED: "workflow_task_completed_event_attributes",
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED: "workflow_task_failed_event_attributes",
        EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT: "workflow_task_timed_out_event_attributes",
    }
)

# What can arrive in these workloads while a workflow task runs, and is buffered until it closes.
BUFFERED: Final = frozenset(
    {
        EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
    }
)


class AuditFailed(Exception):
    """The server did not answer what the audit asked."""


@dataclass
class Findings:
    """Violations by invariant, with the first few spelled out."""

    counts: Counter[str] = field(default_factory=lambda: Counter({"H1": 0, "H2": 0, "H3": 0}))
    examples: list[str] = field(default_factory=list)

    def add(self, invariant: str, workflow_id: str, what: str) -> None:
        self.counts[invariant] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(f"{invariant} {workflow_id}: {what}")


class Reader:
    """Calls to one server, retried while it is only busy."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def call(self, method: str, request: bytes) -> bytes:
        """The answer as bytes; raises what is not worth a retry, or did not pass after many."""
        call = async_call(self._channel, method)
        for _ in range(RETRIES_MAX):
            try:
                return await call(request, timeout=CALL_TIMEOUT_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() not in RETRIED:
                    raise
            await asyncio.sleep(RETRY_SECONDS)
        return await call(request, timeout=CALL_TIMEOUT_SECONDS)

    async def list_runs(self) -> list[WorkflowExecutionInfo]:
        """Every run that the list shows, in its order."""
        runs: list[WorkflowExecutionInfo] = []
        token = b""
        while True:
            request = ListWorkflowExecutionsRequest(
                namespace=NAMESPACE, page_size=LIST_PAGE_SIZE, next_page_token=token
            )
            answer = ListWorkflowExecutionsResponse.FromString(
                await self.call("ListWorkflowExecutions", request.SerializeToString())
            )
            runs.extend(answer.executions)
            token = answer.next_page_token
            if not token:
                return runs

    async def history(self, execution: WorkflowExecution) -> list[bytes]:
        """The pages of a history, exactly as answered."""
        pages: list[bytes] = []
        token = b""
        while True:
            request = GetWorkflowExecutionHistoryRequest(
                namespace=NAMESPACE, execution=execution, next_page_token=token
            )
            page = await self.call("GetWorkflowExecutionHistory", request.SerializeToString())
            pages.append(page)
            token = GetWorkflowExecutionHistoryResponse.FromString(page).next_page_token
            if not token:
                return pages


async def audit(
    address: str, expected: dict[str, int], sample: int | None, advance: Callable[[int, int], None]
) -> AuditResult:
    """Check every expected workflow (id -> its number of activities), or a random sample of them.

    The list is always checked for all. `advance` is told how many of how many histories were read.
    """
    began = time.perf_counter()
    findings = Findings()
    try:
        read, events = await _read_and_check(address, expected, sample, findings, advance)
    except* grpc.aio.AioRpcError as failures:
        raise AuditFailed(repr(failures.exceptions)) from failures
    return AuditResult(
        runs=read,
        events=events,
        seconds=time.perf_counter() - began,
        violations=dict(findings.counts),
        examples=findings.examples,
    )


async def _read_and_check(
    address: str,
    expected: dict[str, int],
    sample: int | None,
    findings: Findings,
    advance: Callable[[int, int], None],
) -> tuple[int, int]:
    """How many histories were read, and their events."""
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        reader = Reader(channel)
        runs = await _wait_for_runs(reader, expected)
        _check_list(runs, expected, findings)
        chosen = [run for run in runs if run.execution.workflow_id in expected]
        if sample is not None and sample < len(chosen):
            chosen = random.Random(0).sample(chosen, sample)
        events = await _check_histories(reader, chosen, expected, findings, advance)
    return len(chosen), events


async def _wait_for_runs(reader: Reader, expected: dict[str, int]) -> list[WorkflowExecutionInfo]:
    """The list, read until it has caught up (it may lag behind) or time is up."""
    deadline = time.monotonic() + VISIBILITY_TIMEOUT_SECONDS
    completed = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
    while True:
        runs = await reader.list_runs()
        shown = {run.execution.workflow_id for run in runs if run.status == completed}
        if shown >= expected.keys() or time.monotonic() > deadline:
            return runs
        await asyncio.sleep(RETRY_SECONDS)


def _check_list(
    runs: Sequence[WorkflowExecutionInfo], expected: dict[str, int], findings: Findings
) -> None:
    shown = Counter(run.execution.workflow_id for run in runs)
    for workflow_id in expected:
        if shown[workflow_id] != 1:
            findings.add("H3", workflow_id, f"the list shows {shown[workflow_id]} runs of it")
    for run in runs:
        status = WorkflowExecutionStatus.Name(run.status)
        if status != "WORKFLOW_EXECUTION_STATUS_COMPLETED":
            findings.add("H3", run.execution.workflow_id, f"the list shows it as {status}")


async def _check_histories(
    reader: Reader,
    runs: Sequence[WorkflowExecutionInfo],
    expected: dict[str, int],
    findings: Findings,
    advance: Callable[[int, int], None],
) -> int:
    """Check the history of each run, a bounded number at once; the number of events read."""
    events = 0
    read = 0
    waiting = iter(runs)

    async def check_one_after_another() -> None:
        nonlocal events, read
        for run in waiting:
            length = await _check_run(reader, run, expected, findings)
            events += length  # Apart from the await: others add to it meanwhile.
            read += 1
            advance(read, len(runs))

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENT_READS):
            group.create_task(check_one_after_another())
    return events


async def _check_run(
    reader: Reader, run: WorkflowExecutionInfo, expected: dict[str, int], findings: Findings
) -> int:
    workflow_id = run.execution.workflow_id
    pages = await reader.history(run.execution)
    if await reader.history(run.execution) != pages:
        findings.add("H2", workflow_id, "two reads differ")
    events = [
        event
        for page in pages
        for event in GetWorkflowExecutionHistoryResponse.FromString(page).history.events
    ]
    for problem in sequence_problems(events):
        findings.add("H1", workflow_id, problem)
    for problem in completeness_problems(events, expected[workflow_id], run.history_length):
        findings.add("H3", workflow_id, problem)
    return len(events)


def sequence_problems(events: Sequence[HistoryEvent]) -> Iterator[str]:
    """What breaks H1 in one history."""
    ids = [event.event_id for event in events]
    if ids != list(range(1, len(ids) + 1)):
        yield f"the event ids are {ids}"
        return
    latest_ns = 0
    for event in events:
        time_ns = event.event_time.ToNanoseconds()
        if time_ns < latest_ns and time_ns < _earliest_allowed_ns(events, event, latest_ns):
            yield f"the time of event {event.event_id} is before that of an earlier event"
        latest_ns = max(latest_ns, time_ns)


def _earliest_allowed_ns(
    events: Sequence[HistoryEvent], event: HistoryEvent, latest_ns: int
) -> int:
    """The earliest time that an event may have which is older than one before it."""
    if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
        scheduled = event.activity_task_started_event_attributes.scheduled_event_id
        return events[scheduled - 1].event_time.ToNanoseconds()
    if event.event_type not in BUFFERED:
        return latest_ns
    # It can only have been buffered since the start of the workflow task that closed before it.
    for earlier in reversed(events[: event.event_id - 1]):
        if earlier.event_type in WORKFLOW_TASK_CLOSES:
            attributes = getattr(earlier, WORKFLOW_TASK_CLOSES[earlier.event_type])
            started: int = attributes.started_event_id
            return events[started - 1].event_time.ToNanoseconds()
    return latest_ns


def completeness_problems(
    events: Sequence[HistoryEvent], activities: int, listed_length: int
) -> Iterator[str]:
    """What breaks H3 in one history of a workflow that ran this many activities and completed."""
    if len(events) != listed_length:
        yield f"the list says {listed_length} events, the history has {len(events)}"
    if not events or events[0].event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
        yield "the history does not begin with the start"
    if not events or events[-1].event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        yield "the history does not end with the completion"
    counts = Counter(event.event_type for event in events)
    for event_type in (
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
    ):
        if counts[event_type] != activities:
            yield f"{counts[event_type]} x {EventType.Name(event_type)}, expected {activities}"
