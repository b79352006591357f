"""Programs about Nexus operations, each from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.differential.generate import DEPTH_MAX, LONG_MS, TIMEOUT_MS, Author
from tests.differential.program import (
    Action,
    Cancel,
    Gate,
    Join,
    Operation,
    Options,
    Plan,
    Program,
    Spawn,
    Step,
    Top,
)

CANCELLATIONS = ("ABANDON", "TRY_CANCEL", "WAIT_REQUESTED", "WAIT_COMPLETED")
AT_ONCE = {
    "ok": 4.0,
    "retried": 1.0,
    "failed": 1.0,
    "canceled": 1.0,
    "application": 1.0,
    "BAD_REQUEST": 0.4,
    "UNAUTHENTICATED": 0.3,
    "UNAUTHORIZED": 0.3,
    "NOT_FOUND": 0.4,
    "INTERNAL": 0.4,
    "NOT_IMPLEMENTED": 0.3,
    "RESOURCE_EXHAUSTED": 0.3,
    "hang": 1.0,
}
"""What handlers do that answer at once or never, and how often."""
OPEN = ("open", "open deaf", "open deaf", "open slow", "held open")


def generate_nexus(seed: int) -> Program:
    """The program of a seed."""
    return _NexusAuthor(seed).program()


class _NexusAuthor:
    """Writes one program: a workflow that calls operations, beside what any workflow does."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._dice = random.Random(f"nexus {seed}")
        self._author = Author(seed, self._dice, may_race=False)

    def program(self) -> Program:
        """The whole of it."""
        name = self._author.name("w", is_workflow=True)
        steps: list[Step] = []
        kinds: dict[Callable[[], list[Step]], float] = {
            self._at_once: 3,
            self._served: 1.5,
            self._beside: 4,
            self._open: 2.5,
            self._other: 2,
        }
        for _ in range(self._dice.randint(1, 3)):
            steps.extend(self._dice.choices(list(kinds), list(kinds.values()))[0]())
        ending = self._dice.choices(("complete", "fail", "continue"), (6, 1, 1))[0]
        plan = Plan(tuple(steps), ending, goes_on_when_cancelled=self._author.chance(0.4))
        if ending == "continue":
            plan.then = Plan((), begins_at_once=True)
        return Program(self._seed, (Top(name, plan, Options()),), "nexus")

    # Steps

    def _other(self) -> list[Step]:
        return self._author.step(DEPTH_MAX)

    def _operation(self, how: str) -> Operation:
        step = Operation(self._author.name("n"), how, raises=self._author.chance(0.15))
        step.cancellation = self._dice.choice(CANCELLATIONS)
        return step

    def _at_once(self) -> list[Step]:
        """One that ends while the workflow waits for it."""
        dice = self._dice
        step = self._operation(dice.choices(list(AT_ONCE), list(AT_ONCE.values()))[0])
        if step.how == "hang":
            # One that was not answered in time is not started; a dead queue is as good.
            step.is_dead = self._author.chance(0.5)
            if self._author.chance(0.5):
                step.schedule_to_close_ms = TIMEOUT_MS
            else:
                step.schedule_to_start_ms = TIMEOUT_MS
        elif self._author.chance(0.3):
            step.schedule_to_close_ms = LONG_MS
        if self._author.chance(0.15):
            step.how, step.is_dead = "held", False
            step.schedule_to_close_ms = step.schedule_to_start_ms = 0
            step.actions = self._actions()
        return [step]

    def _served(self) -> list[Step]:
        """One whose workflow ends while its caller waits for it."""
        return [self._workflow_operation()]

    def _workflow_operation(self) -> Operation:
        step = self._operation("serve")
        self._author.workflows.append(step.name)
        step.plan = self._author.plan(DEPTH_MAX, step.name)
        step.plan.is_served = True
        if step.plan.then is not None:
            step.plan.then.is_served = True
        if self._author.chance(0.2):
            step.schedule_to_close_ms = LONG_MS
        if self._author.chance(0.1):
            # It never comes to its end: nothing else may take time in it.
            step.plan, step.start_to_close_ms = Plan(is_served=True), TIMEOUT_MS
            if self._author.chance(0.5):
                step.start_to_close_ms, step.schedule_to_close_ms = 0, TIMEOUT_MS
        return step

    def _beside(self) -> list[Step]:
        """One that goes on beside the main line, and what becomes of it."""
        return self._spawned(self._workflow_operation())

    def _open(self) -> list[Step]:
        step = self._operation(self._dice.choice(OPEN))
        if step.how == "open" and self._author.chance(0.5):
            step.start_to_close_ms = TIMEOUT_MS
            return [step]
        if step.how == "held open":
            step.actions = self._actions()
        if step.cancellation == "ABANDON":
            step.cancellation = "WAIT_REQUESTED"
        return self._spawned(step)

    def _spawned(self, step: Operation) -> list[Step]:
        name = self._author.name("s")
        steps: list[Step] = [Spawn(name, step)]
        if self._author.chance(0.5):
            steps.append(Gate(self._author.name("g"), self._actions()))
        elif self._author.chance(0.3):
            steps.extend(self._other())
        # One that nobody ends is waited for only if that is the end of it.
        is_endless = step.how in OPEN and not step.start_to_close_ms
        if self._author.chance(0.6) or step.how in OPEN:
            steps.append(Cancel(self._author.name("k"), name))
            is_endless = is_endless and step.cancellation.startswith("WAIT")
        if not is_endless and self._author.chance(0.6):
            steps.append(Join(self._author.name("j"), name))
        return steps

    def _actions(self) -> tuple[Action, ...]:
        return self._author.actions(self._dice.randint(1, 2))
