"""A task queue: who meets whom, in what order, and that nothing is lost when memory is short."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.queue import queue as queue_module
from perdure.server.machines.queue.queue import Queue, Task


def task(number: int, *, priority: int = 3, ready_at_ns: int = 0, stamp: int = 1) -> Task:
    return Task(priority, ready_at_ns, number, 5, stamp)


def test_a_task_goes_to_the_poll_that_has_waited_longest() -> None:
    queue: Queue[str, Task] = Queue(is_backlog_partial=False)
    assert queue.add_poll("first", 1) is None
    assert queue.add_poll("second", 2) is None
    assert queue.add_task(task(1), 0) == "first"
    assert queue.add_task(task(2), 0) == "second"
    assert queue.add_task(task(3), 0) is None
    assert queue.last_poll_ns == 2


def test_tasks_go_by_priority_then_readiness_then_arrival() -> None:
    queue: Queue[str, Task] = Queue(is_backlog_partial=False)
    for waiting in (
        task(1, ready_at_ns=9),
        task(2, ready_at_ns=5),
        task(3, priority=1, ready_at_ns=99),
        task(4, ready_at_ns=5),
    ):
        assert queue.add_task(waiting, 0) is None
    served = [queue.add_poll("poll", 0) for _ in range(4)]
    assert [found.run for found in served if found is not None] == [3, 2, 4, 1]


def test_a_new_task_waits_behind_a_backlog_also_when_polls_wait() -> None:
    queue: Queue[str, Task] = Queue(is_backlog_partial=True)
    assert queue.add_poll("poll", 0) is None
    assert queue.needs_reading
    assert queue.take_poll(3, 0) is None, "the store may hold older tasks"
    assert queue.add_task(task(9), 0) is None, "its row will be read in its turn"
    queue.add_page([task(1), task(2)], is_last=True)
    assert queue.next_match(0) == ("poll", task(1))
    assert queue.take_poll(3, 0) is None
    assert queue.has_backlog
    assert queue.add_poll("poll", 0) == task(2)
    assert not queue.has_backlog


def test_a_task_that_is_ready_right_now_takes_a_poll_only_when_nobody_is_before_it() -> None:
    queue: Queue[str, Task] = Queue(is_backlog_partial=False)
    assert queue.take_poll(3, 0) is None
    queue.add_poll("poll", 0)
    assert queue.take_poll(3, 0) == "poll"
    queue.add_task(task(1), 0)
    assert queue.take_poll(3, 0) is None


def test_a_poll_that_went_away_gets_nothing() -> None:
    queue: Queue[str, Task] = Queue(is_backlog_partial=False)
    queue.add_poll("poll", 0)
    assert queue.remove_poll("poll")
    assert not queue.remove_poll("poll")
    assert queue.waiting_polls == 0
    assert queue.add_task(task(1), 0) is None
    assert not queue.is_idle


def test_the_same_offer_is_queued_once_and_a_newer_one_again() -> None:
    queue: Queue[str, Task] = Queue(is_backlog_partial=True)
    queue.add_page([task(1), task(1), task(1, stamp=2)], is_last=True)
    stamps = [queue.add_poll("poll", 0), queue.add_poll("poll", 0), queue.add_poll("poll", 0)]
    assert [found.stamp for found in stamps if found is not None] == [1, 2]


def test_pages_are_read_on_from_where_the_last_one_ended() -> None:
    queue: Queue[str, Task] = Queue(is_backlog_partial=True)
    assert queue.begin_page() is None
    queue.add_page([task(1), task(2)], is_last=False)
    assert queue.has_backlog
    assert not queue.needs_reading, "there are tasks to hand out first"
    assert queue.begin_page() == task(2)
    queue.add_page([], is_last=True)
    served = [queue.add_poll("poll", 0), queue.add_poll("poll", 0), queue.add_poll("poll", 0)]
    assert served == [task(1), task(2), None]
    assert not queue.needs_reading, "there is nothing more to read"


def test_a_backlog_that_is_too_long_is_left_to_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "BACKLOG_IN_MEMORY_MAX", 3)
    queue: Queue[str, Task] = Queue(is_backlog_partial=False)
    for number in range(5):
        assert queue.add_task(task(number), 0) is None
    assert queue.is_backlog_partial
    assert queue.cursor is None, "it is read from the beginning: all rows are there"
    assert queue.add_poll("poll", 0) is None
    assert queue.needs_reading


def test_a_task_that_belongs_before_what_was_read_is_kept_in_memory() -> None:
    """A later page would not bring it: it begins after the last task that was read."""
    queue: Queue[str, Task] = Queue(is_backlog_partial=True)
    queue.begin_page()
    queue.add_page([task(1, priority=2), task(2, priority=2)], is_last=False)
    urgent = task(3, priority=1)
    assert queue.add_task(urgent, 0) is None
    assert queue.add_poll("poll", 0) == urgent


def test_a_task_that_comes_while_a_page_is_read_is_not_lost() -> None:
    """The page may have been read just before its row was written."""
    queue: Queue[str, Task] = Queue(is_backlog_partial=True)
    queue.add_poll("first", 0)
    queue.begin_page()
    assert queue.add_task(task(2), 0) is None
    queue.add_page([task(1), task(3)], is_last=False)
    assert queue.next_match(0) == ("first", task(1))
    assert [queue.add_poll("poll", 0), queue.add_poll("poll", 0)] == [task(2), task(3)]


def test_a_late_task_beyond_the_page_waits_for_a_later_page_unless_this_was_the_last() -> None:
    queue: Queue[str, Task] = Queue(is_backlog_partial=True)
    queue.begin_page()
    queue.add_task(task(9), 0)
    queue.add_page([task(1)], is_last=False)
    assert [queue.add_poll("poll", 0), queue.add_poll("poll", 0)] == [task(1), None]
    queue.begin_page()
    queue.add_task(task(9), 0)
    queue.add_page([], is_last=True)
    assert queue.next_match(0) == ("poll", task(9))
    assert not queue.has_backlog


def test_a_page_that_was_read_in_vain_is_thrown_away() -> None:
    queue: Queue[str, Task] = Queue(is_backlog_partial=True)
    queue.begin_page()
    queue.read_again()
    queue.add_page([task(5)], is_last=True)
    assert queue.is_backlog_partial
    assert queue.begin_page() is None


class _Rows(msgspec.Struct):
    """The rows that a store would hold, and how far they were read."""

    rows: list[Task] = []

    def page(self, after: Task | None, limit: int) -> list[Task]:
        return sorted(row for row in self.rows if after is None or row > after)[:limit]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("task"), st.integers(1, 3)),
            st.tuples(st.just("poll"), st.just(0)),
            st.tuples(st.just("leave"), st.just(0)),
        ),
        max_size=40,
    ),
    memory=st.integers(1, 4),
    page=st.integers(1, 3),
    is_slow=st.booleans(),
)
def test_every_task_reaches_one_poll_however_short_memory_is(
    steps: list[tuple[str, int]], memory: int, page: int, is_slow: bool
) -> None:
    """A host that reads whenever it is told to hands out each row once, if enough polls come."""
    kept = queue_module.BACKLOG_IN_MEMORY_MAX
    queue_module.BACKLOG_IN_MEMORY_MAX = memory
    try:
        _play_host(steps, page, is_slow=is_slow)
    finally:
        queue_module.BACKLOG_IN_MEMORY_MAX = kept


def _play_host(steps: list[tuple[str, int]], page: int, *, is_slow: bool) -> None:
    queue: Queue[int, Task] = Queue(is_backlog_partial=False)
    store = _Rows()
    served: list[int] = []
    polls = 0
    reading: list[list[Task]] = []

    def start(found: Task) -> None:
        if found in store.rows:
            store.rows.remove(found)
            served.append(found.run)
        else:
            again = queue.add_poll(-1, 0)
            if again is not None:
                start(again)

    def read() -> None:
        """Reading takes time: what the page holds is what was there when it began."""
        while queue.needs_reading or reading:
            if not reading:
                rows = store.page(queue.begin_page(), page)
                reading.append(rows)
                if is_slow:
                    return
            rows = reading.pop()
            queue.add_page(rows, is_last=len(rows) < page)
            while (match := queue.next_match(0)) is not None:
                start(match[1])

    added = 0
    for what, priority in [*steps, *[("poll", 0)] * (len(steps) + 1)]:
        polls += 1
        if what == "task":
            added += 1
            new = task(added, priority=priority, ready_at_ns=added)
            if queue.take_poll(3, 0) is not None:
                served.append(new.run)
                continue
            store.rows.append(new)
            if queue.add_task(new, 0) is not None:
                start(new)
        elif what == "poll":
            found = queue.add_poll(polls, 0)
            if found is not None:
                start(found)
        elif queue.polls():
            queue.remove_poll(queue.polls()[0])
        read()
    assert sorted(served) == list(range(1, added + 1))
    assert not store.rows


def test_a_query_goes_to_the_poll_that_waits_else_to_the_next_one() -> None:
    queue: Queue[str, str] = Queue(is_backlog_partial=False)
    queue.add_poll("poll", 0)
    assert queue.add_query("now", 3) == "poll"
    assert queue.add_query("first", 3) is None
    assert queue.add_query("second", 3) is None
    assert not queue.is_idle
    assert [queue.add_poll("poll", 0) for _ in range(3)] == ["first", "second", None]


def test_a_query_goes_before_tasks_but_for_those_that_are_more_urgent() -> None:
    queue: Queue[str, str] = Queue(is_backlog_partial=False)
    urgent, usual = task(1, priority=1), task(2)
    queue.add_task(urgent, 0)
    queue.add_task(usual, 0)
    queue.add_query("usual", 3)
    queue.add_query("low", 5)
    queue.add_query("high", 1)
    served = [queue.add_poll("poll", 0) for _ in range(5)]
    assert served == ["high", urgent, "usual", usual, "low"]


def test_a_query_that_nobody_waits_for_is_gone() -> None:
    queue: Queue[str, str] = Queue(is_backlog_partial=False)
    queue.add_query("q", 3)
    queue.remove_query("q", 3)
    queue.remove_query("q", 3)
    assert queue.is_idle
    assert queue.add_poll("poll", 0) is None


def test_a_query_takes_the_poll_that_waits_for_the_store() -> None:
    queue: Queue[str, str] = Queue(is_backlog_partial=True)
    queue.add_poll("poll", 0)
    assert queue.add_query("q", 3) == "poll"


def limited(rate: float) -> Queue[str, str]:
    """A queue that an operator has limited."""
    queue: Queue[str, str] = Queue(is_backlog_partial=False)
    queue.set_rates(configured=rate, worker=None)
    return queue


def test_a_limited_queue_gives_a_second_s_worth_at_once_then_one_after_the_other() -> None:
    queue = limited(2)
    for number in range(5):
        queue.add_task(task(number), 0)
    assert [queue.add_poll(f"poll {number}", 0) for number in range(3)] == [task(0), task(1), None]
    assert queue.free_at(0) == SECOND_NS // 2
    assert queue.next_match(SECOND_NS // 2 - 1) is None
    assert queue.next_match(SECOND_NS // 2) == ("poll 2", task(2))
    assert queue.free_at(SECOND_NS) is None, "nobody waits"
    assert queue.add_poll("poll 3", SECOND_NS) == task(3)
    assert queue.add_poll("poll 4", 9 * SECOND_NS) == task(4)


def test_a_task_that_is_ready_right_now_takes_no_poll_over_the_limit() -> None:
    queue = limited(1)
    for name in ("a", "b"):
        queue.add_poll(name, 0)
    assert queue.take_poll(3, 0) == "a"
    assert queue.take_poll(3, 0) is None
    assert queue.add_task(task(1), 0) is None
    assert queue.free_at(0) == SECOND_NS
    assert queue.next_match(SECOND_NS) == ("b", task(1))


def test_a_rate_of_zero_stops_a_queue_until_there_is_another() -> None:
    queue = limited(0)
    queue.add_task(task(1), 0)
    assert queue.add_poll("poll", 0) is None
    assert queue.free_at(0) is None
    assert queue.add_query("q", 3) == "poll", "queries are not limited"
    queue.add_poll("another", 0)
    queue.set_rates(configured=None, worker=None)
    assert queue.next_match(0) == ("another", task(1))


def test_the_operator_s_limit_counts_more_than_the_worker_s() -> None:
    queue: Queue[str, str] = Queue(is_backlog_partial=False)
    queue.set_rates(configured=None, worker=5)
    assert queue.limit.per_second == 5
    queue.set_rates(configured=50, worker=5)
    assert queue.limit.per_second == 50
