"""Task queues with workers of deployments: tasks meet workers of the version that they are for,
whatever happens between."""

from __future__ import annotations

import pytest

from perdure.server.engine.api import EngineUnavailable, Poll, WorkflowTaskWithHistory
from perdure.server.machines.deployment.inputs import Change
from perdure.server.machines.deployment.names import UNVERSIONED, VersionName
from perdure.server.machines.deployment.state import Status, TaskQueue
from perdure.server.machines.errors import FailedPrecondition, NotFound
from perdure.server.store.ports import QueueKey
from tests.engine.house import NAMESPACE, House, simulated, spawn, turns

ME = Change(identity="me")
WORKFLOW = 1


async def poll(
    house: House, build: str, seconds: float = 0.1, queue: str = "queue"
) -> WorkflowTaskWithHistory | None:
    """Poll a workflow task as a version of the deployment `d`."""
    version = VersionName("d", build)
    found = await house.engine.poll_workflow_task(
        Poll(NAMESPACE, queue, f"worker {build}", version=version), seconds
    )
    assert found is None or isinstance(found, WorkflowTaskWithHistory)
    return found


async def taken_by(house: House, build: str) -> str | None:
    """The workflow whose task a version gets, if any."""
    task = await poll(house, build)
    return None if task is None else task.task.token.workflow_id


async def with_versions(house: House, *builds: str) -> None:
    for build in builds:
        assert await poll(house, build) is None


async def set_current(house: House, build: str) -> None:
    await house.engine.deployments.set_current(NAMESPACE, "d", build, ME)


@simulated
async def test_a_version_is_known_when_its_worker_has_polled(house: House) -> None:
    await with_versions(house, "1")
    found = await house.engine.deployments.find(NAMESPACE, "d")
    assert found is not None
    assert found.versions["1"].queues == (TaskQueue("queue", WORKFLOW),)
    await house.crash()
    assert await house.engine.deployments.find(NAMESPACE, "d") == found


@simulated
async def test_tasks_go_to_the_current_version_and_to_no_other_worker(house: House) -> None:
    await with_versions(house, "1", "2")
    await house.start("before")
    assert await taken_by(house, "1") is None, "nothing is current yet"
    assert (await house.take()).task.token.workflow_id == "before"
    await set_current(house, "2")
    await house.start("after")
    assert await taken_by(house, "1") is None
    assert await house.poll(seconds=0.1) is None
    assert await taken_by(house, "2") == "after"


@simulated
async def test_a_waiting_poll_of_the_current_version_gets_a_task_at_once(house: House) -> None:
    await with_versions(house, "1")
    await set_current(house, "1")
    waiting = spawn(poll(house, "1", 1))
    unversioned = spawn(house.poll(seconds=1))
    await turns()
    rows = len(house.wire.commits)
    await house.start("w")
    task = await waiting
    assert task is not None
    assert task.task.token.workflow_id == "w"
    assert await unversioned is None
    assert len(house.wire.commits) == rows + 1, "start and task share a commit, without a row"


@simulated
async def test_a_backlog_goes_elsewhere_when_the_routing_does(house: House) -> None:
    await with_versions(house, "1", "2")
    await set_current(house, "1")
    for name in ("a", "b"):
        await house.start(name)
    assert await taken_by(house, "1") == "a"
    waiting = spawn(poll(house, "2", 1))
    await turns()
    assert not waiting.done()
    await set_current(house, "2")
    task = await waiting
    assert task is not None
    assert task.task.token.workflow_id == "b"
    await house.start("c")
    await set_current(house, UNVERSIONED)
    assert (await house.take()).task.token.workflow_id == "c"


@simulated
async def test_a_task_that_waits_for_its_last_worker_goes_where_the_routing_does(
    house: House,
) -> None:
    await with_versions(house, "1", "2")
    await set_current(house, "1")
    await house.start("w")
    task = await poll(house, "1")
    assert task is not None
    await house.complete(
        task, "marker m", version="d:1", behavior="auto_upgrade", sticky="mine:60s"
    )
    worker = Poll(NAMESPACE, "mine", "worker 1", sticky_for="queue", version=VersionName("d", "1"))
    assert await house.engine.poll_workflow_task(worker, 0.1) is None
    await house.signal("w")
    await set_current(house, "2")
    waiting = spawn(house.engine.poll_workflow_task(worker, 1))
    assert await taken_by(house, "2") == "w"
    assert await waiting is None


