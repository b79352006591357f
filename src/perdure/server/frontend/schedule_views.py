"""What is shown of a schedule: in a description, and in a list."""

from __future__ import annotations

from temporalio.api.common.v1 import Memo, SearchAttributes
from temporalio.api.schedule.v1 import (
    Schedule,
    ScheduleAction,
    ScheduleActionResult,
    ScheduleInfo,
    ScheduleListEntry,
    SchedulePolicies,
    ScheduleSpec,
)
from temporalio.api.workflowservice.v1 import DescribeScheduleResponse

from perdure.server.engine.api import NamespaceRef
from perdure.server.machines.schedule.acting import coming_max, may_act
from perdure.server.machines.schedule.codec import decode_head
from perdure.server.machines.schedule.inputs import Described
from perdure.server.machines.schedule.spec import times_of
from perdure.server.machines.schedule.state import Action, Blob, State
from perdure.server.machines.wire import timestamp
from perdure.server.store.codec import unseal
from perdure.server.store.ports import ListedRun

LISTED_ACTIONS = 5
"""Of the past, and of the future."""


def description(described: Described) -> DescribeScheduleResponse:
    """All that a client is told of a schedule."""
    state, blobs = described.state, described.blobs
    response = DescribeScheduleResponse(
        schedule=_schedule(state, blobs),
        info=_info(state),
        conflict_token=state.conflict_token.to_bytes(8, "big"),
    )
    response.info.future_action_times.extend(timestamp(coming.due_ns) for coming in described.times)
    if Blob.MEMO in blobs:
        response.memo.ParseFromString(blobs[Blob.MEMO])
    if Blob.SEARCH_ATTRIBUTES in blobs:
        response.search_attributes.ParseFromString(blobs[Blob.SEARCH_ATTRIBUTES])
    return response


def entry(listed: ListedRun, namespace: NamespaceRef, now_ns: int) -> bytes:
    """A serialised ScheduleListEntry. Raises CorruptBlob."""
    state = decode_head(unseal(listed.head))
    settings = state.settings
    blobs = {Blob(record.key.decode()): unseal(record.blob) for record in listed.records}
    spec = ScheduleSpec.FromString(settings.spec)
    schedule_id = listed.identity.workflow_id
    shown = ScheduleListEntry(
        schedule_id=schedule_id, memo=Memo.FromString(blobs.get(Blob.MEMO, b""))
    )
    if Blob.SEARCH_ATTRIBUTES in blobs:
        attributes = SearchAttributes.FromString(blobs[Blob.SEARCH_ATTRIBUTES])
        shown.search_attributes.CopyFrom(attributes)
    info = shown.info
    info.workflow_type.name = settings.workflow_type
    info.notes, info.paused = settings.notes, settings.is_paused
    info.recent_actions.extend(map(_result, state.actions[-LISTED_ACTIONS:]))
    if settings.is_paused or may_act(settings):
        times, after_ns = times_of(spec, namespace.id, schedule_id), now_ns
        wanted = coming_max(settings, LISTED_ACTIONS)
        while len(info.future_action_times) < wanted:
            coming = times.next_after(after_ns)
            if coming is None:
                break
            info.future_action_times.append(timestamp(coming.due_ns))
            after_ns = max(coming)
    spec.ClearField("exclude_structured_calendar")
    spec.ClearField("timezone_data")
    info.spec.CopyFrom(spec)
    return shown.SerializeToString()


def _schedule(state: State, blobs: dict[Blob, bytes]) -> Schedule:
    settings = state.settings
    schedule = Schedule(
        spec=ScheduleSpec.FromString(settings.spec),
        policies=SchedulePolicies.FromString(settings.policies),
    )
    schedule.state.notes, schedule.state.paused = settings.notes, settings.is_paused
    schedule.state.limited_actions = settings.is_limited
    schedule.state.remaining_actions = settings.remaining
    schedule.state.SetInParent()
    if Blob.ACTION in blobs:
        schedule.action.CopyFrom(ScheduleAction.FromString(blobs[Blob.ACTION]))
    return schedule


def _info(state: State) -> ScheduleInfo:
    info = ScheduleInfo(
        action_count=state.counts.actions,
        missed_catchup_window=state.counts.missed_catchup_window,
        overlap_skipped=state.counts.overlap_skipped,
        buffer_dropped=state.counts.buffer_dropped,
        buffer_size=sum(not start.is_sent for start in state.buffer),
        create_time=timestamp(state.created_ns),
        recent_actions=map(_result, state.actions),
    )
    if state.updated_ns:
        info.update_time.CopyFrom(timestamp(state.updated_ns))
    for started in state.started:
        info.running_workflows.add(workflow_id=started.workflow_id, run_id=started.run_id)
    return info


def _result(action: Action) -> ScheduleActionResult:
    result = ScheduleActionResult(
        schedule_time=timestamp(action.due_ns), actual_time=timestamp(action.actual_ns)
    )
    result.start_workflow_result.workflow_id = action.workflow_id
    result.start_workflow_result.run_id = action.run_id
    result.start_workflow_status = action.status  # type: ignore[assignment]
    return result
