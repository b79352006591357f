"""When schedules start what: times, overlaps, backfills, pauses, limits, and what is passed on."""

from __future__ import annotations

import pytest
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.api.schedule.v1 import ScheduleSpec, ScheduleState

from perdure.server.machines.errors import AlreadyStarted, FailedPrecondition, NotFound
from perdure.server.machines.schedule import inputs, messages
from perdure.server.machines.schedule.acting import BUFFER_MAX, RETENTION_NS
from perdure.server.machines.schedule.state import Backfill, Overlap
from perdure.server.machines.wire import duration
from tests.machines.schedules.world import (
    HOUR_NS,
    World,
    at,
    counts,
    hourly,
    limited,
    request_of,
    schedule,
)

PAUSED = ScheduleState(paused=True)
FAILED, CANCELED, TERMINATED, TIMED_OUT = 3, 4, 5, 7


def backfill(first: str, last: str, overlap: Overlap = Overlap.UNSPECIFIED) -> tuple[Backfill]:
    return (Backfill(at(first) - 1, at(last), overlap),)


THREE = backfill("2025-12-31T00:00:00", "2025-12-31T02:00:00")


def test_each_time_starts_one_workflow_named_for_it() -> None:
    world = World()
    world.create(schedule())
    world.sleep_until("2026-01-01T00:59:59")
    assert world.starts() == []
    world.sleep_until("2026-01-01T01:00:00")
    assert world.starts() == ["job-2026-01-01T01:00:00Z"]
    world.end()
    world.sleep_until("2026-01-01T02:10:00")
    assert world.starts() == ["job-2026-01-01T02:00:00Z"]
    assert counts(world.state) == {"actions": 2}
    assert [action.status for action in world.state.actions] == [2, 1]


def test_the_start_carries_schedule_and_time() -> None:
    world = World()
    world.create(schedule())
    world.sleep_until("2026-01-01T01:00:00")
    (effect,) = world.take()
    request = request_of(effect)
    attributes = request.search_attributes.indexed_fields
    assert attributes["TemporalScheduledStartTime"].data == b'"2026-01-01T01:00:00Z"'
    assert attributes["TemporalScheduledById"].data == b'"schedule"'
    assert request.identity == "temporal-scheduler-default-schedule"
    assert request.workflow_task_timeout.seconds == 10
    again = World()
    again.create(schedule())
    again.sleep_until("2026-01-01T01:00:00")
    assert again.take() == [effect], "the same start has the same request id"


OVERLAPS: dict[Overlap, tuple[list[str], dict[str, int], int]] = {
    Overlap.SKIP: ([], {"overlap_skipped": 3}, 0),
    Overlap.BUFFER_ONE: (["00"], {"overlap_skipped": 2}, 1),
    Overlap.BUFFER_ALL: (["00", "01", "02"], {}, 3),
    Overlap.CANCEL_OTHER: (["02"], {}, 3),
    Overlap.TERMINATE_OTHER: (["02"], {}, 3),
}
"""Three times come while a workflow goes on: which start when it and those after it have ended,
what was counted, and how many wait at first. As seen on the real server."""


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_an_overlap_policy_says_who_may_follow(overlap: Overlap) -> None:
    hours, counted, waiting = OVERLAPS[overlap]
    world = World()
    world.create(schedule(overlap, state=PAUSED), trigger=Overlap.UNSPECIFIED)
    world.starts()
    world.patch(backfills=THREE)
    assert len(world.state.buffer) == waiting
    started = []
    while world.state.started:
        world.end()
        started += world.starts()
    assert started == [f"job-2025-12-31T{hour}:00:00Z" for hour in hours]
    assert counts(world.state) == {"actions": 1 + len(hours), **counted}
    assert not world.state.buffer


def test_allow_all_starts_whatever_goes_on() -> None:
    world = World()
    world.create(schedule(Overlap.ALLOW_ALL), trigger=Overlap.SKIP)
    world.patch(backfills=THREE)
    assert len(world.starts()) == 4
    assert [started.number for started in world.state.started] == [1], "others are in nobody's way"
    assert len(world.state.actions) == 4
    world.decide(messages.ActionClosed(world.state.run_id, 3, 2))
    assert [action.status for action in world.state.actions] == [1, 1, 2, 1]


