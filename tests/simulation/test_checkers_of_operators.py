"""The checkers of deployments and batch operations find violations that are planted for them."""

from __future__ import annotations

import uuid

import pytest
from temporalio.api.enums.v1 import EventType

from perdure.server.housekeeping.batches.job import COMPLETED, RUNNING, Job
from perdure.server.machines.deployment.names import UNVERSIONED
from perdure.server.machines.deployment.state import Deployment, Drainage, Status
from perdure.server.machines.workflow.state import Status as RunStatus
from sim.audit import Audit
from sim.checkers.d2_versions import pins
from sim.ledger import Batch, Route
from sim.workload.batches import SIGNAL
from sim.workload.facts import DEPLOYMENT
from tests.simulation.planting import Plant, assert_found, find


def deployment_of(audit: Audit) -> Deployment | None:
    return audit.deployments.get(DEPLOYMENT)


def lost_deployment(audit: Audit) -> bool:
    audit.deployments.clear()
    return Route() not in audit.ledger.routes


def work_that_goes_elsewhere(audit: Audit) -> bool:
    deployment = deployment_of(audit)
    if deployment is None or deployment.routing.current != UNVERSIONED:
        return False
    audit.ledger.routes = {Route("build-0")}
    return True


def work_for_nobody(audit: Audit) -> bool:
    deployment = deployment_of(audit)
    if deployment is not None:
        deployment.routing.current = "nobody"
        audit.ledger.routes = {
            Route("nobody", deployment.routing.ramping, deployment.routing.percentage)
        }
    return deployment is not None


def version_that_should_be_gone(audit: Audit) -> bool:
    deployment = deployment_of(audit)
    if deployment is not None:
        audit.ledger.is_spare_there = not audit.ledger.is_spare_there
    return deployment is not None


def version_that_says_otherwise(audit: Audit) -> bool:
    deployment = deployment_of(audit)
    for version in () if deployment is None else deployment.versions.values():
        if version.status == Status.CURRENT:
            version.status = Status.INACTIVE
            return True
    return False


def endless_drainage(audit: Audit) -> bool:
    deployment = deployment_of(audit)
    for version in () if deployment is None else deployment.versions.values():
        if version.drainage == Drainage.DRAINED:
            version.status, version.drainage = Status.DRAINING, Drainage.DRAINING
            return audit.is_final
    return False


def drained_too_early(audit: Audit) -> bool:
    deployment = deployment_of(audit)
    if deployment is None or audit.ledger.is_clock_set:
        return False
    for stored in audit.runs:
        version = deployment.versions.get(pins(stored).build_id or "")
        if version is not None and version.drainage == Drainage.DRAINED:
            version.drainage_changed_ns += 1 << 62
            stored.run.recorded.status = RunStatus.RUNNING
            return True
    return False


def task_of_another_version(audit: Audit) -> bool:
    for stored in audit.runs:
        expected = pins(stored).expected
        for event in stored.events:
            attributes = event.workflow_task_completed_event_attributes
            started = attributes.started_event_id
            if started in expected and (stored.run_id, started) not in audit.ledger.transitions:
                attributes.deployment_version.build_id = "another"
                return True
    return False


def batch_of(audit: Audit, operation: str) -> tuple[str, Batch, Job] | None:
    for job_id, batch in audit.ledger.batches.items():
        job = audit.batches.get(job_id)
        if batch.operation == operation and job is not None and job.state == COMPLETED:
            return job_id, batch, job
    return None


def lost_batch(audit: Audit) -> bool:
    is_begun = any(batch.is_started for batch in audit.ledger.batches.values())
    audit.batches.clear()
    return is_begun


def endless_batch(audit: Audit) -> bool:
    for job in audit.batches.values():
        job.state = RUNNING
    return audit.is_final and bool(audit.batches)


def batch_that_goes_on(audit: Audit) -> bool:
    audit.is_final = False
    for job_id, job in audit.batches.items():
        job.state, audit.ledger.batches[job_id].is_stopped = RUNNING, True
    return bool(audit.batches)


def run_left_out(audit: Audit) -> bool:
    found = batch_of(audit, "terminate")
    if found is None or found[2].failed:
        return False
    stored = audit.runs[0]
    stored.run.recorded.status = RunStatus.RUNNING
    found[1].targets.append(stored.run_id)
    return stored.workflow_id not in audit.ledger.paused


def run_not_deleted(audit: Audit) -> bool:
    found = batch_of(audit, "delete")
    if found is None or found[2].failed:
        return False
    found[1].targets.append(audit.runs[0].run_id)
    return audit.runs[0].workflow_id not in audit.ledger.paused


def signalled_twice(audit: Audit) -> bool:
    for stored in audit.runs:
        for event in stored.events:
            if event.workflow_execution_signaled_event_attributes.signal_name == SIGNAL:
                stored.events.append(event)
                return True
    return False


def signal_of_no_batch(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    if found is not None:
        attributes = found[1].workflow_execution_signaled_event_attributes
        attributes.signal_name, attributes.request_id = SIGNAL, str(uuid.UUID(int=1))
    return found is not None and not audit.ledger.deleted


@pytest.mark.parametrize(
    ("invariant", "plant"),
    [
        ("D1", lost_deployment),
        ("D1", work_that_goes_elsewhere),
        ("D1", work_for_nobody),
        ("D1", version_that_should_be_gone),
        ("D1", version_that_says_otherwise),
        ("D1", endless_drainage),
        ("D1", drained_too_early),
        ("D2", task_of_another_version),
        ("G1", lost_batch),
        ("G1", endless_batch),
        ("G1", batch_that_goes_on),
        ("G1", run_left_out),
        ("G1", run_not_deleted),
        ("G1", signalled_twice),
        ("G1", signal_of_no_batch),
    ],
)
def test_a_planted_violation_is_found(invariant: str, plant: Plant) -> None:
    assert_found(invariant, plant)
