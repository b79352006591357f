"""One task queue: the tasks on offer, the polls that wait, and which meets which.

It owns an order, and no task: tasks are rows of the store and expected by their workflows, so a
queue that is lost is read again. It keeps at most one page of its backlog in memory. When more is
stored than that, `is_backlog_partial` says so, and the host reads on (`begin_page`, `add_page`)
when the page runs dry. A task that comes on offer meanwhile is either found by a later page or kept
here: the row of one that belongs before `cursor` would never be read, and one that comes while a
page is being read may be missing in it.

Tasks go out by priority, then by the time since which they are ready, then in the order of arrival.
Queries are no tasks: they are stored nowhere, and their callers wait. They go before all tasks that
are not more urgent.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from typing import Generic, TypeVar

import msgspec

from perdure.server.machines.queue.rate import NEVER, RateLimit
from perdure.server.machines.queue.scaling import PollerScaling
from perdure.server.machines.queue.statistics import Statistics

BACKLOG_IN_MEMORY_MAX = 1_000
"""Tasks of one queue held in memory; a million waiting tasks cost disk."""

PollT = TypeVar("PollT")
QueryT = TypeVar("QueryT")


class Task(msgspec.Struct, frozen=True, order=True):
    """A task on offer. The order of the fields is the order of service."""

    priority: int
    ready_at_ns: int
    run: int
    event_id: int
    stamp: int


class Queue(Generic[PollT, QueryT]):
    """A task queue in memory. Polls and queries are the host's objects, compared by identity."""

    def __init__(self, *, is_backlog_partial: bool) -> None:
        self._tasks: list[Task] = []
        self._known: set[tuple[int, int, int]] = set()
        self._polls: OrderedDict[PollT, None] = OrderedDict()
        """In the order in which they came; of ten thousand, any one may go away."""
        self._queries: dict[int, dict[QueryT, None]] = {}
        """By priority, in the order in which they came; none while a poll waits."""
        self._is_reading = False
        self._late: list[Task] = []
        """Came on offer while a page was being read: it may or may not be in that page."""
        self._must_restart = False
        """What is being read is of no use any more: the next page is the first one again."""
        self.is_backlog_partial = is_backlog_partial
        """Whether the store may hold tasks of this queue that are not in memory."""
        self.cursor: Task | None = None
        """The last task that was read from the store."""
        self.last_poll_ns = 0
        """When a poll last arrived or was answered."""
        self.limit = RateLimit()
        """How fast tasks may leave; while none may, tasks and polls wait for each other."""
        self.configured_rate: float | None = None
        """What an operator limited the queue to, in tasks a second."""
        self.worker_rate: float | None = None
        """What the workers want it limited to: the operator's word counts more."""
        self.statistics = Statistics()
        self.scaling = PollerScaling()

    @property
    def has_backlog(self) -> bool:
        """Whether a newly ready task has to wait behind others."""
        return bool(self._tasks) or self.is_backlog_partial

    @property
    def needs_reading(self) -> bool:
        """Whether a poll waits while only the store has tasks."""
        return self.is_backlog_partial and not self._tasks and bool(self._polls)

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost by forgetting the queue."""
        return not (self._tasks or self._polls or self._queries or self.is_backlog_partial)

    @property
    def waiting_polls(self) -> int:
        """How many polls wait."""
        return len(self._polls)

    def polls(self) -> list[PollT]:
        """The polls that wait."""
        return list(self._polls)

    def add_poll(self, poll: PollT, now_ns: int) -> Task | QueryT | None:
        """A poll arrives: the task or the query that it gets, or None when it waits."""
        self.last_poll_ns = now_ns
        if self._queries:
            priority = min(self._queries)
            if not self._tasks or priority <= self._tasks[0].priority:
                query = next(iter(self._queries[priority]))
                self._forget(query, priority)
                return query
        if self._tasks and self._may_give(now_ns):
            return self._pop(now_ns)
        self._polls[poll] = None
        return None

    def remove_poll(self, poll: PollT) -> bool:
        """A poll went away: whether it had been waiting."""
        if poll not in self._polls:
            return False
        del self._polls[poll]
        return True

    def add_query(self, query: QueryT, priority: int) -> PollT | None:
        """A query arrives: the poll that gets it, or None when it waits."""
        if self._polls:
            return self._next_poll()
        self._queries.setdefault(priority, {})[query] = None
        return None

    def remove_query(self, query: QueryT, priority: int) -> None:
        """Nobody waits for the answer of a query."""
        if query in self._queries.get(priority, ()):
            self._forget(query, priority)

    def _forget(self, query: QueryT, priority: int) -> None:
        del self._queries[priority][query]
        if not self._queries[priority]:
            del self._queries[priority]

    def take_queries(self) -> list[QueryT]:
        """The queries that wait, which are no longer on offer here."""
        queries = [query for waiting in self._queries.values() for query in waiting]
        self._queries.clear()
        return queries

    def take_poll(self, priority: int, now_ns: int) -> PollT | None:
        """The poll that a task which is ready right now may have: none while others wait their
        turn."""
        if self.has_backlog or not self._polls or not self._may_give(now_ns):
            return None
        self.limit.take(now_ns)
        self.statistics.came(priority, now_ns)
        self.statistics.went(priority, now_ns)
        return self._next_poll()

    def advise(self, polled_ns: int, now_ns: int, *, is_sticky: bool) -> int:
        """By how many a worker should change its polls, when one of them gets a task."""
        return self.scaling.advise(
            self.statistics,
            waited_ns=now_ns - polled_ns,
            backlog_age_ns=self.backlog_age_ns(now_ns),
            is_sticky=is_sticky,
            now_ns=now_ns,
        )

    def set_rates(self, *, configured: float | None, worker: float | None) -> None:
        """Limit the queue from now on."""
        self.configured_rate, self.worker_rate = configured, worker
        self.limit.set(worker if configured is None else configured)

    def free_at(self, now_ns: int) -> int | None:
        """When the limit lets the next task go to a poll that waits for it; None when neither
        waits, or it never does."""
        if not self._tasks or not self._polls:
            return None
        free_ns = self.limit.free_at(now_ns)
        return None if free_ns == NEVER else free_ns

    def backlog_age_ns(self, now_ns: int) -> int:
        """How long the next task in memory has waited; 0 when none waits."""
        return max(0, now_ns - self._tasks[0].ready_at_ns) if self._tasks else 0

    def add_task(self, task: Task, now_ns: int) -> PollT | None:
        """A task is durably on offer: the poll that gets it, or None when it waits (in memory or
        only in the store)."""
        self.statistics.came(task.priority, now_ns)
        if self.is_backlog_partial and not self._is_passed(task):
            if self._is_reading:
                self._late.append(task)
                if len(self._late) > BACKLOG_IN_MEMORY_MAX:
                    self.read_again()
            return None
        if self._polls and not self._tasks and self._may_give(now_ns):
            self.limit.take(now_ns)
            self.statistics.went(task.priority, now_ns)
            return self._next_poll()
        if len(self._tasks) >= BACKLOG_IN_MEMORY_MAX:
            self.read_again()
            return None
        self._push(task)
        return None

    def begin_page(self) -> Task | None:
        """A page is about to be read: the task that it follows, None for the first page."""
        self._is_reading = True
        self._must_restart = False
        self._late.clear()
        return self.cursor

    def add_page(self, tasks: list[Task], *, is_last: bool, read_to: Task | None = None) -> None:
        """Tasks read from the store, in order, since `begin_page`; `read_to` when others followed
        that are not for this queue."""
        self._is_reading = False
        if self._must_restart:
            return
        self.is_backlog_partial = not is_last
        if read_to is not None or tasks:
            self.cursor = read_to or tasks[-1]
        for task in tasks:
            self._push(task)
        for task in self._late:
            if is_last or self._is_passed(task):
                self._push(task)

    def next_match(self, now_ns: int) -> tuple[PollT, Task] | None:
        """A waiting poll and the task that it gets, if there are both and the limit allows it."""
        if not self._polls or not self._tasks or not self._may_give(now_ns):
            return None
        return self._next_poll(), self._pop(now_ns)

    def read_again(self) -> None:
        """Forget the tasks in memory and read them again when they are wanted: their rows are all
        there."""
        self._tasks.clear()
        self._known.clear()
        self._late.clear()
        self._must_restart = self._is_reading
        self.is_backlog_partial = True
        self.cursor = None

    def _next_poll(self) -> PollT:
        return self._polls.popitem(last=False)[0]

    def _is_passed(self, task: Task) -> bool:
        """Whether the row of a task is not after the last one that was read."""
        return self.cursor is not None and _place(task) <= _place(self.cursor)

    def _push(self, task: Task) -> None:
        key = (task.run, task.event_id, task.stamp)
        if key not in self._known:
            self._known.add(key)
            heapq.heappush(self._tasks, task)

    def _may_give(self, now_ns: int) -> bool:
        return self.limit.per_second is None or self.limit.free_at(now_ns) <= now_ns

    def _pop(self, now_ns: int) -> Task:
        task = heapq.heappop(self._tasks)
        self.limit.take(now_ns)
        self.statistics.went(task.priority, now_ns)
        self._known.discard((task.run, task.event_id, task.stamp))
        return task


def _place(task: Task) -> tuple[int, int, int, int]:
    """Where the row of a task is, in the order in which a store reads them."""
    return task.priority, task.ready_at_ns, task.run, task.event_id
