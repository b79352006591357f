"""A program from a seed: the same seed, the same program."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.differential.program import (
    Action,
    Activity,
    Attribute,
    Cancel,
    CancelExternal,
    Child,
    FailTask,
    Gate,
    Hold,
    Join,
    Memo,
    Options,
    Patch,
    Plan,
    Program,
    Race,
    Retry,
    SignalExternal,
    Spawn,
    Step,
    Timer,
    Top,
)

DEPTH_MAX = 2
STEPS_MAX = 4
RACING_SHARE = 0.45
LONG_MS = 60_000
TIMEOUT_MS = 700
"""Of what is meant to time out."""
SHORT_MS = (200, 300)
"""Of a timer: so long that a workflow task that was on its way is over."""
RUN_BACKOFF_MS = 1_100
"""Longer than the second that the server leaves between runs."""
ABSENT = "nobody"


def generate(seed: int) -> Program:
    """The program of a seed."""
    return Author(seed, random.Random(seed)).program()


class Author:
    """Writes one program. Names are given in the order of writing."""

    def __init__(self, seed: int, dice: random.Random, *, may_race: bool = True) -> None:
        self._seed = seed
        self.dice = dice
        self._count = 0
        self.workflows: list[str] = []
        """The names of workflows so far; an action may aim at any of them."""
        self._updates: list[str] = []
        self._is_racing = self.dice.random() < RACING_SHARE and may_race

    def program(self) -> Program:
        tops = []
        if self.dice.random() < 0.5:
            tops.append(self._peer())
        name = self.name("w", is_workflow=True)
        plan = self.plan(0, name)
        tops.append(Top(name, plan, self._options(plan)))
        return Program(self._seed, tuple(tops))

    # Small choices

    def name(self, letter: str, is_workflow: bool = False) -> str:
        self._count += 1
        name = f"{letter}{self._count}"
        if is_workflow:
            self.workflows.append(name)
        return name

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def _target(self) -> str:
        return ABSENT if self.chance(0.1) else self.dice.choice(self.workflows)

    # Plans

    def _peer(self) -> Top:
        """A workflow that others may aim at: it waits at a gate."""
        name = self.name("w", is_workflow=True)
        gate = Gate(self.name("z"), self.actions(1))
        return Top(name, Plan((gate,), goes_on_when_cancelled=self.chance(0.3)))

    def plan(self, depth: int, name: str) -> Plan:
        steps: list[Step] = []
        for _ in range(self.dice.randint(1 if depth else 2, STEPS_MAX - depth)):
            steps.extend(self.step(depth))
        if depth == 0 and self._is_racing:
            steps.insert(self.dice.randint(0, len(steps)), self._race(name))
        plan = Plan(self._apart(steps), goes_on_when_cancelled=self.chance(0.3))
        plan.ending = self.dice.choices(
            ("complete", "fail", "fatal", "chain", "continue"), (6, 2, 1, 1, 1.5)
        )[0]
        if plan.ending == "continue":
            plan.then = self._next_plan(depth)
            plan.then_options = self._next_options() if self.chance(0.4) else None
        return plan

    def _apart(self, steps: list[Step]) -> tuple[Step, ...]:
        """What the driver did during a held task is told to the workflow in a task right after it.
        Where that would be concurrent with a step, a gate goes between."""
        result: list[Step] = []
        is_held = False
        for step in steps:
            if is_held and not isinstance(step, Gate | Timer | Patch | Memo | Attribute | Hold):
                result.append(Gate(self.name("g")))
                is_held = False
            is_held = isinstance(step, Hold) or (
                is_held and isinstance(step, Patch | Memo | Attribute)
            )
            result.append(step)
        return tuple(result)

    def _next_plan(self, depth: int) -> Plan:
        steps = self.step(DEPTH_MAX) if self.chance(0.6) else []
        ending = self.dice.choice(("complete", "fail"))
        return Plan(tuple(steps), ending, begins_at_once=True)

    def _next_options(self) -> Options:
        return Options(
            run_timeout_ms=LONG_MS if self.chance(0.5) else 0,
            task_timeout_ms=7_000 if self.chance(0.5) else 0,
            retry=Retry(1, RUN_BACKOFF_MS) if self.chance(0.5) else None,
            memo="another memo" if self.chance(0.5) else "",
        )

    def _options(self, plan: Plan) -> Options:
        dice, options = self.dice, Options()
        if plan.ending in ("fail", "fatal", "complete") and self.chance(0.25):
            options.retry = Retry(
                dice.choice((1, 2, 3)),
                RUN_BACKOFF_MS,
                non_retryable=("Naughty",) if self.chance(0.2) else (),
            )
            if options.retry.attempts_max == 2 and plan.ending != "complete":
                plan.ending = "once"
        if self.chance(0.12):
            options.run_timeout_ms = LONG_MS
            if self.chance(0.4):
                options.execution_timeout_ms = dice.choice((LONG_MS, 2 * LONG_MS))
        if self.chance(0.08):
            # Nothing else may take time in a run that times out.
            plan.steps, plan.ending, plan.then = (), "timeout", None
            options.run_timeout_ms = 1_800
            if self.chance(0.4):
                options.execution_timeout_ms = dice.choice((1_800, 2_200, LONG_MS))
        if self.chance(0.08):
            options.start_delay_ms = dice.choice((300, LONG_MS))
        if self.chance(0.04):
            options.cron = "@every 1h"
        if self.chance(0.1):
            options.task_timeout_ms = dice.choice((7_000, 20_000))
        if self.chance(0.15):
            options.memo = "a memo"
        if self.chance(0.1):
            options.priority = dice.randint(1, 5)
        if self.chance(0.1):
            options.summary = "a summary"
        return options

    # Steps

    def step(self, depth: int) -> list[Step]:
        kinds: dict[Callable[[int], list[Step]], float] = {
            self._activity_step: 6,
            self._local: 1.5,
            self._timer: 1.5,
            self._gate: 3,
            self._hold: 1.5,
            self._patch: 0.7,
            self._memo: 0.7,
            self._attribute: 0.5,
            self._fail_task: 0.6,
            self._external: 1.5,
            self._spawned: 4,
        }
        if depth < DEPTH_MAX:
            kinds[self._child_step] = 3 - depth
        return self.dice.choices(list(kinds), list(kinds.values()))[0](depth)

    def _activity_step(self, depth: int) -> list[Step]:
        return [self.activity()]

    def activity(self) -> Activity:
        """One that ends by itself, or is held on the main line."""
        dice = self.dice
        step = Activity(self.name("a"), dice.choice(ATTEMPTS), raises=self.chance(0.15))
        if self.chance(0.7):
            step.retry = Retry(
                dice.choice((1, 2, 3, 3)),
                dice.choice((10, 40)),
                dice.choice((1.0, 2.0)),
                dice.choice((0, 50)),
                ("Listed",) if self.chance(0.5) else (),
            )
        if "hang" in step.attempts:
            step.start_to_close_ms = TIMEOUT_MS
        if any(attempt.startswith("hang:") for attempt in step.attempts):
            step.heartbeat_ms = TIMEOUT_MS
        if step.retry is None or self.chance(0.1):
            step.attempts, step.retry = self._retried_for_ever(step)
        if self.chance(0.04):
            step.attempts, step.retry = ("fail:plain", "hang"), Retry(3, 10)
            # The real server may take a second until it offers another attempt.
            step.start_to_close_ms, step.schedule_to_close_ms = LONG_MS, 2_500
            step.heartbeat_ms = 0
        if self.chance(0.06):
            step.queue = "dead"
            step.schedule_to_start_ms = dice.choice((300, 0))
            step.schedule_to_close_ms = 0 if step.schedule_to_start_ms else 300
        if any(attempt.startswith(("held", "obeys", "async")) for attempt in step.attempts):
            step.actions = self.actions(dice.randint(0, 2), activity=step.name)
        return step

    def _retried_for_ever(self, step: Activity) -> tuple[tuple[str, ...], Retry | None]:
        """Without a limit, the last attempt must succeed or the time must end."""
        if self.chance(0.3) and "hang" not in step.attempts and not step.heartbeat_ms:
            step.schedule_to_close_ms = 2_500
            return ("fail:plain",), Retry(0, 300, 10.0)
        retry = Retry(0, 20) if step.retry is None or step.attempts[-1] != "ok" else step.retry
        return (*step.attempts, "ok"), retry

    def _local(self, depth: int) -> list[Step]:
        attempts = self.dice.choice(
            (("ok",), ("fail:plain", "ok"), ("fail:fatal",), ("fail:plain",))
        )
        return [
            Activity(
                self.name("l"),
                attempts,
                is_local=True,
                retry=Retry(2, 10),
                raises=self.chance(0.1),
            )
        ]

    def _timer(self, depth: int) -> list[Step]:
        return [Timer(self.name("t"), self.dice.choice(SHORT_MS))]

    def _gate(self, depth: int) -> list[Step]:
        if not self._is_racing and self.chance(0.15):
            return [Gate(self.name("g"), self._redone())]
        return [Gate(self.name("g"), self.actions(self.dice.randint(1, 3)))]

    def _redone(self) -> tuple[Action, ...]:
        """What a reset to the first workflow task applies again."""
        target = self.dice.choice(self.workflows)
        name = self.name("u")
        self._updates.append(name)
        return (
            Action("update", target, "ok", name=name),
            Action("signal", target, "a word"),
            Action("reset", target, "0"),
        )

    def _hold(self, depth: int) -> list[Step]:
        actions = self.actions(self.dice.randint(1, 3), is_held=True)
        if not self.chance(0.3):
            return [Hold(self.name("h"), actions)]
        # The task must not be one that ends the workflow: when that is refused, the real server
        # gives up the update and takes it in again, and nobody knows whether it comes in time.
        actions += (self._update(""),)
        return [Hold(self.name("h"), actions), Gate(self.name("g"))]

    def _patch(self, depth: int) -> list[Step]:
        return [Patch(self.name("p"), self.chance(0.3))]

    def _memo(self, depth: int) -> list[Step]:
        return [Memo(self.name("m"), None if self.chance(0.3) else "a word")]

    def _attribute(self, depth: int) -> list[Step]:
        return [Attribute(self.name("b"), None if self.chance(0.3) else "a word")]

    def _fail_task(self, depth: int) -> list[Step]:
        return [FailTask(self.name("f"))]

    def _external(self, depth: int) -> list[Step]:
        kind = self.dice.choice((SignalExternal, SignalExternal, CancelExternal))
        target = self.workflows[0] if self.chance(0.5) else self._target()
        target = ABSENT if self.chance(0.15) else target
        return [kind(self.name("x"), target)]

    def _child_step(self, depth: int) -> list[Step]:
        return [self._child(depth)]

    def _child(self, depth: int) -> Child:
        dice = self.dice
        name = self.name("c", is_workflow=True)
        plan = self.plan(depth + 1, name)
        child = Child(name, plan, self._options(plan), raises=self.chance(0.2))
        assert child.options is not None
        child.options.start_delay_ms = 0
        child.close_policy = dice.choice(("TERMINATE", "ABANDON", "REQUEST_CANCEL"))
        child.cancellation = dice.choice(
            (
                "TRY_CANCEL",
                "WAIT_CANCELLATION_COMPLETED",
                "WAIT_CANCELLATION_REQUESTED",
                "ABANDON",
            )
        )
        if self.chance(0.12):
            child.workflow_id = dice.choice(self.workflows)
            child.reuse = dice.choice(
                (
                    "ALLOW_DUPLICATE",
                    "ALLOW_DUPLICATE_FAILED_ONLY",
                    "REJECT_DUPLICATE",
                )
            )
        if self.chance(0.05):
            child.options.queue = "dead"
        return child

    def _spawned(self, depth: int) -> list[Step]:
        """Something that rests beside the main line, and what becomes of it."""
        dice = self.dice
        name = self.name("s")
        choice = dice.random()
        inner: Activity | Timer | Child
        if choice < 0.25:
            inner = Timer(self.name("t"), LONG_MS)
        elif choice < 0.7 or depth >= DEPTH_MAX:
            inner = self._resting_activity()
        else:
            inner = self._child(depth)
        steps: list[Step] = [Spawn(name, inner)]
        steps.extend(self._between(inner, depth))
        if self.chance(0.6):
            steps.append(Cancel(self.name("k"), name))
        ends = not isinstance(inner, Timer) or isinstance(steps[-1], Cancel)
        if ends and self.chance(0.6):
            steps.append(Join(self.name("j"), name))
        return steps

    def _between(self, inner: Activity | Timer | Child, depth: int) -> list[Step]:
        if isinstance(inner, Activity) and self.chance(0.5):
            kind = self.dice.choice((Gate, Hold))
            count = self.dice.randint(1, 2)
            actions = self.actions(count, activity=inner.name, is_held=kind is Hold)
            return [kind(self.name("g"), actions)]
        return self.step(DEPTH_MAX) if self.chance(0.4) else []

    def _resting_activity(self) -> Activity:
        dice = self.dice
        step = Activity(
            self.name("a"),
            dice.choice(RESTING),
            retry=Retry(dice.choice((1, 2)), 10),
            cancellation=dice.choice(("TRY_CANCEL", "WAIT_CANCELLATION_COMPLETED", "ABANDON")),
            raises=False,
        )
        if self.chance(0.15):
            step.queue = "dead"
        if self.chance(0.4):
            step.actions = self.actions(1, activity=step.name)
        return step

    # Clients

    def actions(self, count: int, activity: str = "", is_held: bool = False) -> tuple[Action, ...]:
        return tuple(self._action(activity, is_held) for _ in range(count))

    def _action(self, activity: str, is_held: bool) -> Action:
        """While a workflow task is held, nothing is asked of a workflow that might be its."""
        dice = self.dice
        if activity and self.chance(0.5):
            if self.chance(0.5):
                return Action("release", activity)
            how = dice.choice(("complete", "fail", "cancel", "heartbeat"))
            return Action("answer", f"{dice.choice(self.workflows)}/{activity}", how)
        kinds: dict[Callable[[str], Action], float] = {
            lambda target: Action("signal", target, dice.choice(("a word", "another"))): 5,
            lambda target: Action("cancel", target, dice.choice(("a word", "another"))): 2,
            lambda target: Action("terminate", target): 0.7,
            lambda target: Action("describe", target): 2,
            self._start: 1,
            self._signal_with_start: 0.7,
            self._poll: 0.5,
        }
        if not is_held:
            kinds[self._query] = 2
            kinds[self._update] = 4
            kinds[self._update_with_start] = 1
        if not self._is_racing:
            # What is done again would come in the order of the race.
            kinds[self._reset] = 0.9
        return dice.choices(list(kinds), list(kinds.values()))[0](self._target())

    def _start(self, target: str) -> Action:
        return Action(
            "start", self.dice.choice(self.workflows), plan=Plan(), options=self._policies()
        )

    def _signal_with_start(self, target: str) -> Action:
        gate = Gate(self.name("g"))
        return Action(
            "signal-with-start",
            self.dice.choice(self.workflows),
            "a word",
            plan=Plan((gate,)),
            options=self._policies(),
        )

    def _policies(self) -> Options:
        dice = self.dice
        return Options(
            reuse=dice.choice(
                ("", "ALLOW_DUPLICATE", "ALLOW_DUPLICATE_FAILED_ONLY", "REJECT_DUPLICATE")
            ),
            conflict=dice.choice(("", "FAIL", "USE_EXISTING", "TERMINATE_EXISTING")),
            has_same_request=self.chance(0.2),
            attaches=self.chance(0.3),
        )

    def _query(self, target: str) -> Action:
        return Action("query", target, self.dice.choice(QUERIES))

    def _update(self, target: str) -> Action:
        dice = self.dice
        kind = dice.choices(list(UPDATES), list(UPDATES.values()))[0]
        is_early = kind == "gate" or self.chance(0.3)
        name = dice.choice(self._updates) if self._updates and self.chance(0.1) else ""
        name = name or self.name("u")
        self._updates.append(name)
        return Action("update", target, f"{kind}:ACCEPTED" if is_early else kind, name=name)

    def _update_with_start(self, target: str) -> Action:
        update, start = self._update(target), self._signal_with_start(target)
        return Action(
            "update-with-start",
            start.target,
            update.how,
            plan=start.plan,
            options=start.options,
            name=update.name,
        )

    def _poll(self, target: str) -> Action:
        names = [*self._updates, "nothing"]
        return Action("poll", target, name=self.dice.choice(names))

    def _reset(self, target: str) -> Action:
        exclusion = self.dice.choice(("", "", "SIGNAL", "UPDATE"))
        index = self.dice.choice((0, 0, 1, -1))
        return Action("reset", target, f"{index}:{exclusion}" if exclusion else str(index))

    # Races

    def _race(self, target: str) -> Race:
        dice = self.dice
        name = self.name("r")
        branches = tuple(
            tuple(self._racing_step() for _ in range(dice.randint(1, 2)))
            for _ in range(dice.randint(1, 3))
        )
        signals = tuple(Action("signal", target, "a word") for _ in range(dice.randint(0, 3)))
        updates = tuple(
            Action("update", target, dice.choice(("ok", "timer", "activity")), name=self.name("u"))
            for _ in range(dice.choice((0, 0, 1, 2)))
        )
        queries = (Action("query", target, "constant"),) if self.chance(0.3) else ()
        return Race(name, branches, signals + updates + queries)

    def _racing_step(self) -> Step:
        dice = self.dice
        choice = dice.random()
        if choice < 0.4:
            attempts = dice.choice((("ok",), ("ok",), ("fail:plain", "ok"), ("fail:fatal",)))
            return Activity(self.name("a"), attempts, retry=Retry(2, 10))
        if choice < 0.6:
            return Timer(self.name("t"), dice.choice((1, 5, 20)))
        if choice < 0.7:
            return SignalExternal(self.name("x"), ABANDON_TARGET)
        if choice < 0.8:
            return Memo(self.name("m"), "a word")
        plan = Plan((Timer(self.name("t"), dice.choice((1, 5))),), begins_at_once=True)
        plan.ending = dice.choice(("complete", "fail", "chain"))
        return Child(self.name("c"), plan)


ABANDON_TARGET = ABSENT

QUERIES = ("notes", "notes", "broken", "absent", "notes:NOT_OPEN", "notes:NOT_COMPLETED_CLEANLY")
"""By name, and with what they are refused."""

UPDATES = {
    "ok": 4.0,
    "reject": 2.0,
    "fail": 1.5,
    "timer": 1.0,
    "activity": 1.0,
    "gate": 1.5,
    "bug": 0.7,
    "absent": 0.5,
}
"""By what the handler does, and how often."""

ATTEMPTS: tuple[tuple[str, ...], ...] = (
    ("ok",),
    ("ok",),
    ("ok",),
    ("fail:plain", "ok"),
    ("fail:plain",),
    ("fail:bug", "fail:later", "ok"),
    ("fail:fatal",),
    ("fail:chain",),
    ("fail:listed",),
    ("hang", "ok"),
    ("hang",),
    ("hang:alive", "ok"),
    ("hang:alive",),
    ("beat:first", "ok"),
    ("beat:first", "beat:second"),
    ("held",),
    ("held:plain", "ok"),
    ("async",),
    ("fail:plain", "obeys"),
)

RESTING: tuple[tuple[str, ...], ...] = (
    ("held",),
    ("held:plain", "held"),
    ("held:fatal",),
    ("obeys",),
    ("obeys:refuses",),
    ("obeys:fails", "held"),
    ("async",),
    ("fail:plain", "obeys"),
)
