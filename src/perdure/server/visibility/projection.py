"""What a run is found by: its row, made anew whenever something in it has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio.api.common.v1 import SearchAttributes

from perdure.server.machines.schedule.state import Blob
from perdure.server.machines.schedule.state import Run as ScheduleRun
from perdure.server.machines.search_attributes import (
    NO_CUSTOM,
    CustomAttributes,
)
from perdure.server.machines.standalone_activity.state import ActivityRun
from perdure.server.machines.standalone_nexus.state import OperationRun
from perdure.server.machines.workflow.state import Run, Status
from perdure.server.store.ports import VisibilityRow
from perdure.server.visibility.activity_info import activity_row
from perdure.server.visibility.execution_info import shown_search_attributes
from perdure.server.visibility.operation_info import operation_row
from perdure.server.visibility.values import values_of

BUILD_IDS = "BuildIds"
PAUSED = "TemporalSchedulePaused"
SCHEDULER = "temporal-sys-scheduler-workflow"


def visibility_row(
    run: Run | ScheduleRun | ActivityRun | OperationRun, custom: CustomAttributes = NO_CUSTOM
) -> VisibilityRow:
    """The row of a run; `custom` are the search attributes of its namespace."""
    return _PROJECTIONS[type(run)](run, custom)


def _schedule_row(run: ScheduleRun, custom: CustomAttributes) -> VisibilityRow:
    state = run.state
    attributes = SearchAttributes.FromString(run.blobs.get(Blob.SEARCH_ATTRIBUTES, b""))
    values = [pair for pair in values_of(attributes, custom) if pair[0] != PAUSED]
    return VisibilityRow(
        workflow_type=SCHEDULER,
        status=Status.RUNNING,
        start_time_ns=state.created_ns,
        close_time_ns=0,
        attributes=(*values, (PAUSED, state.settings.is_paused)),
    )


def _workflow_row(run: Run, custom: CustomAttributes) -> VisibilityRow:
    recorded = run.recorded
    values = list(values_of(shown_search_attributes(run), custom))
    is_open = run.is_open
    return VisibilityRow(
        workflow_type=recorded.workflow_type,
        status=run.shown_status,
        start_time_ns=recorded.start_time_ns,
        close_time_ns=_not_before(recorded.start_time_ns, recorded.close_time_ns),
        execution_time_ns=(
            recorded.start_time_ns + recorded.first_task_backoff_ns
            if recorded.first_task_backoff_ns
            else 0
        ),
        task_queue=recorded.task_queue,
        history_length=0 if is_open else recorded.next_event_id - 1,
        history_size_bytes=0 if is_open else recorded.history_size_bytes,
        state_transitions=0 if is_open else run.pending.transitions,
        parent_workflow_id=recorded.parent_workflow_id,
        parent_run_id=recorded.parent_run_id,
        root_workflow_id=recorded.root_workflow_id,
        root_run_id=recorded.root_run_id,
        build_ids=tuple(str(value) for field, value in values if field == BUILD_IDS),
        attributes=tuple(pair for pair in values if pair[0] != BUILD_IDS),
    )


def _not_before(start_ns: int, close_ns: int) -> int:
    """A time of closing, though the clock was set back meanwhile; 0 when there is none."""
    return max(start_ns, close_ns) if close_ns else 0


_PROJECTIONS: dict[type, Callable[[Any, CustomAttributes], VisibilityRow]] = {
    Run: _workflow_row,
    ScheduleRun: _schedule_row,
    ActivityRun: activity_row,
    OperationRun: operation_row,
}
