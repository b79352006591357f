"""Workers that are debugged, forked, or told to run workflows in their own way."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import pdb  # noqa: T100 -- what is tested opens it
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueResponse

from perdure import activity, workflow
from perdure.client import WorkflowFailureError
from perdure.service import RPCError, RPCStatusCode
from perdure.testing import WorkflowEnvironment
from perdure.worker import Replayer, UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from perdure.worker.long_tasks import log_long_task
from perdure.worker.workflow_sandbox import (
    RestrictedWorkflowAccessError,
    SandboxMatcher,
    SandboxRestrictions,
)


@workflow.defn
class Stops:
    """Has a breakpoint."""

    @workflow.run
    async def run(self) -> str:
        """What it has."""
        bird = "chicken"
        breakpoint()  # noqa: T100
        return bird


@workflow.defn
class Empty:
    """Is there to be started."""

    @workflow.run
    async def run(self) -> None:
        """Nothing."""


@workflow.defn
class Sleeps:
    """Asks asyncio for the loop that runs."""

    @workflow.run
    async def run(self) -> str:
        """The name of its thread, after a while."""
        await asyncio.sleep(60)
        return threading.current_thread().name


@activity.defn
async def nothing() -> None:
    """Does nothing."""


@pytest.fixture
async def env() -> AsyncIterator[WorkflowEnvironment]:
    """A server in this process."""
    async with await WorkflowEnvironment.start_time_skipping() as env:
        yield env


@pytest.mark.filterwarnings("ignore:PD304 breakpoint")
async def test_leaving_a_debugger_continues_the_workflow(
    env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Leaving(pdb.Pdb):
        def interaction(self, frame: Any, traceback: Any) -> None:
            seen.append((frame.f_code.co_name, frame.f_locals["bird"]))
            self.cmdqueue = ["p open(__file__).close()", "q"]
            super().interaction(frame, traceback)

    monkeypatch.setattr(pdb, "Pdb", Leaving)
    hook = sys.breakpointhook
    async with Worker(env.client, task_queue="q", workflows=[Stops], debug_mode=True):
        assert await env.client.execute_workflow(Stops.run, id="w", task_queue="q") == "chicken"
    assert seen == [("run", "chicken")]
    assert sys.breakpointhook is hook


async def test_a_loop_that_hides_all_others_does_not_hide_that_of_a_workflow(
    env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As trio-asyncio's does: whoever asks in its thread is told of it."""
    of_tests, original = asyncio.get_running_loop(), asyncio._get_running_loop
    thread = threading.get_ident()

    def ask() -> asyncio.AbstractEventLoop | None:
        return of_tests if threading.get_ident() == thread else original()

    for place in (asyncio, asyncio.events):
        for name in ("_get_running_loop", "get_running_loop"):
            monkeypatch.setattr(place, name, ask)
    async with Worker(env.client, task_queue="q", workflows=[Sleeps]):
        name = await env.client.execute_workflow(Sleeps.run, id="w", task_queue="q")
        assert name.startswith("perdure workflow code")
    history = await env.client.get_workflow_handle("w").fetch_history()
    await Replayer(workflows=[Sleeps]).replay_workflow(history)


async def test_a_breakpoint_is_refused_where_it_would_stop_the_worker(
    env: WorkflowEnvironment,
) -> None:
    async with Worker(
        env.client,
        task_queue="q",
        workflows=[Stops],
        workflow_failure_exception_types=[RestrictedWorkflowAccessError],
    ):
        with pytest.raises(WorkflowFailureError) as caught:
            await env.client.execute_workflow(Stops.run, id="w", task_queue="q")
    assert "debug_mode=True" in str(caught.value.cause)


async def test_runners_are_shown_the_workflows_and_refused_what_they_could_not_do(
    env: WorkflowEnvironment,
) -> None:
    shown: list[type] = []

    class Looking(UnsandboxedWorkflowRunner):
        def prepare_workflow(self, defn: Any) -> None:
            shown.append(defn.cls)

    class Own(WorkflowRunner):
        def __init__(self) -> None:
            self.calls = 0

    class Making(Own):
        def create_instance(self, det: Any) -> Any:
            raise AssertionError(det)

    for runner in (Looking(), Own()):
        worker = Worker(env.client, task_queue="q", workflows=[Empty], workflow_runner=runner)
        async with worker:
            await env.client.execute_workflow(Empty.run, id="w", task_queue="q")
    assert shown == [Empty]
    with pytest.raises(TypeError, match=r"Making\.create_instance would never be called"):
        Worker(env.client, task_queue="q", workflows=[Empty], workflow_runner=Making())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_worker_does_not_outlive_a_fork(env: WorkflowEnvironment) -> None:
    worker = Worker(env.client, task_queue="q", activities=[nothing])
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)

    def in_child() -> None:
        told = []
        try:
            Worker(env.client, task_queue="q", activities=[nothing])
        except AssertionError as error:
            told.append(str(error))
        try:
            worker.run().send(None)
        except AssertionError as error:
            told.append(str(error))
        sending.send(told)

    child = context.Process(target=in_child)
    child.start()
    sending.close()
    try:
        told = await asyncio.to_thread(receiving.recv)
    finally:
        child.join()
        receiving.close()
    assert told == ["Cannot create worker across forks", "Cannot use worker across forks"]


async def test_an_rpc_that_a_test_replaces_is_what_clients_call(
    env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = env.client.workflow_service
    asked: list[str] = []

    async def refuse(request: Any, **options: Any) -> Any:
        asked.append(request.workflow_id)
        assert set(options) == {"retry", "metadata", "timeout"}
        raise RPCError("not today", RPCStatusCode.INTERNAL, b"")

    own = service.start_workflow_execution
    with monkeypatch.context() as replacing:
        replacing.setattr(service, "start_workflow_execution", refuse)
        with pytest.raises(RPCError, match="not today"):
            await env.client.start_workflow(Empty.run, id="a", task_queue="q")
    assert asked == ["a"]
    await env.client.start_workflow(Empty.run, id="a", task_queue="q")
    monkeypatch.setattr(service, "start_workflow_execution", own)
    await env.client.start_workflow(Empty.run, id="b", task_queue="q")
    assert asked == ["a"]


def test_long_tasks_are_told_with_what_is_known(caplog: pytest.LogCaptureFixture) -> None:
    task = PollWorkflowTaskQueueResponse(started_event_id=4, attempt=2)
    task.workflow_execution.run_id = "run"
    task.workflow_type.name = "Empty"
    with caplog.at_level(logging.WARNING, "perdure.worker"):
        log_long_task(task, 5.5, 214)
    [record] = caplog.records
    assert record.getMessage() == (
        "[TMPRL1104] run:4:2 Workflow task duration exceeded 5 seconds: it took 5.5"
    )
    assert record.workflow_type == "Empty"  # type: ignore[attr-defined]
    assert record.workflow_history_size == 214  # type: ignore[attr-defined]


def test_matchers_are_made_for_members_of_members() -> None:
    inner = SandboxMatcher(use={"read"})
    nested = SandboxMatcher.nested_child(["a", "b"], inner)
    assert nested.child_matcher("a", "b") is inner
    for known in (
        SandboxRestrictions.passthrough_modules_minimum,
        SandboxRestrictions.passthrough_modules_with_temporal,
        SandboxRestrictions.passthrough_modules_default,
    ):
        assert known <= SandboxRestrictions.passthrough_modules_maximum
    assert "json" in SandboxRestrictions.passthrough_modules_default
