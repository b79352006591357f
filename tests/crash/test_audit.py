"""The audit finds what it is there to find: each lie in the ledger of a healthy server."""

from __future__ import annotations

import asyncio
import copy
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from temporalio.api.enums.v1 import EventType

from perdure.server.machines.workflow.state import Status
from perdure.server.store.sqlite import open_sqlite
from sim.audit import Audit, Auditor
from sim.ledger import Completion, Ledger, Signal, Start
from tests.crash.audit import problems, served_problems
from tests.crash.in_process import serving
from tests.crash.load import Load

GHOST = "00000000-0000-7000-8000-000000000000"
WORKFLOW = "client-0-1"


class Observed(msgspec.Struct):
    """What a healthy server left behind, and what it said of itself."""

    audit: Audit
    served: list[str]
    served_with_a_lie: list[str]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """A load without any crash."""
    return asyncio.run(_observe(tmp_path_factory.mktemp("audit") / "perdure.db"))


async def _observe(database: Path) -> Observed:
    store = open_sqlite(database)
    async with (
        serving(store) as server,
        Load(server.port, random.Random(7)) as load,
    ):
        await load.until_acknowledged(300)
        await load.finish()
        served = await served_problems(load.connection, load.ledger)
        lying = copy.deepcopy(load.ledger)
        _one_start_too_many(lying)
        served_with_a_lie = await served_problems(load.connection, lying)
        auditor = Auditor(store, load.ledger)
        audit = await auditor.take(time.time_ns(), is_final=True)
        assert load.problems == []
    return Observed(audit, served, served_with_a_lie)


def _one_signal_too_many(ledger: Ledger) -> None:
    ledger.signals["ghost"] = Signal(WORKFLOW, "", "ghost", 1, is_acknowledged=True)


def _one_signal_that_nobody_sent(ledger: Ledger) -> None:
    name = next(name for name, signal in ledger.signals.items() if signal.is_acknowledged)
    del ledger.signals[name]


def _one_start_too_many(ledger: Ledger) -> None:
    ledger.starts["ghost"] = Start(WORKFLOW, 1, 1, run_ids=[GHOST], is_new=True)


def _one_start_that_nobody_sent(ledger: Ledger) -> None:
    ledger.starts.popitem()


def _one_start_answered_twice(ledger: Ledger) -> None:
    first, second, *_ = ledger.starts.values()
    first.run_ids.append(second.run_ids[0])


def _one_task_too_many(ledger: Ledger) -> None:
    run_id, _ = next(iter(ledger.completions))
    ledger.completions[run_id, 999] = Completion(WORKFLOW, run_id, 999, is_acknowledged=True)


def _one_activity_too_many(ledger: Ledger) -> None:
    ledger.acknowledged_activities.add((GHOST, "activity-0"))


def _one_termination_too_many(ledger: Ledger) -> None:
    completed = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    ledger.terminated.add(
        next(run_id for run_id, kind in ledger.closed_seen.items() if kind == completed)
    )


def _one_close_too_many(ledger: Ledger) -> None:
    ledger.closed_seen[GHOST] = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED


def _one_result_that_nobody_produced(ledger: Ledger) -> None:
    for produced in ledger.results.values():
        produced.clear()


def _one_event_read_otherwise(ledger: Ledger) -> None:
    entries = next(iter(ledger.reads.values()))
    entries[1] = entries[0]


def _one_event_too_many_read(ledger: Ledger) -> None:
    entries = next(iter(ledger.reads.values()))
    entries.append(entries[-1])


LIES: dict[str, tuple[Callable[[Ledger], None], str]] = {
    "one signal too many": (_one_signal_too_many, "S1"),
    "a signal that nobody sent": (_one_signal_that_nobody_sent, "S1"),
    "one start too many": (_one_start_too_many, "W2"),
    "a start that nobody sent": (_one_start_that_nobody_sent, "W2"),
    "a start answered with two runs": (_one_start_answered_twice, "W2"),
    "one workflow task too many": (_one_task_too_many, "H6"),
    "one activity too many": (_one_activity_too_many, "H6"),
    "one termination too many": (_one_termination_too_many, "H6"),
    "one close too many": (_one_close_too_many, "H6"),
    "a result that nobody produced": (_one_result_that_nobody_produced, "A4"),
    "an event that was read otherwise": (_one_event_read_otherwise, "H2"),
    "one event too many was read": (_one_event_too_many_read, "H2"),
}


def test_a_healthy_server_has_no_problems(observed: Observed) -> None:
    assert observed.served == []
    assert problems(observed.audit) == []
    statuses = {stored.run.recorded.status for stored in observed.audit.runs}
    assert statuses == {Status.COMPLETED, Status.TERMINATED, Status.CONTINUED_AS_NEW}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_under_its_name(observed: Observed, lie: str) -> None:
    tell, invariant = LIES[lie]
    ledger = copy.deepcopy(observed.audit.ledger)
    tell(ledger)
    found = problems(msgspec.structs.replace(observed.audit, ledger=ledger))
    assert {problem.partition(":")[0] for problem in found} == {invariant}


def test_a_run_that_is_not_listed_is_found(observed: Observed) -> None:
    assert observed.served_with_a_lie == [f"V1: {GHOST} is not listed"]
