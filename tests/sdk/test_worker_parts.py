"""Rules of the parts of a worker: places, the cache of runs, heartbeats, codecs."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import temporalio.worker
from temporalio.api.command.v1 import Command, ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import Header, Payload, Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionStartedEventAttributes
from temporalio.api.workflowservice.v1 import (
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
)

from perdure.activity import ActivityCancellationDetails
from perdure.service import RPCError, RPCStatusCode
from perdure.worker import Worker
from perdure.worker.cache import BYTES_PER_HISTORY_BYTE, RUN_BYTES, RunCache
from perdure.worker.codec import transform_all
from perdure.worker.heartbeats import Heartbeats, interval_of
from perdure.worker.polling import Pollers
from perdure.worker.slots import Slots
from perdure.worker.thread_activity import ThreadCancellation

# ---- places


async def test_places_are_given_in_turn() -> None:
    slots = Slots(1)
    assert slots.try_take()
    assert not slots.try_take()
    order: list[int] = []

    async def take(number: int) -> None:
        await slots.take()
        order.append(number)

    waiting = [asyncio.create_task(take(number)) for number in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.sleep(0)
    slots.give_back()
    assert not slots.try_take()
    slots.give_back()
    await asyncio.wait(waiting)
    assert order == [0, 2]
    slots.give_back()
    assert slots.try_take()


async def test_a_place_that_was_handed_to_somebody_cancelled_is_not_lost() -> None:
    slots = Slots(1)
    assert slots.try_take()
    waiting = asyncio.create_task(slots.take())
    await asyncio.sleep(0)
    slots.give_back()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert slots.try_take()


# ---- polls


class Tasks:
    """Gives tasks at once, as long as there are any, and then lets polls wait."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.waiting: list[asyncio.Future[int | None]] = []
        self.accepted: list[int] = []
        self.slots = Slots(100)

    async def next_task(self) -> int | None:
        """A number, or what whoever ends the wait gives."""
        if self.left:
            self.left -= 1
            return self.left
        waiter: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.waiting.append(waiter)
        return await waiter

    def accept(self, task: int) -> None:
        """Done at once."""
        self.accepted.append(task)
        self.slots.give_back()

    async def settled(self) -> int:
        """How many polls wait when nothing moves any more."""
        for _ in range(10):
            await asyncio.sleep(0)
        return len([waiter for waiter in self.waiting if not waiter.done()])


async def test_there_are_more_polls_once_it_is_busy() -> None:
    tasks = Tasks(left=5)
    pollers = Pollers(
        name="test",
        count=2,
        count_max=6,
        slots=tasks.slots,
        next_task=tasks.next_task,
        accept=tasks.accept,
    )
    pollers.start()
    assert await tasks.settled() == 6
    assert sorted(tasks.accepted) == [0, 1, 2, 3, 4]
    pollers.stop_polling()
    await pollers.close(polls_end_within_seconds=0)
    assert await tasks.settled() == 0


# ---- runs


class Runner:
    """Stands where a runner is kept."""

    def __init__(self) -> None:
        self.evicted = False

    def evict(self) -> None:
        """Notes it."""
        self.evicted = True


def use(cache: RunCache, run_id: str, history_bytes: int = 0) -> Runner:
    """Works on a run once."""
    run = cache.enter(run_id)
    runner: Any = run.runner or Runner()
    run.runner = runner
    cache.leave(run, history_bytes)
    kept: Runner = runner
    return kept


def test_the_run_used_longest_ago_goes_first() -> None:
    cache = RunCache(2)
    a, b = use(cache, "a"), use(cache, "b")
    use(cache, "a")
    c = use(cache, "c")
    assert [runner.evicted for runner in (a, b, c)] == [False, True, False]
    assert use(cache, "a") is a
    assert use(cache, "b") is not b


def test_large_histories_leave_room_for_fewer_runs() -> None:
    size = 100_000
    cache = RunCache(100, bytes_max=2 * (RUN_BYTES + BYTES_PER_HISTORY_BYTE * size))
    runners = [use(cache, run_id, size) for run_id in "abc"]
    assert [runner.evicted for runner in runners] == [True, False, False]


