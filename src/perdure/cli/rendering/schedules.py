"""Schedules as rows and pairs for people, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text
from temporalio.api.enums.v1 import ScheduleOverlapPolicy, WorkflowExecutionStatus
from temporalio.api.schedule.v1 import (
    Range,
    ScheduleActionResult,
    ScheduleListEntry,
    ScheduleSpec,
    StructuredCalendarSpec,
)
from temporalio.api.workflowservice.v1 import DescribeScheduleResponse

from perdure.cli.rendering.executions import status_text
from perdure.cli.rendering.payloads import json_value
from perdure.cli.rendering.times import local, moment, took
from perdure.cli.terminal import print_table

_STATUS_PREFIX = "WORKFLOW_EXECUTION_STATUS_"
_OVERLAP_PREFIX = "SCHEDULE_OVERLAP_POLICY_"
_FIELDS = ("month", "day_of_month", "day_of_week", "hour", "minute", "second", "year")
_WHOLE = {
    "month": (1, 12),
    "day_of_month": (1, 31),
    "day_of_week": (0, 6),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}


def entry_json(entry: ScheduleListEntry) -> dict[str, Any]:
    """What `list` says of a schedule."""
    info = entry.info
    return {
        "scheduleId": entry.schedule_id,
        "workflowType": info.workflow_type.name,
        "paused": info.paused,
        "notes": info.notes,
        "spec": MessageToDict(info.spec),
        "recentActions": [_action_json(action) for action in info.recent_actions],
        "futureActionTimes": [moment(_time(time)) for time in info.future_action_times],
        "memo": {key: json_value(value) for key, value in entry.memo.fields.items()},
    }


def description_json(schedule_id: str, described: DescribeScheduleResponse) -> dict[str, Any]:
    """What `describe` says of a schedule."""
    info = described.info
    return {
        "scheduleId": schedule_id,
        "schedule": MessageToDict(described.schedule),
        "actionCount": info.action_count,
        "missedCatchupWindow": info.missed_catchup_window,
        "overlapSkipped": info.overlap_skipped,
        "bufferDropped": info.buffer_dropped,
        "bufferSize": info.buffer_size,
        "runningWorkflows": [
            {"workflowId": one.workflow_id, "runId": one.run_id} for one in info.running_workflows
        ],
        "recentActions": [_action_json(action) for action in info.recent_actions],
        "futureActionTimes": [moment(_time(time)) for time in info.future_action_times],
        "createTime": moment(_time(info.create_time)),
        "updateTime": moment(_time(info.update_time)) if info.HasField("update_time") else None,
        "memo": {key: json_value(value) for key, value in described.memo.fields.items()},
        "searchAttributes": {
            key: json_value(value)
            for key, value in described.search_attributes.indexed_fields.items()
        },
    }


def print_list(console: Console, entries: Sequence[ScheduleListEntry]) -> None:
    """One row for each."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("SCHEDULE", "WORKFLOW", "STATE", "LAST", "NEXT", "TIMES"):
        table.add_column(name)
    for entry in entries:
        info = entry.info
        last = _time(info.recent_actions[-1].actual_time) if info.recent_actions else None
        coming = _time(info.future_action_times[0]) if info.future_action_times else None
        table.add_row(
            Text(entry.schedule_id),
            Text(info.workflow_type.name),
            Text("PAUSED", "yellow") if info.paused else Text("ACTIVE", "green"),
            local(last),
            "" if info.paused else local(coming),
            Text("; ".join(times_text(info.spec))),
        )
    print_table(console, table)


