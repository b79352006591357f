"""A workflow task that only brings updates, and what is recorded when other news makes it a normal
one."""

from __future__ import annotations

import msgspec
from temporalio.api.common.v1 import WorkerVersionStamp
from temporalio.api.history.v1 import WorkflowTaskStartedEventAttributes

from perdure.server.machines.workflow import inputs
from tests.machines import requests, stages
from tests.machines.updating import update
from tests.machines.world import World, type_name

VERSION = WorkerVersionStamp(build_id="build").SerializeToString()


def with_update() -> World:
    """An update waits for its task, which a worker of some build has."""
    world = World()
    world.decide(inputs.StartWorkflow(requests.start({})))
    stages.poll(world)
    stages.complete(world, "")
    world.decide(update("u"))
    start = stages.message(world, inputs.StartWorkflowTask)
    assert isinstance(start, inputs.StartWorkflowTask)
    world.decide(msgspec.structs.replace(start, worker_version=VERSION))
    assert world.run.speculative is not None
    return world


def last_started(world: World) -> WorkflowTaskStartedEventAttributes:
    started = [each for each in world.events() if type_name(each) == "WORKFLOW_TASK_STARTED"]
    return started[-1].workflow_task_started_event_attributes


def test_a_task_that_news_makes_normal_has_no_worker_yet() -> None:
    world = with_update()
    world.decide(inputs.SignalWorkflow("", requests.signal("go", {})))
    started = last_started(world)
    assert started.identity == ""
    assert not started.HasField("worker_version")


def test_a_task_that_its_completion_makes_normal_has_the_worker_that_completes_it() -> None:
    world = with_update()
    request = requests.completion("timer t 1s", [], {})
    request.worker_version_stamp.build_id = "of the answer"
    world.decide(inputs.CompleteWorkflowTask(stages.task_token(world), request))
    started = last_started(world)
    assert started.identity == "worker"
    assert started.worker_version.build_id == "of the answer"
