"""Programs a little smaller than a given one, the boldest cuts first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from tests.differential.program import (
    Activity,
    Child,
    Gate,
    Hold,
    Operation,
    Options,
    Plan,
    Program,
    Race,
    Spawn,
    Step,
)

Element = TypeVar("Element")


def smaller(program: Program) -> Iterator[Program]:
    """Each program that lacks one thing."""
    for workflows in _without_one(program.workflows):
        if workflows:
            yield msgspec.structs.replace(program, workflows=workflows)
    for index, top in enumerate(program.workflows):
        for plan in _plans(top.plan):
            workflows = _with(program.workflows, index, msgspec.structs.replace(top, plan=plan))
            yield msgspec.structs.replace(program, workflows=workflows)
        if top.options != Options():
            plain = msgspec.structs.replace(top, options=Options())
            workflows = _with(program.workflows, index, plain)
            yield msgspec.structs.replace(program, workflows=workflows)


def _plans(plan: Plan) -> Iterator[Plan]:
    for steps in _sequences(plan.steps):
        yield msgspec.structs.replace(plan, steps=steps)
    if plan.then is not None:
        for then in _plans(plan.then):
            yield msgspec.structs.replace(plan, then=then)
    if plan.ending != "complete":
        yield msgspec.structs.replace(plan, ending="complete", then=None, then_options=None)
    if plan.goes_on_when_cancelled:
        yield msgspec.structs.replace(plan, goes_on_when_cancelled=False)


def _sequences(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    if len(steps) > 3:
        yield steps[len(steps) // 2 :]
        yield steps[: len(steps) // 2]
    yield from _without_one(steps)
    for index, step in enumerate(steps):
        for changed in _steps(step):
            yield _with(steps, index, changed)


def _steps(step: Step) -> Iterator[Step]:
    match step:
        case Gate() | Hold():
            for actions in _without_one(step.actions):
                yield msgspec.structs.replace(step, actions=actions)
        case Activity():
            for actions in _without_one(step.actions):
                yield msgspec.structs.replace(step, actions=actions)
            if len(step.attempts) > 1:
                yield msgspec.structs.replace(step, attempts=step.attempts[1:])
        case Child():
            for plan in _plans(step.plan):
                yield msgspec.structs.replace(step, plan=plan)
            if step.options not in (None, Options()):
                yield msgspec.structs.replace(step, options=None)
        case Operation():
            for actions in _without_one(step.actions):
                yield msgspec.structs.replace(step, actions=actions)
            for plan in _plans(step.plan) if step.plan else ():
                yield msgspec.structs.replace(step, plan=plan)
        case Spawn():
            for inner in _steps(step.step):
                if isinstance(inner, Activity | Child | Operation):
                    yield Spawn(step.name, inner)
        case Race():
            for branches in _without_one(step.branches):
                yield msgspec.structs.replace(step, branches=branches)
            for index, branch in enumerate(step.branches):
                for fewer in _sequences(branch):
                    branches = _with(step.branches, index, fewer)
                    yield msgspec.structs.replace(step, branches=branches)
            for racing in _without_one(step.actions):
                yield msgspec.structs.replace(step, actions=racing)


def _without_one(elements: tuple[Element, ...]) -> Iterator[tuple[Element, ...]]:
    for index in range(len(elements)):
        yield elements[:index] + elements[index + 1 :]


def _with(elements: tuple[Element, ...], index: int, element: Element) -> tuple[Element, ...]:
    return (*elements[:index], element, *elements[index + 1 :])