@pytest.mark.parametrize(
    ("overlap", "asked"),
    [
        (Overlap.CANCEL_OTHER, messages.CancelScheduled),
        (Overlap.TERMINATE_OTHER, messages.TerminateScheduled),
    ],
)
def test_others_are_ended_once(overlap: Overlap, asked: type) -> None:
    world = World()
    world.create(schedule(overlap), trigger=Overlap.UNSPECIFIED)
    world.starts()
    world.sleep_until("2026-01-01T03:10:00")
    assert [type(effect.message) for effect in world.take()] == [asked]


def test_who_begins_late_is_ended_too() -> None:
    world = World()
    world.create(schedule(Overlap.CANCEL_OTHER), trigger=Overlap.UNSPECIFIED)
    (start,) = world.take()
    world.sleep_until("2026-01-01T01:10:00")
    assert world.take() == []
    world.begin(start)
    assert [type(effect.message) for effect in world.take()] == [messages.CancelScheduled]


def test_a_start_that_is_refused_makes_room() -> None:
    world = World()
    world.create(schedule(Overlap.BUFFER_ALL), trigger=Overlap.UNSPECIFIED)
    (start,) = world.take()
    world.patch(trigger=Overlap.UNSPECIFIED, trigger_ns=at("2025-01-01T00:00:00"))
    assert world.take() == []
    world.decide(messages.ActionFailed(world.state.run_id, start.message.sender.number))
    assert world.starts() == ["job-2025-01-01T00:00:00Z"]
    assert counts(world.state) == {"actions": 1}


def test_news_that_comes_twice_changes_nothing() -> None:
    world = World()
    world.create(schedule(), trigger=Overlap.UNSPECIFIED)
    (start,) = world.take()
    world.begin(start)
    head = world.head
    with pytest.raises(NotFound):
        world.begin(start)
    assert world.head == head
    world.decide(messages.ActionClosed(world.state.run_id, 1, 2))
    other = messages.ActionClosed("another run of the id", 1, 2)
    with pytest.raises(NotFound):
        world.decide(other)


def test_what_was_missed_is_caught_up_within_the_window() -> None:
    world = World()
    window = duration(2 * HOUR_NS)
    world.create(schedule(Overlap.ALLOW_ALL, catchup_window=window))
    world.oversleep_until("2026-01-01T06:00:01")
    assert [name[-9:-7] for name in world.starts()] == ["05", "06"]
    assert counts(world.state) == {"actions": 2, "missed_catchup_window": 4}


def test_a_long_sleep_is_caught_up_in_several_turns() -> None:
    world = World()
    world.create(schedule(Overlap.ALLOW_ALL))
    world.oversleep_until("2026-01-31T00:30:00")
    assert 0 < world.state.wake_at_ns <= world.now_ns, "there is more"
    world.sleep_until("2026-01-31T00:30:00")
    names = world.starts()
    assert len(names) == len(set(names)) == 30 * 24


def test_times_before_an_update_do_not_count() -> None:
    world = World()
    world.create(schedule(spec=ScheduleSpec(cron_string=["0 12 * * *"])))
    world.now_ns = at("2026-01-01T06:30:00")
    world.update(schedule())
    world.sleep_until("2026-01-01T07:00:00")
    assert world.starts() == ["job-2026-01-01T07:00:00Z"]


def test_what_happens_between_a_time_and_its_jitter_loses_nothing() -> None:
    world = World()
    jitter = duration(HOUR_NS)
    world.create(schedule(Overlap.ALLOW_ALL, spec=hourly(jitter=jitter)))
    due_ns = world.state.wake_at_ns
    assert due_ns > at("2026-01-01T01:01:00"), "chance puts it off"
    world.sleep_until("2026-01-01T01:00:30")
    world.patch(trigger=Overlap.UNSPECIFIED)
    assert world.starts() == ["job-2026-01-01T01:00:30Z"]
    assert world.state.wake_at_ns == due_ns
    world.sleep_until("2026-01-01T02:00:00")
    assert world.starts() == ["job-2026-01-01T01:00:00Z"]


