"""Programs about standalone activities, each from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.differential.generate import LONG_MS, TIMEOUT_MS, Author
from tests.differential.jobs import OPTIONS
from tests.differential.program import Activity, Call, Program, Retry

CALLS_MAX = 9
REQUESTS = ("", "", "one", "two")


def generate_jobs(seed: int) -> Program:
    """The program of a seed."""
    return _JobAuthor(seed).program()


class _JobAuthor:
    """Writes one program: some activities, and what clients ask of them."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._dice = random.Random(f"jobs {seed}")
        self._author = Author(seed, self._dice, may_race=False)
        self._author.workflows.append("nobody")
        self._names: list[str] = []

    def program(self) -> Program:
        """The whole of it."""
        calls = [self._start()]
        kinds: dict[Callable[[], Call], float] = {
            self._start: 2,
            self._again: 1.5,
            self._release: 3,
            self._answer: 2,
            self._reset: 2,
            self._options: 1.5,
            lambda: self._plain("pause"): 3,
            lambda: self._plain("unpause"): 3,
            lambda: self._plain("cancel"): 1.5,
            lambda: self._plain("terminate"): 0.7,
            lambda: Call("delete", self._target()): 0.5,
            lambda: Call("result", self._target()): 0.5,
            lambda: Call("describe", self._target()): 0.3,
            lambda: Call("list", "all"): 0.4,
            lambda: Call("count", "all"): 0.3,
        }
        for _ in range(self._dice.randint(3, CALLS_MAX)):
            calls.append(self._dice.choices(list(kinds), list(kinds.values()))[0]())
        return Program(self._seed, (), "jobs", tuple(calls))

    def _target(self) -> str:
        return "nobody" if self._author.chance(0.04) else self._dice.choice(self._names)

    def _plain(self, kind: str) -> Call:
        return Call(kind, self._target(), request=self._dice.choice(REQUESTS))

    def _start(self) -> Call:
        step = self._author.activity()
        self._names.append(step.name)
        step.actions, step.raises = (), False
        if self._author.chance(0.6):
            step.attempts = self._dice.choice(RESTING)
            step.start_to_close_ms = step.schedule_to_close_ms = step.heartbeat_ms = 0
        if self._author.chance(0.15):
            step.queue = "dead"
            step.schedule_to_start_ms = self._dice.choice((TIMEOUT_MS, 0, 0))
            step.schedule_to_close_ms = 0
        if self._author.chance(0.2):
            # It waits for its next attempt longer than the program lasts.
            step.attempts = ("fail:plain", "ok")
            step.retry = Retry(self._dice.choice((0, 3)), LONG_MS, 1.0)
            step.schedule_to_close_ms = 0
        call = Call("start", step.name, step=step)
        if self._author.chance(0.2):
            call.delay_ms = self._dice.choice((400, LONG_MS))
        return self._with_policies(call)

    def _again(self) -> Call:
        name = self._dice.choice(self._names)
        return self._with_policies(Call("start", name, step=Activity(name, ("held",))))

    def _with_policies(self, call: Call) -> Call:
        dice = self._dice
        if self._author.chance(0.4):
            call.reuse = dice.choice(
                ("ALLOW_DUPLICATE", "ALLOW_DUPLICATE_FAILED_ONLY", "REJECT_DUPLICATE")
            )
            call.conflict = dice.choice(("", "FAIL", "USE_EXISTING"))
        call.request = dice.choice(REQUESTS)
        return call

    def _release(self) -> Call:
        return Call("release", self._target())

    def _answer(self) -> Call:
        how = self._dice.choice(("complete", "fail", "cancel", "heartbeat"))
        return Call("answer", self._target(), how)

    def _reset(self) -> Call:
        call = self._plain("reset")
        wanted = ("keep paused", "restore", "heartbeat")
        call.how = ", ".join(word for word in wanted if self._author.chance(0.3))
        return call

    def _options(self) -> Call:
        call = self._plain("options")
        call.how = self._dice.choice(OPTIONS)
        return call


RESTING: tuple[tuple[str, ...], ...] = (
    ("held",),
    ("held", "ok"),
    ("held:plain", "held"),
    ("held:fatal",),
    ("obeys",),
    ("obeys", "held"),
    ("obeys:refuses",),
    ("obeys:fails", "held"),
    ("async",),
    ("fail:plain", "obeys"),
    ("beat:first", "held"),
)
