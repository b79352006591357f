"""A history as a timeline: when, what, with what, how long it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse

from perdure.cli.rendering.events import Line, Story, line_of
from perdure.cli.rendering.pending import how_it_stands, how_the_task_stands
from perdure.cli.rendering.times import took
from perdure.cli.terminal import print_table

TONES = {
    "begin": ("▶", "bold cyan"),
    "plan": ("·", "default"),
    "good": ("✔", "green"),
    "bad": ("✘", "red"),
    "outside": ("→", "magenta"),
    "machinery": ("·", "dim"),
    "waiting": ("…", "yellow"),
}
"""How each tone of a line looks: its mark and its style."""


def print_timeline(
    console: Console,
    events: Sequence[HistoryEvent],
    described: DescribeWorkflowExecutionResponse | None = None,
    *,
    everything: bool = False,
    now: datetime | None = None,
) -> None:
    """Print a history; with a description of the run also what is under way but not yet in it."""
    story = Story(events)
    begin = story.time(1)
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for event in events:
        line = line_of(event, story, everything=everything)
        if line is not None:
            time = event.event_time.ToDatetime()
            since = story.time(line.since) if line.since else None
            lasted = None if since is None else time - since
            _add(table, str(event.event_id), line, _offset(begin, time), lasted)
    naive_now = (now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
    for line in _under_way(described, naive_now):
        _add(table, "", line, _offset(begin, naive_now), None)
    print_table(console, table)


def _under_way(
    described: DescribeWorkflowExecutionResponse | None, now: datetime
) -> Iterator[Line]:
    if described is None:
        return
    for activity in described.pending_activities:
        yield Line(
            tone="waiting",
            what="activity pending",
            detail=activity.activity_type.name,
            notes=how_it_stands(activity, now),
        )
    if described.HasField("pending_workflow_task"):
        stands = how_the_task_stands(described.pending_workflow_task, now)
        yield Line(tone="waiting", what="workflow task pending", detail=stands)


def _add(
    table: Table, number: str, line: Line, offset: timedelta | None, lasted: timedelta | None
) -> None:
    mark, style = TONES[line.tone]
    detail = Text(line.detail, style="dim" if line.tone == "machinery" else "")
    for note in line.notes:
        detail.append(f"\n{note}", style="red" if line.tone == "bad" else "dim")
    table.add_row(
        number,
        "" if offset is None else f"+{offset.total_seconds():.3f} s",
        Text(f"{mark} {line.what}", style=style),
        "" if lasted is None else took(lasted.total_seconds()),
        detail,
    )


def _offset(begin: datetime | None, time: datetime) -> timedelta | None:
    return None if begin is None else time - begin
