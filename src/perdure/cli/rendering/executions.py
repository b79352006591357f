"""Runs as rows and pairs for people, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from perdure.cli.rendering.payloads import brief, json_value
from perdure.cli.rendering.pending import how_it_stands, how_the_task_stands, pending_json
from perdure.cli.rendering.times import local, moment, took
from perdure.cli.terminal import print_table
from perdure.client import WorkflowExecution, WorkflowExecutionDescription

STATUS_STYLES = {
    "RUNNING": "cyan",
    "COMPLETED": "green",
    "FAILED": "red",
    "TIMED_OUT": "red",
    "TERMINATED": "red",
    "CANCELED": "yellow",
    "CONTINUED_AS_NEW": "blue",
}


def status_of(run: WorkflowExecution) -> str:
    """`RUNNING`, `COMPLETED` and so on; `UNKNOWN` for what only a newer version knows."""
    return "UNKNOWN" if run.status is None else run.status.name


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=STATUS_STYLES.get(status, ""))


def execution_json(run: WorkflowExecution) -> dict[str, Any]:
    """What `list` and `describe` say of a run."""
    return {
        "workflowId": run.id,
        "runId": run.run_id,
        "type": run.workflow_type,
        "status": status_of(run),
        "taskQueue": run.task_queue,
        "startTime": moment(run.start_time),
        "executionTime": moment(run.execution_time),
        "closeTime": moment(run.close_time),
        "historyLength": run.history_length,
        "parentWorkflowId": run.parent_id,
        "parentRunId": run.parent_run_id,
        "memo": {key: json_value(value) for key, value in run.raw_info.memo.fields.items()},
    }


def description_json(run: WorkflowExecutionDescription) -> dict[str, Any]:
    """What `describe` says of a run."""
    pending = run.raw_description.pending_activities
    children = run.raw_description.pending_children
    task = run.raw_description.pending_workflow_task
    has_task = run.raw_description.HasField("pending_workflow_task")
    return {
        **execution_json(run),
        "pendingWorkflowTask": {"attempt": max(task.attempt, 1)} if has_task else None,
        "pendingActivities": [pending_json(activity) for activity in pending],
        "pendingChildren": [
            {
                "workflowId": child.workflow_id,
                "runId": child.run_id,
                "type": child.workflow_type_name,
            }
            for child in children
        ],
    }


def print_list(console: Console, runs: Iterable[WorkflowExecution], now: datetime) -> None:
    """Print runs as a table."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("STATUS", "WORKFLOW ID", "TYPE", "STARTED", "TOOK"):
        table.add_column(name, overflow="fold")
    for run in runs:
        table.add_row(
            status_text(status_of(run)),
            run.id,
            run.workflow_type,
            local(run.start_time),
            _how_long(run, now),
        )
    print_table(console, table)


def print_description(console: Console, run: WorkflowExecutionDescription, now: datetime) -> None:
    """Print what is known of a run."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(run, now):
        table.add_row(name, value)
    print_table(console, table)
    naive_now = now.astimezone(UTC).replace(tzinfo=None)
    for activity in run.raw_description.pending_activities:
        console.print()
        console.print(Text(f"… activity {activity.activity_type.name}", style="yellow"))
        for line in how_it_stands(activity, naive_now):
            console.print(f"  {line}", soft_wrap=True)
    if run.raw_description.HasField("pending_workflow_task"):
        stands = how_the_task_stands(run.raw_description.pending_workflow_task, naive_now)
        console.print()
        console.print(Text("… workflow task", style="yellow"))
        console.print(f"  {stands}", soft_wrap=True)
    for child in run.raw_description.pending_children:
        console.print()
        name = f"… child {child.workflow_type_name} ({child.workflow_id})"
        console.print(Text(name, style="yellow"))


def heading(run: WorkflowExecution, now: datetime) -> Text:
    """A run on one line."""
    words = " in " if run.close_time is not None else " for "
    return Text.assemble(
        (run.id, "bold"),
        "  ",
        run.workflow_type,
        "  ",
        status_text(status_of(run)),
        words,
        _how_long(run, now),
        (f"  run {run.run_id}", "dim"),
    )


def _facts(run: WorkflowExecutionDescription, now: datetime) -> Sequence[tuple[str, Any]]:
    memo = ", ".join(f"{key}={brief(value)}" for key, value in run.raw_info.memo.fields.items())
    parent = "" if run.parent_id is None else f"{run.parent_id} (run {run.parent_run_id})"
    facts: list[tuple[str, Any]] = [
        ("Workflow id", run.id),
        ("Run id", run.run_id),
        ("Type", run.workflow_type),
        ("Status", status_text(status_of(run))),
        ("Task queue", run.task_queue),
        ("Started", local(run.start_time)),
        ("Closed", local(run.close_time)),
        ("Took" if run.close_time else "Running for", _how_long(run, now)),
        ("Events", str(run.history_length)),
        ("Parent", parent),
        ("Memo", memo),
    ]
    return [(name, value) for name, value in facts if value]


def _how_long(run: WorkflowExecution, now: datetime) -> str:
    return took(((run.close_time or now) - run.start_time).total_seconds())
