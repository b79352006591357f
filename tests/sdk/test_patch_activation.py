"""A worker may say whether a patch is active yet: it is asked once, where a run meets a patch for
the first time, and history remembers the answer."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType

from perdure import converter, workflow
from perdure.worker import PatchActivationInput
from tests.sdk.replay_world import World


@workflow.defn
class Rollout:
    """Meets one patch three times, with a task in between, and one that is on its way out."""

    @workflow.run
    async def run(self) -> list[bool]:
        met = [workflow.patched("newer"), workflow.patched("newer")]
        await asyncio.sleep(1)
        workflow.deprecate_patch("older")
        return [*met, workflow.patched("newer")]


class Rule:
    """What the worker says, and what it was asked."""

    def __init__(self, *, is_active: bool) -> None:
        self.is_active = is_active
        self.asked: list[tuple[str, str]] = []

    def __call__(self, asked: PatchActivationInput) -> bool:
        self.asked.append((asked.workflow_info.workflow_type, asked.patch_id))
        return self.is_active


def markers_of(commands: list[Command]) -> int:
    """How many markers, which is how patches are recorded, are among them."""
    kind = CommandType.COMMAND_TYPE_RECORD_MARKER
    return sum(command.command_type == kind for command in commands)


def result_of(command: Command) -> object:
    """What the workflow returned."""
    attributes = command.complete_workflow_execution_command_attributes
    return converter.default().payload_converter.from_payloads(attributes.result.payloads)[0]


@pytest.mark.parametrize("evict_always", [False, True])
@pytest.mark.parametrize("is_active", [False, True])
def test_the_first_answer_holds_for_the_whole_run(is_active: bool, evict_always: bool) -> None:
    rule = Rule(is_active=is_active)
    world = World(Rollout, evict_always=evict_always, patch_activation_callback=rule)
    first = world.task()
    assert markers_of(list(first.commands)) == int(is_active)
    # Another worker, in the middle of a roll-out, may think otherwise: it is not asked any more.
    rule.is_active = not is_active
    world.fire("1")
    last = world.task()
    assert result_of(last.commands[-1]) == [is_active] * 3
    assert rule.asked == [("Rollout", "newer")]
    assert markers_of(list(last.commands)) == 1, "who deprecates a patch is not asked"


@pytest.mark.parametrize("evict_always", [False, True])
def test_without_a_rule_each_new_patch_is_active(evict_always: bool) -> None:
    world = World(Rollout, evict_always=evict_always)
    world.task()
    world.fire("1")
    assert result_of(world.task().commands[-1]) == [True] * 3
