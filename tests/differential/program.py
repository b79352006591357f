"""What a random program is: data. A tree of steps per workflow, and what a client does at which.

Every step has a name that is unique in its program, so that a step can be dropped from the tree
without changing what the others are called. A program always ends: whatever is left open when
nothing happens any more is terminated by the driver.

What is compared is well defined because nothing is concurrent unless a program says so. A `Gate` is
a point at which a workflow waits for the driver; the driver lets one gate at a time go on, and only
when nothing else in the program can still happen. What is left running beside the main line
(`Spawn`) rests too: a long timer, an activity that is held, a child at its gate. A `Race` declares
that its branches and its client's actions are concurrent; see `canonical`.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


class Retry(msgspec.Struct, omit_defaults=True):
    """A retry policy; times in milliseconds."""

    attempts_max: int = 0
    initial_ms: int = 20
    coefficient: float = 1.0
    interval_max_ms: int = 0
    non_retryable: tuple[str, ...] = ()


class Action(msgspec.Struct, omit_defaults=True):
    """What a client does. `kind` is a row of the driver's table; `target` is a workflow's or an
    activity's name."""

    kind: str
    target: str
    how: str = ""
    plan: Plan | None = None
    """Of a start: what the new run does."""
    options: Options | None = None
    name: str = ""
    """Of an update: its id."""


class Activity(msgspec.Struct, tag_field="do", tag="activity", omit_defaults=True):
    """An activity; each attempt behaves as its entry of `attempts` says, the last again and
    again."""

    name: str
    attempts: tuple[str, ...] = ("ok",)
    is_local: bool = False
    queue: str = ""
    start_to_close_ms: int = 0
    schedule_to_close_ms: int = 0
    schedule_to_start_ms: int = 0
    heartbeat_ms: int = 0
    retry: Retry | None = None
    cancellation: str = "TRY_CANCEL"
    raises: bool = False
    """Its failure is the workflow's, rather than noted."""
    actions: tuple[Action, ...] = ()
    """What the client does while an attempt is held."""


class Timer(msgspec.Struct, tag_field="do", tag="timer", omit_defaults=True):
    """A timer."""

    name: str
    ms: int = 10


class Child(msgspec.Struct, tag_field="do", tag="child", omit_defaults=True):
    """A child workflow. `workflow_id` names another workflow whose id it wants."""

    name: str
    plan: Plan
    options: Options | None = None
    workflow_id: str = ""
    close_policy: str = "TERMINATE"
    cancellation: str = "WAIT_CANCELLATION_COMPLETED"
    reuse: str = "ALLOW_DUPLICATE"
    raises: bool = False


class Operation(msgspec.Struct, tag_field="do", tag="operation", omit_defaults=True):
    """A Nexus operation. Its handler does what `how` says: see `desk`."""

    name: str
    how: str = "ok"
    plan: Plan | None = None
    """Of the workflow behind it, if its handler starts one."""
    is_dead: bool = False
    """Its endpoint leads to nobody."""
    schedule_to_close_ms: int = 0
    schedule_to_start_ms: int = 0
    start_to_close_ms: int = 0
    cancellation: str = "WAIT_COMPLETED"
    raises: bool = False
    actions: tuple[Action, ...] = ()
    """What the client does while its handler is held."""


class SignalExternal(msgspec.Struct, tag_field="do", tag="signal external", omit_defaults=True):
    """A signal to another workflow."""

    name: str
    target: str


class CancelExternal(msgspec.Struct, tag_field="do", tag="cancel external", omit_defaults=True):
    """A request to cancel another workflow."""

    name: str
    target: str


class Patch(msgspec.Struct, tag_field="do", tag="patch", omit_defaults=True):
    """A patch marker."""

    name: str
    is_deprecated: bool = False


class Memo(msgspec.Struct, tag_field="do", tag="memo", omit_defaults=True):
    """An upsert of the memo; without a word, the entry goes."""

    name: str
    word: str | None = None


class Attribute(msgspec.Struct, tag_field="do", tag="attribute", omit_defaults=True):
    """An upsert of a search attribute; without a word, it goes."""

    name: str
    word: str | None = None


class FailTask(msgspec.Struct, tag_field="do", tag="fail task", omit_defaults=True):
    """The workflow task fails, once."""

    name: str


