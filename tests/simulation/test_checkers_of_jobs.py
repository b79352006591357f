"""The checker of standalone activities finds the violations that are planted for it."""

from __future__ import annotations

import msgspec
import pytest

from perdure.server.machines.standalone_activity.state import Status
from sim.audit import Audit, StoredJob
from sim.ledger import Job
from tests.simulation.planting import Plant, assert_found


def completed(audit: Audit) -> StoredJob | None:
    for stored in audit.jobs:
        if stored.run.head.status == Status.COMPLETED:
            return stored
    return None


def lost_start(audit: Audit) -> bool:
    audit.ledger.jobs["request"] = Job("job", 1, ["nowhere"])
    return True


def start_answered_with_an_older_run(audit: Audit) -> bool:
    ids = [stored.run.run_id for stored in audit.jobs]
    audit.ledger.jobs["request"] = Job("job", 1, ids[::-1])
    return len(ids) > 1


def start_carried_out_twice(audit: Audit) -> bool:
    found = completed(audit)
    if found is not None:
        audit.jobs.insert(audit.jobs.index(found), found)
    return found is not None


def two_open_runs(audit: Audit) -> bool:
    found = completed(audit)
    if found is None:
        return False
    found.run.head.status = Status.RUNNING
    found.is_current = True
    audit.is_final = False
    audit.jobs.append(msgspec.structs.replace(found))
    return True


def open_run_that_is_not_the_current_one(audit: Audit) -> bool:
    found = completed(audit)
    if found is None:
        return False
    found.run.head.status = Status.RUNNING
    found.is_current = audit.is_final = False
    return True


def job_that_never_ends(audit: Audit) -> bool:
    found = completed(audit)
    if found is not None:
        found.run.head.status = Status.RUNNING
    return found is not None and found.is_current


def wakeup_of_the_closed(audit: Audit) -> bool:
    found = completed(audit)
    if found is not None:
        found.run.head.wake_at_ns = 1
    return found is not None


def result_of_nobody(audit: Audit) -> bool:
    audit.ledger.results.clear()
    return completed(audit) is not None


def lost_result(audit: Audit) -> bool:
    found = completed(audit)
    if found is None:
        return False
    found.run.head.status = Status.TIMED_OUT
    return (found.run.run_id, found.activity_id) in audit.ledger.acknowledged_activities


def uncontrolled(audit: Audit) -> list[int] | None:
    for stored in audit.jobs:
        attempts = audit.ledger.job_attempts.get(stored.run.run_id)
        if attempts and stored.activity_id not in audit.ledger.controlled_jobs:
            return attempts
    return None


def one_attempt_too_many(audit: Audit) -> bool:
    attempts = uncontrolled(audit)
    if attempts is not None:
        attempts.append(100)
    return attempts is not None


def attempts_in_disorder(audit: Audit) -> bool:
    attempts = uncontrolled(audit)
    if attempts is not None:
        attempts.append(0)
    return attempts is not None


@pytest.mark.parametrize(
    "plant",
    [
        lost_start,
        start_answered_with_an_older_run,
        start_carried_out_twice,
        two_open_runs,
        open_run_that_is_not_the_current_one,
        job_that_never_ends,
        wakeup_of_the_closed,
        result_of_nobody,
        lost_result,
        one_attempt_too_many,
        attempts_in_disorder,
    ],
)
def test_a_planted_violation_is_found(plant: Plant) -> None:
    assert_found("J1", plant)
