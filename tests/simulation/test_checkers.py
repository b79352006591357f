"""Each checker finds the violation that is planted for it, and none in a world that went well."""

from __future__ import annotations

import msgspec
import pytest
from temporalio.api.enums.v1 import EventType, ParentClosePolicy, WorkflowIdReusePolicy
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.workflow.effects import TaskKind
from perdure.server.machines.workflow.state import BufferedEvent, Status, Timer
from perdure.server.store.ports import DispatchRow
from sim.audit import Audit, StoredRun
from sim.checkers import CHECKERS
from sim.checkers.z1_schedules import SEQUENTIAL
from sim.ledger import Attempt, Deletion, Planned, Query, Sent, Signal, Update
from tests.simulation.planting import Plant, assert_found, find


def swap_times(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
    if found is not None:
        found[1].event_time.seconds -= 3_600
    return found is not None


def gap_in_batches(audit: Audit) -> bool:
    del audit.runs[0].batches[0]
    return True


def other_bytes_read(audit: Audit) -> bool:
    reads = audit.ledger.reads
    for seen in reads.values():
        seen[0] += b"\0"
    return bool(reads)


def state_beside_the_history(audit: Audit) -> bool:
    audit.runs[0].run.recorded.signals += 1
    return True


def bytes_beside_the_head(audit: Audit) -> bool:
    audit.runs[0].batches[-1].size_bytes += 1
    return True


def unreadable_batch(audit: Audit) -> bool:
    audit.runs[0].problems.append("batch 1: damaged")
    return True


def deep_failure(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED)
    if found is None:
        return False
    failure: Failure = found[1].activity_task_failed_event_attributes.failure
    for _ in range(25):
        failure = failure.cause
        failure.message = "because"
    return True


def another_command(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_TIMER_STARTED)
    if found is not None:
        found[1].timer_started_event_attributes.timer_id = "other"
    return found is not None


def lost_completion(audit: Audit) -> bool:
    completions = audit.ledger.completions
    if not completions:
        return False
    key, completion = completions.popitem()
    completion.is_acknowledged = True
    completions[key[0], 1_000] = completion
    return True


def lost_termination(audit: Audit) -> bool:
    completed = [s for s in audit.runs if s.run.recorded.status == Status.COMPLETED]
    audit.ledger.terminated.update(stored.run_id for stored in completed)
    return bool(completed)


def lost_result(audit: Audit) -> bool:
    stored = audit.runs[0]
    stored.run.recorded.status = Status.RUNNING
    audit.ledger.acknowledged_activities.add((stored.run_id, "nowhere"))
    return True


def event_after_the_close(audit: Audit) -> bool:
    events = audit.runs[0].events
    events.append(HistoryEvent(event_type=EventType.EVENT_TYPE_MARKER_RECORDED))
    return True


def second_open_run(audit: Audit) -> bool:
    stored = audit.runs[0]
    twin = msgspec.structs.replace(stored, run_id="twin", number=1_000, is_current=True)
    audit.runs.append(twin)
    return audit.runs[0].workflow_id not in audit.ledger.forgotten


def duplicate_against_its_policy(audit: Audit) -> bool:
    for workflow_id in {stored.workflow_id for stored in audit.runs} - audit.ledger.forgotten:
        for later in audit.runs_of(workflow_id)[1:]:
            start = audit.ledger.starts.get(later.run.pending.start_request_id)
            is_first = not later.run.recorded.continued_run_id and not later.base_run_id
            if start is not None and is_first:
                start.reuse_policy = WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
                return True
    return False


def lost_start(audit: Audit) -> bool:
    next(iter(audit.ledger.starts.values())).run_ids.append("nowhere")
    return True


def start_made_twice(audit: Audit) -> bool:
    for stored in audit.runs:
        request_id = stored.run.pending.start_request_id
        start = audit.ledger.starts.get(request_id)
        if start is not None and not stored.base_run_id and request_id not in audit.ledger.signals:
            audit.runs.append(msgspec.structs.replace(stored, run_id="twin"))
            return audit.runs_of(stored.workflow_id)[-2] is stored
    return False


def lost_successor(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
    if found is None:
        return False
    attributes = found[1].workflow_execution_continued_as_new_event_attributes
    audit.runs = [s for s in audit.runs if s.run_id != attributes.new_execution_run_id]
    return True


def two_tasks(audit: Audit) -> bool:
    scheduled = HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
    audit.runs[0].events[1:1] = [scheduled, scheduled]
    return True


def news_without_a_task(audit: Audit) -> bool:
    stored = audit.runs[0]
    stored.run.recorded.status = Status.RUNNING
    stored.run.pending.is_first_task_scheduled = True
    stored.events.append(HistoryEvent(event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED))
    return True


def timer_fired_twice(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_TIMER_FIRED)
    if found is not None:
        found[0].events.append(found[1])
    return found is not None


def timer_fired_early(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_TIMER_FIRED)
    if found is not None:
        found[1].event_time.seconds -= 60
    return found is not None


def activity_over_twice(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
    if found is not None:
        found[0].events.append(found[1])
    return found is not None


def result_of_nobody(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
    audit.ledger.results.clear()
    return found is not None


def lost_signal(audit: Audit) -> bool:
    audit.ledger.signals["lost"] = Signal(
        audit.runs[0].workflow_id,
        "",
        "client",
        1,
        is_acknowledged=True,
        found_in=[audit.runs[0].run_id],
    )
    return audit.runs[0].workflow_id not in audit.ledger.forgotten


def doubled_signal(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    if found is not None:
        found[0].events.append(found[1])
    return found is not None


def update_accepted_twice(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
    if found is not None:
        found[0].events.append(found[1])
    return found is not None


def other_outcome(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED)
    if found is None:
        return False
    attributes = found[1].workflow_execution_update_completed_event_attributes
    update = audit.ledger.updates[attributes.meta.update_id]
    update.outcomes[found[0].run_id] = {b"told otherwise"}
    return True


def lost_update(audit: Audit) -> bool:
    lost = Update(audit.runs[0].workflow_id, "now", accepted_by=[audit.runs[0].run_id])
    audit.ledger.updates["lost"] = lost
    return True


def recorded_rejection(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
    if found is None:
        return False
    attributes = found[1].workflow_execution_update_accepted_event_attributes
    audit.ledger.updates[attributes.protocol_instance_id].name = "reject"
    return True


def forgetful_answer(audit: Audit) -> bool:
    audit.ledger.queries.append(Query(audit.runs[0].run_id, {"signal"}, set()))
    return True


def retried_activity(audit: Audit) -> tuple[tuple[str, int], list[Attempt]] | None:
    for key, attempts in audit.ledger.attempts.items():
        stored = audit.run_named(key[0])
        operated = stored is None or stored.workflow_id in audit.ledger.operated
        if not operated and len(attempts) > 1:
            return key, attempts
    return None


def one_attempt_too_many(audit: Audit) -> bool:
    found = retried_activity(audit)
    if found is not None:
        found[1].append(Attempt(100, 0, found[1][-1].started_ns + (1 << 62)))
    return found is not None


def no_backoff(audit: Audit) -> bool:
    found = retried_activity(audit)
    if found is not None:
        found[1][1].started_ns = found[1][1].scheduled_ns = found[1][0].started_ns
    return found is not None


def retried_for_good(audit: Audit) -> bool:
    found = retried_activity(audit)
    if found is not None:
        audit.ledger.fatal[found[0]] = 1
    return found is not None


def attempt_of_nobody(audit: Audit) -> bool:
    found = retried_activity(audit)
    if found is None or audit.ledger.crashes:
        return False
    del found[1][0]
    return list(CHECKERS["A5"](audit)) != []


def late_commit(audit: Audit) -> bool:
    audit.ranges.append(0)
    return True


def orphan(audit: Audit) -> bool:
    row = DispatchRow(audit.runs[0].number, 0, 1, "queue", TaskKind.WORKFLOW, 3, 0, stamp=1)
    audit.dispatch.append(row)
    return True


def no_wakeup(audit: Audit) -> bool:
    stored = audit.runs[0]
    stored.run.recorded.status = Status.RUNNING
    stored.run.timers["late"] = Timer("late", 1, 1)
    stored.wake_at_ns = 2
    return True


def wakeup_of_the_closed(audit: Audit) -> bool:
    audit.runs[0].wake_at_ns = 1
    return not audit.runs[0].run.is_open


def buffer_of_the_closed(audit: Audit) -> bool:
    audit.runs[0].run.buffered[1] = BufferedEvent(1, b"")
    return not audit.runs[0].run.is_open


def child_started_twice(audit: Audit) -> bool:
    for stored in audit.runs:
        if stored.run.recorded.parent_run_id and not stored.run.recorded.continued_run_id:
            audit.runs.append(msgspec.structs.replace(stored, run_id="twin"))
            return True
    return False


def parent_told_twice(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED)
    if found is not None:
        found[0].events.append(found[1])
    return found is not None


def lost_child(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
    if found is not None:
        attributes = found[1].child_workflow_execution_started_event_attributes
        attributes.workflow_execution.run_id = "nowhere"
    return found is not None


def orphaned_child(audit: Audit) -> bool:
    for stored in audit.runs:
        recorded = stored.run.recorded
        parent = audit.run_named(recorded.parent_run_id)
        if parent is None or recorded.status != Status.TERMINATED or stored.base_run_id:
            continue
        initiated = parent.events[recorded.parent_initiated_event_id - 1]
        attributes = initiated.start_child_workflow_execution_initiated_event_attributes
        if attributes.parent_close_policy != ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE:
            continue
        recorded.status = Status.COMPLETED
        recorded.close_time_ns = parent.run.recorded.close_time_ns + (1 << 40)
        return list(CHECKERS["C1"](audit)) != []
    return False


def told_of_a_request_twice(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)
    if found is not None:
        found[0].events.append(found[1])
    return found is not None


def lost_external_signal(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)
    if found is None or audit.ledger.deleted or found[0].is_base or found[0].base_run_id:
        return False
    for stored in audit.runs:
        for event in stored.events:
            event.ClearField("workflow_execution_signaled_event_attributes")
    return True


def run_that_no_list_shows(audit: Audit) -> bool:
    for listing in audit.listings.values():
        listing.numbers.clear()
    return True


def wrong_count(audit: Audit) -> bool:
    audit.listings["ExecutionStatus = 'Completed'"].count += 1
    return True


def undead_run(audit: Audit) -> bool:
    audit.ledger.deleted[audit.runs[0].run_id] = True
    return True


def reset_made_twice(audit: Audit) -> bool:
    for index, stored in enumerate(audit.runs):
        if stored.run.pending.reset_request_id:
            audit.runs.insert(index, msgspec.structs.replace(stored, run_id="twin"))
            return True
    return False


def message_of_nobody(audit: Audit) -> bool:
    for sent in audit.ledger.sent.values():
        sent.is_with_source = False
    return bool(audit.ledger.sent)


def message_that_changed_another(audit: Audit) -> bool:
    for settled in audit.ledger.settled:
        if settled.by:
            settled.by = "0 somebody else"
            return True
    return False


def message_heard_twice(audit: Audit) -> bool:
    for settled in audit.ledger.settled:
        if settled.by:
            settled.target = ""
            return True
    return False


def message_left_over(audit: Audit) -> bool:
    audit.ledger.sent[1_000] = Sent(1, is_with_source=True)
    return audit.is_final


def run_deleted_too_early(audit: Audit) -> bool:
    for deletion in audit.ledger.deletions:
        if not deletion.is_asked:
            deletion.now_ns = deletion.close_ns
            return True
    return False


def open_run_deleted(audit: Audit) -> bool:
    audit.ledger.deletions.append(Deletion("gone", 0, 1 << 62, is_asked=False))
    return True


def planned_runs(audit: Audit) -> list[StoredRun]:
    return [each for each in audit.runs if each.workflow_id.startswith("planned-")]


def start_of_another_id(audit: Audit) -> bool:
    for stored in planned_runs(audit):
        # What goes on from another run, or was reset, has its id from there.
        if not stored.run.recorded.continued_run_id and not stored.base_run_id:
            stored.workflow_id = "planned-otherwise"
            return True
    return False


def time_that_started_twice(audit: Audit) -> bool:
    for planned in audit.ledger.schedules.values():
        planned.is_triggered = False
    for stored in planned_runs(audit):
        if not stored.run.recorded.continued_run_id:
            audit.runs.append(msgspec.structs.replace(stored, run_id="twin"))
            return True
    return False


def overlapping_starts(audit: Audit) -> bool:
    if audit.ledger.is_clock_set or len(audit.ledger.schedules) != 1:
        return False
    (planned,) = audit.ledger.schedules.values()
    stored = planned_runs(audit)
    if planned.overlap not in SEQUENTIAL or len(stored) < 2:
        return False
    stored[1].run.recorded.start_time_ns = stored[0].run.recorded.start_time_ns
    return True


def lost_schedule(audit: Audit) -> bool:
    audit.ledger.schedules["lost"] = Planned("lost", 1, 1, is_created=True)
    return True


def undead_schedule(audit: Audit) -> bool:
    for schedule_id in audit.ledger.schedules:
        audit.schedules[schedule_id] = object()
        return True
    return False


def endless_run(audit: Audit) -> bool:
    audit.runs[0].run.recorded.status = Status.RUNNING
    return audit.is_final


@pytest.mark.parametrize(
    ("invariant", "plant"),
    [
        ("H1", swap_times),
        ("H1", gap_in_batches),
        ("H2", other_bytes_read),
        ("H3", state_beside_the_history),
        ("H3", bytes_beside_the_head),
        ("H4", unreadable_batch),
        ("H4", deep_failure),
        ("H5", another_command),
        ("H6", lost_completion),
        ("H6", lost_termination),
        ("H6", lost_result),
        ("W1", event_after_the_close),
        ("W1", second_open_run),
        ("W1", duplicate_against_its_policy),
        ("W2", lost_start),
        ("W2", start_made_twice),
        ("W3", lost_successor),
        ("W4", two_tasks),
        ("W4", news_without_a_task),
        ("T1", timer_fired_twice),
        ("T2", timer_fired_early),
        ("A1", activity_over_twice),
        ("A4", result_of_nobody),
        ("S1", lost_signal),
        ("S1", doubled_signal),
        ("S2", buffer_of_the_closed),
        ("T3", no_wakeup),
        ("T4", wakeup_of_the_closed),
        ("T4", orphan),
        ("A2", one_attempt_too_many),
        ("A2", no_backoff),
        ("A2", retried_for_good),
        ("A5", attempt_of_nobody),
        ("U1", update_accepted_twice),
        ("U1", other_outcome),
        ("U1", lost_update),
        ("U2", recorded_rejection),
        ("Q1", forgetful_answer),
        ("C1", child_started_twice),
        ("C1", parent_told_twice),
        ("C1", lost_child),
        ("C1", orphaned_child),
        ("C2", told_of_a_request_twice),
        ("C2", lost_external_signal),
        ("V1", run_that_no_list_shows),
        ("V1", wrong_count),
        ("V1", undead_run),
        ("W3", reset_made_twice),
        ("F1", late_commit),
        ("F2", message_of_nobody),
        ("F2", message_that_changed_another),
        ("F2", message_heard_twice),
        ("F2", message_left_over),
        ("R1", run_deleted_too_early),
        ("R1", open_run_deleted),
        ("Z1", start_of_another_id),
        ("Z1", time_that_started_twice),
        ("Z1", overlapping_starts),
        ("Z1", lost_schedule),
        ("Z1", undead_schedule),
        ("F3", orphan),
        ("L1", endless_run),
    ],
)
def test_a_planted_violation_is_found(invariant: str, plant: Plant) -> None:
    assert_found(invariant, plant)