class Gate(msgspec.Struct, tag_field="do", tag="gate", omit_defaults=True):
    """Waits for the driver, which first does what is listed."""

    name: str
    actions: tuple[Action, ...] = ()


class Where(msgspec.Struct, tag_field="do", tag="where", omit_defaults=True):
    """Notes on which version of its deployment it is, and whether it is wanted on another."""

    name: str


class Hold(msgspec.Struct, tag_field="do", tag="hold", omit_defaults=True):
    """The worker is held within the workflow task while the driver does what is listed."""

    name: str
    actions: tuple[Action, ...] = ()


class Spawn(msgspec.Struct, tag_field="do", tag="spawn", omit_defaults=True):
    """Starts a step and goes on, at a gate."""

    name: str
    step: Activity | Timer | Child | Operation


class Cancel(msgspec.Struct, tag_field="do", tag="cancel", omit_defaults=True):
    """Cancels what a `Spawn` of that name started, and goes on at a gate."""

    name: str
    target: str


class Join(msgspec.Struct, tag_field="do", tag="join", omit_defaults=True):
    """Waits for what a `Spawn` of that name started."""

    name: str
    target: str


class Race(msgspec.Struct, tag_field="do", tag="race", omit_defaults=True):
    """Branches, each a sequence, and actions of clients, all at once. Ends when all have ended."""

    name: str
    branches: tuple[tuple[Step, ...], ...] = ()
    actions: tuple[Action, ...] = ()


Step = (
    Activity
    | Timer
    | Child
    | Operation
    | SignalExternal
    | CancelExternal
    | Patch
    | Memo
    | Attribute
    | FailTask
    | Gate
    | Where
    | Hold
    | Spawn
    | Cancel
    | Join
    | Race
)


class Plan(msgspec.Struct, omit_defaults=True):
    """What one run does: its steps, and how it ends.

    `ending`: complete, fail, fatal (not retryable), listed (of a type that the retry policy
    names), chain (a failure with causes), once (fails in the first attempt), timeout (waits for its
    run timeout), continue (as new, with `then`).
    """

    steps: tuple[Step, ...] = ()
    ending: str = "complete"
    then: Plan | None = None
    then_options: Options | None = None
    """What the command to continue as new says of its successor."""
    goes_on_when_cancelled: bool = False
    begins_at_once: bool = False
    """Of a child: it does not wait for the driver first."""
    is_served: bool = False
    """It is behind a Nexus operation, whose caller hears of it as a parent does of its child."""
    behavior: str = ""
    """Its workflow's type, which says how it behaves when versions change: a row of `crew`."""


class Options(msgspec.Struct, omit_defaults=True):
    """How a run is started, by a client or by its parent."""

    run_timeout_ms: int = 0
    execution_timeout_ms: int = 0
    task_timeout_ms: int = 0
    start_delay_ms: int = 0
    retry: Retry | None = None
    queue: str = ""
    cron: str = ""
    memo: str = ""
    priority: int = 0
    summary: str = ""
    reuse: str = ""
    conflict: str = ""
    has_same_request: bool = False
    attaches: bool = False
    """To a run that it meets: its request id."""
    override: str = ""
    """Of versioning: see `deployments`."""
    initial: str = ""
    """How a run that continues as new finds its version."""


class Top(msgspec.Struct, omit_defaults=True):
    """A workflow that a client starts."""

    name: str
    plan: Plan
    options: Options = msgspec.field(default_factory=Options)
    before: tuple[Action, ...] = ()
    """What clients do before it is started."""


class Call(msgspec.Struct, omit_defaults=True):
    """What a client asks of a server in a program without workflows. `kind` is a row of the
    table of calls of the program's kind."""

    kind: str
    target: str = ""
    how: str = ""
    step: Activity | None = None
    request: str = ""
    """What makes its request id the same as another's."""
    delay_ms: int = 0
    reuse: str = ""
    conflict: str = ""


class Program(msgspec.Struct, omit_defaults=True):
    """Some workflows, started one after the other."""

    seed: int
    workflows: tuple[Top, ...] = ()
    kind: str = "workflows"
    """A row of `kinds`."""
    calls: tuple[Call, ...] = ()
    """In programs about something else than workflows."""

    @property
    def title(self) -> str:
        """What it is called in lists and files."""
        return str(self.seed) if self.kind == "workflows" else f"{self.kind}-{self.seed}"

    @property
    def command(self) -> str:
        """What carries it out again."""
        seeds = f"{self.seed}:{self.seed + 1}"
        return f"python -m tests.differential --kind {self.kind} --seeds {seeds}"


