"""What all that is open waits for, summed up from what has changed."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure.server.engine.execution import ExecutionKey
from perdure.server.engine.open_work import OpenWork, Work
from perdure.server.machines.ports import InHand, Kind

KEYS: list[ExecutionKey] = [
    (1, "a", Kind.WORKFLOW),
    (1, "a", Kind.SCHEDULE),
    (2, "b", Kind.WORKFLOW),
]

IN_HAND = st.builds(
    InHand,
    workflow_tasks=st.integers(0, 2),
    activity_tasks=st.integers(0, 2),
    next_ns=st.integers(0, 4),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KEYS), st.sampled_from(["opens", "closes", "leaves", "lost"]), IN_HAND
    )
)


class Subjects:
    """What they wait for, while they are in memory."""

    def __init__(self) -> None:
        self.in_memory: dict[ExecutionKey, InHand] = {}
        self.asked: list[ExecutionKey] = []
        self.work = OpenWork(self._in_hand)

    def _in_hand(self, key: ExecutionKey) -> InHand | None:
        self.asked.append(key)
        return self.in_memory.get(key)

    def has(self, key: ExecutionKey, found: InHand) -> None:
        """Something of a subject that is open has become durable."""
        self.in_memory[key] = found
        self.work.opened(key)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_the_sum_is_that_of_all_that_is_open(steps: list[tuple[ExecutionKey, str, InHand]]) -> None:
    subjects = Subjects()
    wanted: dict[ExecutionKey, InHand | None] = {}
    for key, what, found in steps:
        if what == "opens":
            subjects.has(key, found)
            wanted[key] = found
        elif what == "closes":
            subjects.work.closed(key)
            wanted.pop(key, None)
        elif what == "leaves":
            subjects.work.total()
            subjects.in_memory.pop(key, None)
        elif key in wanted:
            subjects.in_memory.pop(key, None)
            subjects.work.changed(key)
            wanted[key] = None
        known = [one for one in wanted.values() if one is not None]
        lost = [one for one, found_then in wanted.items() if found_then is None]
        assert subjects.work.total() == Work(
            sum(one.workflow_tasks for one in known) + len(lost),
            sum(one.activity_tasks for one in known),
            min((one.next_ns for one in known if one.next_ns), default=0),
        )
        assert sorted(subjects.work.lost()) == sorted(lost)


def test_only_what_has_changed_is_looked_at() -> None:
    subjects = Subjects()
    for number in range(100):
        subjects.has((1, str(number), Kind.WORKFLOW), InHand(next_ns=1000 - number))
    assert subjects.work.total() == Work(0, 0, 901)
    subjects.asked.clear()
    assert subjects.work.total() == Work(0, 0, 901)
    assert subjects.asked == []
    subjects.in_memory[1, "7", Kind.WORKFLOW] = InHand(activity_tasks=1)
    subjects.work.changed((1, "7", Kind.WORKFLOW))
    subjects.work.changed((1, "of which nothing is durable", Kind.WORKFLOW))
    assert subjects.work.total() == Work(0, 1, 901)
    assert subjects.asked == [(1, "7", Kind.WORKFLOW)]


def test_deadlines_that_are_over_do_not_pile_up() -> None:
    subjects = Subjects()
    for next_ns in range(10_000, 1, -1):
        subjects.has(KEYS[0], InHand(next_ns=next_ns))
        assert subjects.work.total().next_ns == next_ns
    assert len(subjects.work._deadlines) < 2_000
