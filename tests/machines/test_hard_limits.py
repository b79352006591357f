"""What ends a run, however well it behaves: too long a history, too much state."""

from __future__ import annotations

import msgspec
from temporalio.api.command.v1 import Command, CompleteWorkflowExecutionCommandAttributes
from temporalio.api.enums.v1 import CommandType

from perdure.server.machines.ports import DEFAULT_LIMITS
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.codec import copy_run
from perdure.server.machines.workflow.state import Status
from perdure.server.machines.workflow.state_size import state_bytes
from tests.machines.activity_world import (
    WORKER,
    World,
    payloads,
    schedule_activity,
    start_timer,
)


def done() -> Command:
    """The command that completes the workflow."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes=(
            CompleteWorkflowExecutionCommandAttributes()
        ),
    )


def test_what_the_service_does_itself_is_not_refused_but_ends_the_run() -> None:
    world = World(limits=msgspec.structs.replace(DEFAULT_LIMITS, history_count_max=7))
    world.complete_task(start_timer("t", 1), start_timer("u", 1))
    world.pass_time(1)
    assert world.types(6)[-1] == "WORKFLOW_EXECUTION_TERMINATED"
    assert world.types(6).count("TIMER_FIRED") == 2


def test_a_completion_of_a_run_whose_history_is_too_large_may_still_close_it() -> None:
    for commands, status in (([], Status.TERMINATED), ([done()], Status.COMPLETED)):
        world = World()
        world.limits = msgspec.structs.replace(DEFAULT_LIMITS, history_size_bytes_max=1)
        world.complete_task(*commands)
        assert world.run.recorded.status == status


def test_too_much_state_ends_the_run_that_it_is_of_and_no_other() -> None:
    limits = msgspec.structs.replace(DEFAULT_LIMITS, mutable_state_bytes_max=50_000)
    world = World(limits=limits)
    world.complete_task(*[schedule_activity(name) for name in ("a", "b", "c")])
    tokens = [world.start_activity(name) for name in ("a", "b", "c")]
    for token in tokens[:2]:
        world.heartbeat(token, "x" * 19_000)
        world.heartbeat(token, "x" * 19_000)
    message = inputs.HeartbeatActivity(tokens[2], payloads("x" * 19_000), WORKER)
    assert world.do(message, inputs.Refused).message == "Workflow mutable state size exceeds limit."
    assert world.run.recorded.status == Status.TERMINATED


def test_state_that_is_gone_does_not_count() -> None:
    limits = msgspec.structs.replace(DEFAULT_LIMITS, mutable_state_bytes_max=50_000)
    world = World(limits=limits)
    for name in ("a", "b", "c", "d"):
        world.complete_task(schedule_activity(name))
        token = world.start_activity(name)
        world.heartbeat(token, "x" * 19_000)
        world.complete_activity(token)
        world.start_task()
    assert world.run.is_open
    assert not world.run.large_parts


def test_a_run_that_was_loaded_has_the_same_size() -> None:
    world = World()
    world.complete_task(schedule_activity("a"), schedule_activity("b"))
    world.heartbeat(world.start_activity("a"), "x" * 19_000)
    loaded = copy_run(world.run)
    assert loaded.large_parts == world.run.large_parts
    assert state_bytes(loaded) == state_bytes(world.run) > 19_000