def test_a_run_that_is_worked_on_stays() -> None:
    cache = RunCache(1)
    a = use(cache, "a")
    run = cache.enter("a")
    b = use(cache, "b")
    assert (a.evicted, b.evicted) == (False, True)
    cache.leave(run, 0)
    assert len(cache) == 1


def test_a_run_without_a_runner_is_forgotten() -> None:
    cache = RunCache(10)
    cache.leave(cache.enter("a"), 0)
    assert len(cache) == 0


# ---- heartbeats


class Sink:
    """A source of tasks that only takes heartbeats."""

    def __init__(self, answer: RecordActivityTaskHeartbeatResponse | RPCError) -> None:
        self.sent: list[list[bytes]] = []
        self.twice = asyncio.Event()
        self.answer = answer
        self.gate = asyncio.Event()
        self.gate.set()

    async def heartbeat(
        self, request: RecordActivityTaskHeartbeatRequest
    ) -> RecordActivityTaskHeartbeatResponse:
        """Notes it, and answers when it may."""
        self.sent.append([payload.data for payload in request.details.payloads])
        if len(self.sent) == 2:
            self.twice.set()
        await self.gate.wait()
        if isinstance(self.answer, RPCError):
            raise self.answer
        return self.answer


class Reports:
    """The heartbeats of an activity, and what came of them."""

    def __init__(
        self,
        interval_seconds: float,
        answer: RecordActivityTaskHeartbeatResponse | RPCError | None = None,
    ) -> None:
        self.sink = Sink(answer or RecordActivityTaskHeartbeatResponse())
        self.stopped: list[ActivityCancellationDetails] = []
        self.errors: list[Exception] = []
        sink: Any = self.sink
        self.heartbeats = Heartbeats(
            source=sink,
            task_token=b"token",
            interval_seconds=interval_seconds,
            codec=None,
            asked_to_stop=self.stopped.append,
            failed=self.errors.append,
        )

    def report(self, data: bytes) -> None:
        """One heartbeat."""
        self.heartbeats.record([Payload(data=data)])


async def test_the_first_heartbeat_is_sent_at_once_and_the_newest_is_kept() -> None:
    reports = Reports(interval_seconds=3600)
    for data in (b"1", b"2", b"3"):
        reports.report(data)
    unsent = await reports.heartbeats.close()
    assert reports.sink.sent == [[b"1"]]
    assert unsent is not None
    assert [payload.data for payload in unsent.payloads] == [b"3"]


async def test_the_newest_heartbeat_is_sent_when_the_interval_has_passed() -> None:
    reports = Reports(interval_seconds=0.01)
    reports.report(b"1")
    reports.report(b"2")
    reports.report(b"3")
    await reports.sink.twice.wait()
    assert reports.sink.sent == [[b"1"], [b"3"]]
    assert await reports.heartbeats.close() is None


async def test_one_heartbeat_is_under_way_at_a_time() -> None:
    reports = Reports(interval_seconds=0)
    reports.sink.gate.clear()
    for data in (b"1", b"2", b"3"):
        reports.report(data)
        await asyncio.sleep(0)
    assert reports.sink.sent == [[b"1"]]
    reports.sink.gate.set()
    await reports.sink.twice.wait()
    assert reports.sink.sent == [[b"1"], [b"3"]]
    assert await reports.heartbeats.close() is None


async def test_after_the_end_nothing_is_sent() -> None:
    reports = Reports(interval_seconds=0)
    assert await reports.heartbeats.close() is None
    reports.report(b"late")
    await asyncio.sleep(0)
    assert reports.sink.sent == []


