"""The harness itself: what programs are, what counts as equal, and that a difference is told."""

from __future__ import annotations

import concurrent.futures
import io
from collections import Counter

from rich.console import Console
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from tests.differential.board import Region
from tests.differential.canonical import canonical
from tests.differential.compare import Pair, compare, shrunk
from tests.differential.coverage import NEVER, wanted
from tests.differential.deployments import DEPLOYMENT_ACTIONS
from tests.differential.generate import generate
from tests.differential.generate_deployments import generate_deployments
from tests.differential.generate_jobs import generate_jobs
from tests.differential.generate_nexus import generate_nexus
from tests.differential.jobs import CALLS as JOB_CALLS
from tests.differential.kinds import KINDS, SHARES, programs
from tests.differential.program import (
    Activity,
    Gate,
    Plan,
    Program,
    Timer,
    Top,
    actions_of,
    has_races,
    script,
    steps_of,
)
from tests.differential.report import report, summary
from tests.differential.seen import Seen
from tests.differential.settled import RunView
from tests.differential.shrink import smaller
from tests.differential.sides import Result, sides

SEEDS = range(1_000)


def test_a_seed_gives_the_same_program_again() -> None:
    for seed in SEEDS[:50]:
        assert generate(seed) == generate(seed)
    assert len({script(generate(seed)) for seed in SEEDS}) == len(SEEDS)
    assert {generate_nexus(seed) == generate_nexus(seed) for seed in SEEDS[:50]} == {True}


def test_a_third_of_the_programs_race() -> None:
    assert sum(has_races(generate(seed)) for seed in SEEDS) > len(SEEDS) / 3


def test_every_kind_of_step_and_of_action_is_written() -> None:
    steps, actions = Counter[str](), Counter[str]()
    for seed in SEEDS:
        for step in (*steps_of(generate(seed)), *steps_of(generate_nexus(seed))):
            steps[type(step).__name__] += 1
            actions.update(action.kind for action in getattr(step, "actions", ()))
    assert len(steps) == 16
    assert set(actions) == {
        *("signal", "cancel", "terminate", "describe", "start", "answer", "release"),
        *("query", "update", "poll", "reset", "signal-with-start", "update-with-start"),
    }


def test_every_call_about_standalone_activities_is_written() -> None:
    calls = {call.kind for seed in SEEDS[:300] for call in generate_jobs(seed).calls}
    assert calls == {*JOB_CALLS, "release"}
    assert generate_jobs(7) == generate_jobs(7)


def test_everything_that_operators_do_with_deployments_is_written() -> None:
    written = [generate_deployments(seed) for seed in SEEDS[:300]]
    kinds = {action.kind for program in written for action in actions_of(program)}
    assert kinds >= {*DEPLOYMENT_ACTIONS}
    assert {f"deployments call {kind}" for kind in DEPLOYMENT_ACTIONS} == {*wanted("deployments")}
    assert generate_deployments(7) == generate_deployments(7)


def test_what_is_wanted_of_one_kind_is_not_wanted_of_another() -> None:
    names = [name for kind in KINDS for name in wanted(kind)]
    assert len(names) == len(set(names))
    assert set(wanted()) < set(names)


def test_programs_of_all_kinds_are_told_apart_by_their_titles() -> None:
    some = list(programs(list(KINDS), range(20)))
    assert {program.kind for program in some} == {kind for kind in KINDS if SHARES[kind]}
    assert len({program.title for program in some}) == len(some)


def test_names_that_must_occur_are_no_others() -> None:
    assert not set(wanted()) & set(NEVER)
    assert "event WORKFLOW_EXECUTION_UPDATE_ADMITTED" in wanted()
    assert "command PROTOCOL_MESSAGE" in wanted()


def _seen(*signals: str, region: Region | None = None) -> Seen:
    """One run that got signals: events 2 to n, of which those behind `region.first` race."""
    events = [HistoryEvent(event_id=1, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)]
    events[0].workflow_execution_started_event_attributes.attempt = 1
    for number, name in enumerate(signals, 2):
        event = HistoryEvent(
            event_id=number, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
        )
        event.workflow_execution_signaled_event_attributes.signal_name = name
        events.append(event)
    seen = Seen(nonce="n", queue="q", runs=[RunView("w1-n", "run", events=events)])
    if region is not None:
        seen.regions = {"run": {"r": region}}
    return seen


def _plain(seen: Seen, has_races: bool) -> object:
    return canonical(seen, has_races=has_races, has_heartbeats=False)


def test_the_order_of_events_counts_outside_of_a_race() -> None:
    assert _plain(_seen("a", "b"), False) != _plain(_seen("b", "a"), False)
    region = Region(2, 4)
    assert _plain(_seen("a", "b", "c", "d", "e", region=region), True) != _plain(
        _seen("a", "b", "c", "e", "d", region=region), True
    )


def test_the_order_of_events_within_a_race_does_not_count_but_the_events_do() -> None:
    region = Region(1, 3)
    assert _plain(_seen("a", "b", "c", region=region), True) == _plain(
        _seen("b", "a", "c", region=region), True
    )
    assert _plain(_seen("a", "b", "c", region=region), True) != _plain(
        _seen("b", "b", "c", region=region), True
    )


def test_a_program_can_lack_each_of_its_parts() -> None:
    program = Program(1, (Top("w1", Plan((Timer("t1"), Activity("a1")), ending="fail")),))
    names = {tuple(step.name for step in steps_of(each)) for each in smaller(program)}
    assert {("t1",), ("a1",)} <= names
    assert any(each.workflows[0].plan.ending == "complete" for each in smaller(program))


class OneSided:
    """A side for which a word of one program is another."""

    def __init__(self, word: str) -> None:
        self._word = word

    def submit(self, program: Program) -> object:
        """The result, at once."""
        future: concurrent.futures.Future[Result] = concurrent.futures.Future()
        has_timer = any(isinstance(step, Timer) for step in steps_of(program))
        event = {"event_id": 1, "event_type": self._word if has_timer else "same"}
        future.set_result(Result({"history of w1 #1": [event]}, Counter(), 0.0))
        return future


def test_a_difference_is_made_small_and_told_with_how_to_run_it_again() -> None:
    pair: Pair = (OneSided("fired"), OneSided("canceled"))  # type: ignore[assignment]
    steps = (Gate("g1"), Timer("t1"), Activity("a1"))
    verdicts = list(compare(pair, [Program(7, (Top("w1", Plan(steps)),)), Program(8, ())]))
    assert [(verdict.program.seed, verdict.is_same) for verdict in verdicts] == [
        (8, True),
        (7, False),
    ]
    found = shrunk(pair, verdicts[1])
    assert [type(step) for step in steps_of(found.program)] == [Timer]
    told_to = io.StringIO()
    report(Console(file=told_to, width=100), found)
    told = told_to.getvalue()
    assert "python -m tests.differential --kind workflows --seeds 7:8" in told
    assert "1 fired" in told
    assert "1 canceled" in told


def test_what_never_occurred_is_told() -> None:
    told = io.StringIO()
    counts = dict.fromkeys(wanted(), 1) | {"event TIMER_FIRED": 0}
    assert summary(Console(file=told, width=100), counts) == ["event TIMER_FIRED"]
    assert "never occurred, though it must: event TIMER_FIRED" in told.getvalue()


def test_both_servers_carry_out_programs_alike() -> None:
    with sides(8) as pair:
        verdicts = list(compare(pair, (generate(seed) for seed in range(5))))
    assert [verdict.difference for verdict in verdicts] == [None] * 5
    assert sum(verdict.counts["status COMPLETED"] for verdict in verdicts) > 0