def test_a_pause_lets_times_pass() -> None:
    world = World()
    world.create(schedule(Overlap.ALLOW_ALL))
    world.patch(pause="enough")
    assert world.state.wake_at_ns == 0
    world.now_ns = at("2026-01-01T05:30:00")
    world.patch(unpause="go on")
    assert world.state.settings.notes == "go on"
    world.sleep_until("2026-01-01T06:30:00")
    assert world.starts() == ["job-2026-01-01T06:00:00Z"]


def test_a_paused_schedule_can_be_triggered() -> None:
    world = World()
    world.create(schedule(state=PAUSED))
    world.patch(trigger=Overlap.UNSPECIFIED)
    assert world.starts() == ["job-2026-01-01T00:30:00Z"]


@pytest.mark.parametrize("left", [0, 1, 3, 20])
@pytest.mark.parametrize("is_paused", [False, True])
def test_only_times_for_which_an_action_is_left_are_told(left: int, is_paused: bool) -> None:
    world = World()
    state = limited(left)
    state.paused = is_paused
    world.create(schedule(state=state))
    described = world.decide(inputs.DescribeSchedule(10))
    assert isinstance(described, inputs.Described)
    assert len(described.times) == min(left, 10)


@pytest.mark.parametrize(
    ("trigger_ns", "time"), [(None, "2026-01-01T00:30:00Z"), (0, "1970-01-01T00:00:00Z")]
)
def test_a_trigger_is_for_now_or_for_any_other_time(trigger_ns: int | None, time: str) -> None:
    world = World()
    world.create(schedule(state=PAUSED))
    world.patch(trigger=Overlap.UNSPECIFIED, trigger_ns=trigger_ns)
    assert world.starts() == [f"job-{time}"]


def test_limited_actions_run_out_and_triggers_do_not_count() -> None:
    world = World()
    world.create(schedule(Overlap.ALLOW_ALL, state=limited(2)), trigger=Overlap.UNSPECIFIED)
    world.sleep_until("2026-01-01T09:30:00")
    assert len(world.starts()) == 3
    assert world.state.settings.remaining == 0
    assert world.state.conflict_token == 3, "what a client would overwrite has changed"
    described = world.decide(inputs.DescribeSchedule(10))
    assert isinstance(described, inputs.Described)
    assert described.times == ()


def test_buffered_starts_of_a_schedule_that_ran_out_are_dropped() -> None:
    world = World()
    world.create(schedule(Overlap.BUFFER_ALL, state=limited(1)))
    world.oversleep_until("2026-01-01T03:30:00")
    assert len(world.starts()) == 1
    world.end()
    assert world.starts() == []
    assert not world.state.buffer


@pytest.mark.parametrize(
    ("status", "notes"),
    [
        (FAILED, "paused due to workflow failure: job-2026-01-01T00:30:00Z: boom"),
        (TIMED_OUT, "paused due to workflow timeout: job-2026-01-01T00:30:00Z"),
        (CANCELED, ""),
        (TERMINATED, ""),
    ],
)
def test_a_failure_pauses_and_other_ends_do_not(status: int, notes: str) -> None:
    world = World()
    world.create(schedule(pause_on_failure=True), trigger=Overlap.UNSPECIFIED)
    world.starts()
    failure = Failure(message="boom").SerializeToString() if status == FAILED else b""
    world.end(status, failure=failure)
    assert world.state.settings.is_paused == bool(notes)
    assert world.state.settings.notes == notes


def test_results_and_failures_are_passed_on() -> None:
    world = World()
    world.create(schedule(state=PAUSED), trigger=Overlap.UNSPECIFIED)
    result = Payloads(payloads=[Payload(data=b"1")])
    failure = Failure(message="boom")
    world.starts()
    world.end(result=result.SerializeToString())
    seen = []
    for end in (
        {"status": FAILED, "failure": failure.SerializeToString()},
        {"status": TERMINATED},
        {"result": Payloads(payloads=[Payload(data=b"2")]).SerializeToString()},
        {},
    ):
        world.patch(trigger=Overlap.UNSPECIFIED)
        (effect,) = world.take()
        request = request_of(effect)
        parts = [payload.data for payload in request.last_completion_result.payloads]
        seen.append((parts, request.continued_failure.message))
        world.begin(effect)
        world.end(**end)
    assert seen == [([b"1"], ""), ([b"1"], "boom"), ([b"1"], "boom"), ([b"2"], "")]


