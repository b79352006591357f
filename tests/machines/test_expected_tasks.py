"""What should be on offer follows from the state alone."""

from __future__ import annotations

from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.effects import TaskKind
from perdure.server.machines.workflow.expected_tasks import ExpectedTask, expected_tasks
from perdure.server.machines.workflow.state import Phase
from tests.machines.stages import complete, message, stage


def test_a_scheduled_task_is_expected_where_it_is_on_offer() -> None:
    world = stage(Phase.SCHEDULED)
    assert expected_tasks(world.run) == {ExpectedTask(TaskKind.WORKFLOW, 0, 2, "mine")}
    world.decide(message(world, inputs.StickyWorkerUnavailable))
    assert expected_tasks(world.run) == {ExpectedTask(TaskKind.WORKFLOW, 0, 3, "queue")}


def test_a_started_task_is_expected_only_when_it_did_not_arrive() -> None:
    world = stage(Phase.STARTED)
    assert expected_tasks(world.run) == set()
    world.decide(message(world, inputs.WorkflowTaskUndelivered))
    assert expected_tasks(world.run) == {ExpectedTask(TaskKind.WORKFLOW, 0, 3, "queue")}


def test_an_activity_is_expected_while_it_is_scheduled() -> None:
    world = stage(Phase.IDLE)
    assert expected_tasks(world.run) == set()
    world.decide(message(world, inputs.ActivityTaskUndelivered))
    assert expected_tasks(world.run) == {ExpectedTask(TaskKind.ACTIVITY, 5, 1, "queue")}
    world.decide(message(world, inputs.StartActivityTask))
    world.decide(message(world, inputs.FailActivity))
    assert expected_tasks(world.run) == set(), "it backs off"


def test_nothing_is_expected_of_a_delayed_or_a_closed_run() -> None:
    assert expected_tasks(stage(Phase.DELAYED).run) == set()
    world = stage(Phase.STARTED)
    world.decide(message(world, inputs.ActivityTaskUndelivered))
    complete(world, "done bye")
    assert expected_tasks(world.run) == set()