def print_description(
    console: Console, schedule_id: str, described: DescribeScheduleResponse
) -> None:
    """Pairs, and the newest actions."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _pairs(schedule_id, described):
        if value:
            table.add_row(name, value if isinstance(value, Text) else Text(value))
    print_table(console, table)
    if described.info.recent_actions:
        console.print()
        _print_actions(console, described.info.recent_actions)


def _pairs(
    schedule_id: str, described: DescribeScheduleResponse
) -> Iterable[tuple[str, str | Text]]:
    schedule, info = described.schedule, described.info
    action, policies, state = schedule.action.start_workflow, schedule.policies, schedule.state
    yield "Schedule", schedule_id
    yield "State", Text("PAUSED", "yellow") if state.paused else Text("ACTIVE", "green")
    yield "Notes", state.notes
    yield "Starts", f"{action.workflow_type.name} on {action.task_queue.name}"
    yield "Workflow id", action.workflow_id
    for text in times_text(schedule.spec):
        yield "Times", text
    yield "Time zone", schedule.spec.timezone_name
    overlap = ScheduleOverlapPolicy.Name(policies.overlap_policy)
    yield "Overlap", overlap.removeprefix(_OVERLAP_PREFIX).replace("_", " ").lower()
    yield "Catches up", took(policies.catchup_window.ToTimedelta().total_seconds())
    yield "Pauses on failure", "yes" if policies.pause_on_failure else ""
    yield "Actions left", str(state.remaining_actions) if state.limited_actions else ""
    yield "Created", local(_time(info.create_time))
    yield "Updated", local(_time(info.update_time)) if info.HasField("update_time") else ""
    yield "Actions", str(info.action_count)
    for name, count in (
        ("Missed", info.missed_catchup_window),
        ("Skipped", info.overlap_skipped),
        ("Dropped", info.buffer_dropped),
        ("Waiting", info.buffer_size),
    ):
        yield name, str(count) if count else ""
    for running in info.running_workflows:
        yield "Running", running.workflow_id
    for time in info.future_action_times[:3]:
        yield "Next", local(_time(time))


def _print_actions(console: Console, actions: Iterable[ScheduleActionResult]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("FOR", "TAKEN", "STATUS", "WORKFLOW"):
        table.add_column(name)
    for action in reversed(list(actions)):
        table.add_row(
            local(_time(action.schedule_time)),
            local(_time(action.actual_time)),
            status_text(_status(action)),
            Text(action.start_workflow_result.workflow_id),
        )
    print_table(console, table)


def times_text(spec: ScheduleSpec) -> list[str]:
    """When a schedule acts, a text for each part."""
    texts = [calendar_text(calendar) for calendar in spec.structured_calendar]
    for interval in spec.interval:
        text = f"every {took(interval.interval.ToTimedelta().total_seconds())}"
        if interval.phase.seconds:
            text += f" at {took(interval.phase.ToTimedelta().total_seconds())}"
        texts.append(text)
    return texts


def calendar_text(calendar: StructuredCalendarSpec) -> str:
    """The fields of a calendar that are not any value or 0, and its comment."""
    parts = []
    for name in _FIELDS:
        ranges = list(getattr(calendar, name))
        if not ranges or _is_whole(ranges, name) or (name == "second" and _is_zero(ranges)):
            continue
        text = ",".join(_range_text(part) for part in ranges)
        parts.append(f"{name.replace('_', ' ')} {text}")
    return ", ".join(parts) + (f" ({calendar.comment})" if calendar.comment else "") or "always"


def _is_whole(ranges: Sequence[Range], name: str) -> bool:
    return any((part.start, part.end) == _WHOLE.get(name) and part.step <= 1 for part in ranges)


def _is_zero(ranges: Sequence[Range]) -> bool:
    return all(part.start == part.end == 0 for part in ranges)


def _range_text(part: Range) -> str:
    text = str(part.start) if part.end <= part.start else f"{part.start}-{part.end}"
    return text + (f"/{part.step}" if part.step > 1 else "")


def _action_json(action: ScheduleActionResult) -> dict[str, Any]:
    return {
        "scheduleTime": moment(_time(action.schedule_time)),
        "actualTime": moment(_time(action.actual_time)),
        "workflowId": action.start_workflow_result.workflow_id,
        "runId": action.start_workflow_result.run_id,
        "status": _status(action),
    }


def _status(action: ScheduleActionResult) -> str:
    name = WorkflowExecutionStatus.Name(action.start_workflow_status)
    return name.removeprefix(_STATUS_PREFIX)


def _time(time: Timestamp) -> datetime:
    return time.ToDatetime(UTC)
