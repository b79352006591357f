"""U1: a run accepts an update at most once, completes it at most once and afterwards, and all who
wait for it see the same outcome, which is the recorded one."""

from __future__ import annotations

from collections.abc import Iterator

from sim.audit import Audit, StoredRun


def check(audit: Audit) -> Iterator[str]:
    """Every update that is there twice, out of order, lost, or told differently."""
    for stored in audit.runs:
        yield from _check_run(stored)
    for update_id, update in audit.ledger.updates.items():
        for run_id in update.accepted_by:
            found = audit.run_named(run_id)
            if found is not None and update_id not in accepted_by(found):
                yield f"{run_id}: update {update_id}, which it accepted, is lost"
        for run_id, outcomes in update.outcomes.items():
            if len(outcomes) > 1:
                yield f"{run_id}: update {update_id} has outcomes {sorted(outcomes)}"
            found = audit.run_named(run_id)
            recorded = None if found is None else completed_by(found).get(update_id)
            if recorded is not None and {recorded} != outcomes:
                yield f"{run_id}: update {update_id} has another outcome than its caller was told"


def accepted_by(stored: StoredRun) -> set[str]:
    """Ids of the updates that a run has accepted."""
    return {
        event.workflow_execution_update_accepted_event_attributes.protocol_instance_id
        for event in stored.events
        if event.HasField("workflow_execution_update_accepted_event_attributes")
    }


def completed_by(stored: StoredRun) -> dict[str, bytes]:
    """Outcomes of the updates that a run has completed."""
    found = {}
    for event in stored.events:
        if event.HasField("workflow_execution_update_completed_event_attributes"):
            attributes = event.workflow_execution_update_completed_event_attributes
            found[attributes.meta.update_id] = attributes.outcome.SerializeToString()
    return found


def _check_run(stored: StoredRun) -> Iterator[str]:
    accepted: dict[str, int] = {}
    completed: set[str] = set()
    for event in stored.events:
        if event.HasField("workflow_execution_update_accepted_event_attributes"):
            taken = event.workflow_execution_update_accepted_event_attributes
            if taken.protocol_instance_id in accepted:
                yield f"{stored.run_id}: event {event.event_id} accepts an update again"
            accepted[taken.protocol_instance_id] = event.event_id
        elif event.HasField("workflow_execution_update_completed_event_attributes"):
            done = event.workflow_execution_update_completed_event_attributes
            if accepted.get(done.meta.update_id) != done.accepted_event_id:
                yield f"{stored.run_id}: event {event.event_id} completes what was not accepted"
            if done.meta.update_id in completed:
                yield f"{stored.run_id}: event {event.event_id} completes an update again"
            completed.add(done.meta.update_id)