def steps_of(program: Program) -> Iterator[Step]:
    """Every step of every plan, however deep."""
    for top in program.workflows:
        for action in top.before:
            if action.plan is not None:
                yield from _steps_of_plan(action.plan)
        yield from _steps_of_plan(top.plan)


def actions_of(program: Program) -> Iterator[Action]:
    """Everything that clients do in a program about workflows."""
    for top in program.workflows:
        yield from top.before
    for step in steps_of(program):
        yield from getattr(step, "actions", ())


def _steps_of_plan(plan: Plan) -> Iterator[Step]:
    for step in plan.steps:
        yield from _within(step)
    if plan.then is not None:
        yield from _steps_of_plan(plan.then)


def attempts_of(program: Program) -> Iterator[str]:
    """What its activities do, with and without a workflow."""
    steps = [*steps_of(program), *(call.step for call in program.calls if call.step)]
    for step in steps:
        if isinstance(step, Activity):
            yield from step.attempts


def _within(step: Step) -> Iterator[Step]:
    yield step
    match step:
        case Child(plan=plan) | Operation(plan=Plan() as plan):
            yield from _steps_of_plan(plan)
        case Spawn(step=spawned):
            yield from _within(spawned)
        case Race(branches=branches):
            for branch in branches:
                for inner in branch:
                    yield from _within(inner)
    for action in getattr(step, "actions", ()):
        if action.plan is not None:
            yield from _steps_of_plan(action.plan)


def has_races(program: Program) -> bool:
    """Whether anything in it is concurrent."""
    return any(isinstance(step, Race) for step in steps_of(program))


def script(program: Program) -> str:
    """The program for a person to read."""
    lines = [f"{program.kind}, seed {program.seed}"]
    for top in program.workflows:
        lines.extend(_action_lines(top.before, ""))
        lines.append(f"workflow {top.name}{_rest(top.options)}")
        lines.extend(_plan_lines(top.plan, 1))
    for call in program.calls:
        rest = _rest(msgspec.structs.replace(call, target=""))
        lines.append(f"{call.kind} {call.target}{rest}")
        lines.extend(_step_lines(call.step, 1) if call.step else ())
    return "\n".join(lines)


def _plan_lines(plan: Plan, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if plan.behavior:
        yield f"{indent}{plan.behavior}"
    if plan.goes_on_when_cancelled:
        yield f"{indent}goes on when cancelled"
    if plan.begins_at_once:
        yield f"{indent}begins at once"
    for step in plan.steps:
        yield from _step_lines(step, depth)
    yield f"{indent}ends: {plan.ending}{_rest(plan.then_options)}"
    if plan.then is not None:
        yield from _plan_lines(plan.then, depth + 1)


def _step_lines(step: Step, depth: int) -> Iterator[str]:
    indent = "  " * depth
    tag = str(step.__struct_config__.tag)
    yield f"{indent}{tag} {step.name}{_rest(step)}"
    match step:
        case Child(plan=plan) | Operation(plan=Plan() as plan):
            yield from _plan_lines(plan, depth + 1)
        case Spawn(step=spawned):
            yield from _step_lines(spawned, depth + 1)
        case Race(branches=branches):
            for branch in branches:
                yield f"{indent}  branch"
                for inner in branch:
                    yield from _step_lines(inner, depth + 2)
    yield from _action_lines(getattr(step, "actions", ()), indent + "  ")


def _action_lines(actions: tuple[Action, ...], indent: str) -> Iterator[str]:
    for action in actions:
        words = " ".join(filter(None, (action.kind, action.name, action.target, action.how)))
        yield f"{indent}client: {words}{_rest(action.options)}"
        if action.plan is not None:
            yield from _plan_lines(action.plan, len(indent) // 2 + 1)


_TOLD_ELSEWHERE = frozenset({"do", "kind", "name", "plan", "step", "branches", "actions"})


def _rest(struct: msgspec.Struct | None) -> str:
    """The fields that differ from their defaults, in words."""
    if struct is None:
        return ""
    fields = msgspec.to_builtins(struct)
    told = [f"{key}={value}" for key, value in fields.items() if key not in _TOLD_ELSEWHERE]
    return f" ({', '.join(told)})" if told else ""