@pytest.mark.parametrize(
    ("answer", "details"),
    [
        (
            RecordActivityTaskHeartbeatResponse(cancel_requested=True),
            ActivityCancellationDetails(cancel_requested=True),
        ),
        (
            RecordActivityTaskHeartbeatResponse(activity_paused=True),
            ActivityCancellationDetails(paused=True),
        ),
        (
            RecordActivityTaskHeartbeatResponse(activity_reset=True),
            ActivityCancellationDetails(reset=True),
        ),
        (
            RPCError("gone", RPCStatusCode.NOT_FOUND, b""),
            ActivityCancellationDetails(not_found=True),
        ),
    ],
)
async def test_the_answer_to_a_heartbeat_may_ask_to_stop(
    answer: Any, details: ActivityCancellationDetails
) -> None:
    reports = Reports(3600, answer)
    reports.report(b"1")
    await reports.heartbeats.close()
    assert reports.stopped == [details]


@pytest.mark.parametrize(("timeout_seconds", "interval_seconds"), [(0, 30), (10, 8), (1000, 60)])
def test_heartbeats_are_as_frequent_as_the_timeout_demands(
    timeout_seconds: int, interval_seconds: float
) -> None:
    interval = interval_of(
        timedelta(seconds=timeout_seconds), timedelta(seconds=30), timedelta(seconds=60)
    )
    assert interval == interval_seconds


# ---- codecs


async def upper(payloads: Sequence[Payload]) -> list[Payload]:
    """Payloads that tell that they were transformed."""
    return [Payload(data=payload.data.upper()) for payload in payloads]


async def test_a_codec_transforms_payloads_wherever_they_are_but_headers() -> None:
    event = HistoryEvent(
        workflow_execution_started_event_attributes=WorkflowExecutionStartedEventAttributes(
            input=Payloads(payloads=[Payload(data=b"a"), Payload(data=b"b")]),
            header=Header(fields={"h": Payload(data=b"header")}),
            continued_failure=Failure(
                cause=Failure(
                    application_failure_info=ApplicationFailureInfo(
                        details=Payloads(payloads=[Payload(data=b"deep")])
                    )
                )
            ),
        )
    )
    event.workflow_execution_started_event_attributes.memo.fields["m"].data = b"memo"
    event.workflow_execution_started_event_attributes.search_attributes.indexed_fields[
        "s"
    ].data = b"indexed"
    event.user_metadata.summary.data = b"summary"
    await transform_all([event], upper)
    started = event.workflow_execution_started_event_attributes
    assert [payload.data for payload in started.input.payloads] == [b"A", b"B"]
    details = started.continued_failure.cause.application_failure_info.details
    assert details.payloads[0].data == b"DEEP"
    assert started.memo.fields["m"].data == b"MEMO"
    assert event.user_metadata.summary.data == b"SUMMARY"
    assert started.header.fields["h"].data == b"header"
    assert started.search_attributes.indexed_fields["s"].data == b"indexed"


async def test_a_codec_adds_no_payloads_where_there_are_none() -> None:
    command = Command(
        schedule_activity_task_command_attributes=ScheduleActivityTaskCommandAttributes(
            activity_id="1"
        )
    )
    before = command.SerializeToString(deterministic=True)
    await transform_all([command], upper)
    assert command.SerializeToString(deterministic=True) == before


# ---- threads


def test_a_cancellation_that_comes_after_the_function_raises_nothing() -> None:
    cancellation = ThreadCancellation()
    assert cancellation.run(lambda: "result") == "result"
    cancellation.cancel()
    assert sum(range(100_000)) == 4_999_950_000


# ---- names


def test_a_worker_takes_what_the_official_one_takes_with_the_same_defaults() -> None:
    official = inspect.signature(temporalio.worker.Worker).parameters
    ours = inspect.signature(Worker).parameters
    assert list(ours) == list(official)
    for name, parameter in ours.items():
        theirs = official[name].default
        if isinstance(theirs, (int, float, timedelta, type(None))):
            assert parameter.default == theirs, name


def test_code_that_has_no_source_file_has_a_build_id_all_the_same() -> None:
    program = (
        "from perdure import workflow\n"
        "from perdure.worker.build_id import default_build_id\n"
        "@workflow.defn\n"
        "class Hello:\n"
        "    @workflow.run\n"
        "    async def run(self) -> None: ...\n"
        "print(default_build_id([Hello]) == default_build_id([]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