def test_a_workflow_id_can_be_kept() -> None:
    world = World()
    world.create(schedule(keep_original_workflow_id=True), trigger=Overlap.UNSPECIFIED)
    assert world.starts() == ["job"]


def test_the_buffer_has_an_end_and_backfills_wait_for_room() -> None:
    world = World()
    world.create(schedule(Overlap.BUFFER_ALL, state=PAUSED), trigger=Overlap.UNSPECIFIED)
    world.starts()
    world.patch(backfills=backfill("2025-11-20T00:00:00", "2025-12-31T23:00:00"))
    world.sleep_until("2026-01-01T00:31:00")
    assert len(world.state.buffer) == BUFFER_MAX - 50
    for _ in range(60):
        world.patch(trigger=Overlap.UNSPECIFIED)
    assert len(world.state.buffer) == BUFFER_MAX
    assert counts(world.state)["buffer_dropped"] == 10
    ended = 0
    while world.state.started:
        world.end()
        world.starts()
        world.sleep_until("2026-01-01T00:31:00")
        ended += 1
    assert ended == 1 + 42 * 24 + 50


def test_what_a_crash_finds_goes_on() -> None:
    world, other = World(), World()
    for one in (world, other):
        one.create(schedule(Overlap.BUFFER_ALL))
        for hour in range(1, 6):
            one.sleep_until(f"2026-01-01T0{hour}:10:00")
            if one is other:
                one.crash()
            one.starts()
            if hour % 2:
                one.end()
        one.starts()
    assert other.state == world.state
    assert other.stored().blobs == world.stored().blobs


def test_a_schedule_with_nothing_to_do_is_kept_for_a_week() -> None:
    world = World()
    world.create(schedule(spec=hourly(end_time={"seconds": at("2026-01-01T02:00:00") // 10**9})))
    world.sleep_until("2026-01-01T02:00:00")
    world.starts()
    assert world.state.idle_since_ns == 0, "a workflow goes on"
    world.end()
    assert world.state.wake_at_ns == world.now_ns + RETENTION_NS
    world.sleep_until("2026-01-08T01:59:59")
    assert world.subject.run is not None
    world.sleep_until("2026-01-08T02:00:00")
    assert world.subject.run is None


def test_a_request_that_comes_twice_is_done_once() -> None:
    world = World()
    world.create(schedule(Overlap.ALLOW_ALL))
    message = inputs.PatchSchedule("once", inputs.Patch(trigger=Overlap.UNSPECIFIED))
    world.decide(message)
    world.decide(message)
    assert len(world.starts()) == 1
    assert isinstance(world.create(schedule()), inputs.Created)


def test_an_id_that_is_taken_is_refused() -> None:
    world = World()
    world.create(schedule())
    settings = world.state.settings
    with pytest.raises(AlreadyStarted, match='schedule "schedule" is already registered'):
        world.decide(inputs.CreateSchedule("another", settings, {}))


def test_a_stale_token_changes_nothing() -> None:
    world = World()
    world.create(schedule())
    world.patch(pause="enough")
    head = world.head
    with pytest.raises(FailedPrecondition, match="mismatched conflict token"):
        world.update(schedule(), conflict_token=(1).to_bytes(8, "big"))
    assert world.head == head
    world.update(schedule(), conflict_token=(2).to_bytes(8, "big"))
    assert world.state.conflict_token == 3
    assert not world.state.settings.is_paused


def test_a_deleted_schedule_is_gone_and_may_begin_again() -> None:
    world = World()
    world.create(schedule())
    first = world.state.run_id
    world.decide(inputs.DeleteSchedule())
    with pytest.raises(NotFound, match="temporal-sys-scheduler:schedule"):
        world.decide(inputs.DescribeSchedule())
    world.decide(inputs.WakeUp(first))
    world.create(schedule())
    assert world.state.run_id != first