@simulated
async def test_a_task_stays_with_its_last_worker_when_new_work_goes_to_workers_of_no_version(
    house: House,
) -> None:
    await with_versions(house, "1")
    await set_current(house, "1")
    await house.start("w")
    task = await poll(house, "1")
    assert task is not None
    await house.complete(
        task, "marker m", version="d:1", behavior="auto_upgrade", sticky="mine:60s"
    )
    worker = Poll(NAMESPACE, "mine", "worker 1", sticky_for="queue", version=VersionName("d", "1"))
    assert await house.engine.poll_workflow_task(worker, 0.1) is None
    await set_current(house, UNVERSIONED)
    await house.signal("w")
    assert await house.engine.poll_workflow_task(worker, 1) is not None


@simulated
async def test_the_routing_and_what_waits_for_it_survive_a_crash(house: House) -> None:
    await with_versions(house, "1", "2")
    await set_current(house, "1")
    await house.engine.deployments.set_ramping(NAMESPACE, "d", "2", 50, ME)
    names = [f"w{number}" for number in range(20)]
    for name in names:
        await house.start(name)
    await house.crash()
    first = [found for _ in names if (found := await taken_by(house, "1")) is not None]
    second = [found for _ in names if (found := await taken_by(house, "2")) is not None]
    assert sorted(first + second) == sorted(names)
    assert first
    assert second
    routing = house.engine.queues.deployments.routing(QueueKey(NAMESPACE.number, "queue", WORKFLOW))
    assert {routing.target(name)[0] for name in first} == {VersionName("d", "1")}


@simulated
async def test_a_backlog_is_counted_by_version(house: House) -> None:
    await with_versions(house, "1", "2")
    await set_current(house, "1")
    for name in ("a", "b"):
        await house.start(name)

    async def backlog(build: str) -> int:
        part = VersionName("d", build).text if build else None
        view = await house.engine.describe_queue(NAMESPACE, "queue", WORKFLOW, part)
        return sum(part.backlog for part in view.statistics.values())

    assert (await backlog("1"), await backlog("2"), await backlog("")) == (2, 0, 2)
    await set_current(house, "2")
    assert (await backlog("1"), await backlog("2"), await backlog("")) == (0, 2, 2)


@simulated
async def test_a_version_is_busy_and_polled_as_its_queues_are(house: House) -> None:
    await with_versions(house, "1")
    assert await poll(house, "2", 0.1, "other") is None
    await set_current(house, "1")
    await house.start("w")
    with pytest.raises(FailedPrecondition, match="missing active task queues"):
        await set_current(house, "2")
    deployment = await house.engine.deployments.find(NAMESPACE, "d")
    assert deployment is not None
    assert house.engine.queues.unpolled(NAMESPACE.number, deployment) == frozenset()
    house.clock.stall(600)
    assert house.engine.queues.unpolled(NAMESPACE.number, deployment) == {"1", "2"}
    assert deployment.versions["1"].status == Status.CURRENT


@simulated
async def test_a_poll_whose_version_cannot_be_written_is_told_to_try_again(house: House) -> None:
    house.faults.is_unavailable = True
    with pytest.raises(EngineUnavailable):
        await poll(house, "1")
    house.faults.is_unavailable = False
    assert await house.engine.deployments.find(NAMESPACE, "d") is None
    with pytest.raises(NotFound, match="no Worker Deployment found"):
        await set_current(house, "1")
    await with_versions(house, "1")
    house.faults.is_unavailable = True
    with pytest.raises(EngineUnavailable):
        await set_current(house, "1")
    house.faults.is_unavailable = False
    found = await house.engine.deployments.find(NAMESPACE, "d")
    assert found is not None
    assert found.routing.current == UNVERSIONED, "what was not written never was"
