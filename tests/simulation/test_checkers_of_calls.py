"""The checkers of what is called outside find the violations that are planted for them."""

from __future__ import annotations

import msgspec
import pytest
from temporalio.api.enums.v1 import EventType

from perdure.server.machines.standalone_nexus.state import Status
from perdure.server.machines.workflow.state import Callback, CallbackState
from sim.audit import Audit, StoredRun
from sim.checkers import CHECKERS
from sim.ledger import Heard, OperationStart
from tests.simulation.planting import Plant, assert_found, find


def operation_over_twice(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED)
    if found is not None:
        found[0].events.append(found[1])
    return found is not None


def operation_started_twice(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED)
    if found is not None:
        found[0].events.append(found[1])
    return found is not None


def result_of_no_handler(audit: Audit) -> bool:
    found = find(audit, EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED)
    audit.ledger.operation_results.clear()
    return found is not None


def called(audit: Audit) -> tuple[StoredRun, Callback] | None:
    for stored in audit.runs:
        for callback in stored.run.callbacks.values():
            if callback.state == CallbackState.SUCCEEDED:
                return stored, callback
    return None


def callback_that_nobody_heard(audit: Audit) -> bool:
    audit.ledger.heard.clear()
    return called(audit) is not None


def callback_in_state(audit: Audit, state: CallbackState) -> bool:
    found = called(audit)
    if found is not None:
        stored, callback = found
        stored.run.callbacks[callback.key] = msgspec.structs.replace(callback, state=state)
    return found is not None


def forgotten_callback(audit: Audit) -> bool:
    return audit.is_final and callback_in_state(audit, CallbackState.BACKING_OFF)


def callback_that_was_called_and_waits(audit: Audit) -> bool:
    return callback_in_state(audit, CallbackState.STANDBY)


def another_end_told(audit: Audit) -> bool:
    for url, heard in audit.ledger.heard.items():
        first = heard[0]
        if audit.run_named(first.run_id) is not None:
            state = "failed" if first.state == "succeeded" else "succeeded"
            audit.ledger.heard[url] = [Heard(first.run_id, first.workflow_id, state)]
            return True
    return False


def operation_of_nobody(audit: Audit) -> bool:
    audit.ledger.operations["request"] = OperationStart("operation", ["nowhere"])
    return True


def second_open_operation(audit: Audit) -> bool:
    for stored in audit.operations:
        stored.run.head.status = Status.RUNNING
        audit.operations.append(stored)
        audit.is_final = False
        return True
    return False


def endless_operation(audit: Audit) -> bool:
    for stored in audit.operations:
        stored.run.head.status = Status.RUNNING
    return audit.is_final and bool(audit.operations)


def operation_that_sleeps_too_long(audit: Audit) -> bool:
    for stored in audit.operations:
        stored.run.head.status, stored.is_current, audit.is_final = Status.RUNNING, True, False
        stored.wake_at_ns = 1 << 62
        return list(CHECKERS["O2"](audit)) != []
    return False


def wakeup_of_a_closed_operation(audit: Audit) -> bool:
    for stored in audit.operations:
        stored.wake_at_ns = 1
    return bool(audit.operations)


def operation_with_a_result_of_nobody(audit: Audit) -> bool:
    for stored in audit.operations:
        if stored.run.head.status == Status.COMPLETED:
            audit.ledger.operation_results.clear()
            return True
    return False


@pytest.mark.parametrize(
    ("invariant", "plant"),
    [
        ("O1", operation_over_twice),
        ("O1", operation_started_twice),
        ("O1", result_of_no_handler),
        ("O2", operation_of_nobody),
        ("O2", second_open_operation),
        ("O2", endless_operation),
        ("O2", operation_that_sleeps_too_long),
        ("O2", wakeup_of_a_closed_operation),
        ("O2", operation_with_a_result_of_nobody),
        ("K1", callback_that_nobody_heard),
        ("K1", forgotten_callback),
        ("K1", callback_that_was_called_and_waits),
        ("K1", another_end_told),
    ],
)
def test_a_planted_violation_is_found(invariant: str, plant: Plant) -> None:
    assert_found(invariant, plant)
