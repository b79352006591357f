"""Programs about worker deployments, each from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.differential.crew import BEHAVIORS
from tests.differential.generate import LONG_MS, Author
from tests.differential.program import (
    Action,
    Activity,
    Child,
    Gate,
    Hold,
    Options,
    Plan,
    Program,
    Spawn,
    Step,
    Top,
    Where,
)

BUILDS = ("1", "2")
LATE = "3"
"""A build whose worker comes later, if at all."""
UNKNOWN = "9"
CREATED = "7"
"""One that is created by hand, and never has a worker."""
PERCENTAGES = ("0", "1", "33.3", "50", "50", "80", "100", "100")


def generate_deployments(seed: int) -> Program:
    """The program of a seed."""
    return _DeploymentAuthor(seed).program()


class _DeploymentAuthor:
    """Writes one program: workflows as any, their workers being of several versions, and what
    operators do meanwhile."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._dice = random.Random(f"deployments {seed}")
        self._author = Author(seed, self._dice, may_race=False)

    def program(self) -> Program:
        """The whole of it."""
        dice = self._dice
        tops = []
        for index in range(dice.choice((1, 2, 2, 3))):
            name = self._author.name("w", is_workflow=True)
            plan = self._plan(name)
            before = self._first() if index == 0 else self._operations(dice.randint(0, 2))
            options = Options(override=self._override() if self._author.chance(0.25) else "")
            if self._author.chance(0.1):
                options.run_timeout_ms = LONG_MS
            tops.append(Top(name, plan, options, before))
        return Program(self._seed, tuple(tops), "deployments")

    def _first(self) -> tuple[Action, ...]:
        """Workers, and mostly a version that new work goes to."""
        actions = [Action("create", "", "one")] if self._author.chance(0.1) else []
        actions += [Action("worker", build) for build in BUILDS]
        if self._author.chance(0.85):
            actions.append(Action("current", self._dice.choice(BUILDS)))
        if self._author.chance(0.3):
            actions.append(self._ramping())
        return tuple(actions)

    # Plans

    def _plan(self, name: str) -> Plan:
        plan = Plan((*self._steps(0, name),))
        plan.ending = self._dice.choices(("complete", "fail", "continue"), (5, 1, 3))[0]
        if plan.ending == "continue":
            plan.then = Plan((*self._steps(1, name),), begins_at_once=True)
            plan.then_options = Options(
                initial=self._dice.choice(("", "AUTO_UPGRADE", "USE_RAMPING_VERSION"))
            )
        self._dress(plan, self._dice.choice(list(BEHAVIORS)))
        return plan

    def _steps(self, depth: int, name: str) -> list[Step]:
        steps: list[Step] = []
        for _ in range(self._dice.randint(1, 3 - depth)):
            steps.append(Gate(self._author.name("g"), self._mixed()))
            if self._author.chance(0.5):
                steps.append(Where(self._author.name("v")))
            steps.extend(self._author.step(self._dice.choice((1, 2))))
        return steps

    def _dress(self, plan: Plan, behavior: str) -> None:
        """Gives the plan, and those within, a behavior, and its clients something to do about
        versions."""
        plan.behavior = behavior
        for step in plan.steps:
            inner = step.step if isinstance(step, Spawn) else step
            if isinstance(inner, Child):
                self._dress_child(inner)
            if isinstance(inner, Gate | Hold | Activity):
                inner.actions = tuple(self._replaced(action) for action in inner.actions)
            for action in getattr(inner, "actions", ()):
                if action.plan is not None:
                    self._dress(action.plan, self._dice.choice(list(BEHAVIORS)))
        if plan.then is not None:
            self._dress(plan.then, behavior)

    def _dress_child(self, child: Child) -> None:
        self._dress(child.plan, self._dice.choice(list(BEHAVIORS)))
        if self._author.chance(0.2):
            child.options = child.options or Options()
            child.options.override = self._dice.choice(("auto", "pinned 1", "pinned 2", "pinned 9"))

    # What operators do

    def _mixed(self) -> tuple[Action, ...]:
        actions = [*self._operations(self._dice.randint(0, 3))]
        if self._author.chance(0.6):
            actions += self._author.actions(1)
        return tuple(actions)

    def _replaced(self, action: Action) -> Action:
        is_another = action.kind not in ("release", "answer") and self._author.chance(0.2)
        return self._operation() if is_another else action

    def _operations(self, count: int) -> tuple[Action, ...]:
        return tuple(self._operation() for _ in range(count))

    def _operation(self) -> Action:
        dice = self._dice
        kinds: dict[Callable[[], Action], float] = {
            self._current: 5,
            self._ramping: 4,
            self._overridden: 5,
            self._manager: 0.7,
            self._metadata: 0.7,
            lambda: Action("worker", LATE): 0.7,
            lambda: Action("create", dice.choice((CREATED, CREATED, "1", "")), self._request()): 1,
            self._delete: 1,
            lambda: Action("look", dice.choice(("", "", *BUILDS, CREATED, UNKNOWN))): 2,
            lambda: Action("look at queue", ""): 0.5,
        }
        return dice.choices(list(kinds), list(kinds.values()))[0]()

    def _request(self) -> str:
        return self._dice.choice(("one", "one", "two"))

    def _words(self) -> str:
        choice = self._dice.random()
        if choice < 0.08:
            return "another"
        if choice < 0.14:
            return "stale"
        if choice < 0.25:
            return "fresh"
        return "ignoring" if choice < 0.35 else ""

    def _routed(self) -> tuple[str, str]:
        """A build, and words that go with it. None that has no task queue: once one was current,
        the real server shows its routing as on its way for ever."""
        build = self._dice.choices((*BUILDS, "", LATE, UNKNOWN), (8, 8, 3, 2, 1))[0]
        words = self._words()
        return build, f"{words} early" if build in BUILDS and self._author.chance(0.1) else words

    def _current(self) -> Action:
        build, words = self._routed()
        return Action("current", build, words.strip())

    def _ramping(self) -> Action:
        build, words = self._routed()
        percentage = self._dice.choice(PERCENTAGES)
        return Action("ramping", build, f"{percentage} {words}".strip())

    def _manager(self) -> Action:
        who = self._dice.choice(("", "self", "another client", "nobody known"))
        return Action("manager", who, self._words().removeprefix("ignoring"))

    def _metadata(self) -> Action:
        how = self._dice.choice(("add a", "add b", "drop a", "drop nothing"))
        return Action("metadata", self._dice.choice((*BUILDS, CREATED, UNKNOWN)), how)

    def _delete(self) -> Action:
        target = self._dice.choice((*BUILDS, CREATED, CREATED, UNKNOWN, ""))
        return Action("delete", target, self._dice.choice(("", "", "undrained", "another")))

    def _override(self) -> str:
        kind = self._dice.choices(("pinned", "once", "auto"), (4, 1, 2))[0]
        if kind == "auto":
            return kind
        build = self._dice.choices((*BUILDS, LATE, CREATED, UNKNOWN), (6, 6, 1, 0.5, 0.5))[0]
        return f"{kind} {build}"

    def _overridden(self) -> Action:
        how = "none" if self._author.chance(0.2) else self._override()
        return Action("override", self._dice.choice(self._author.workflows), how)
