"""Queries: by a worker of the SDK, and by hand, where each task and each answer can be chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message
from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import QueryResultType, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.query.v1 import WorkflowQuery, WorkflowQueryResult
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueResponse,
    QueryWorkflowRequest,
    RespondQueryTaskCompletedRequest,
    TerminateWorkflowExecutionRequest,
)
from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.common import QueryRejectCondition, RawValue
from temporalio.service import RPCError

from tests.interop.raw import HandWorker, complete_workflow, seconds, start_timer
from tests.interop.stage import CLIENT_IDENTITY, WAIT_SECONDS, Stage, payloads

BUG = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
ANSWERED = QueryResultType.QUERY_RESULT_TYPE_ANSWERED
FAILED = QueryResultType.QUERY_RESULT_TYPE_FAILED
NOT_OPEN = QueryRejectCondition.NOT_OPEN
NOT_CLEAN = QueryRejectCondition.NOT_COMPLETED_CLEANLY
FULL = "buffer is full"
LARGE = "x" * (2 * 1024 * 1024 + 1)


@workflow.defn
class Counts:
    """Counts its signals until it is told to stop."""

    def __init__(self) -> None:
        self.count = 0
        self.stopped = False

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.stopped)
        return self.count

    @workflow.signal
    def add(self, amount: int) -> None:
        self.count += amount

    @workflow.signal
    def stop(self) -> None:
        self.stopped = True

    @workflow.query
    def total(self) -> int:
        return self.count

    @workflow.query(name="times")
    def multiplied(self, factor: int) -> int:
        return self.count * factor

    @workflow.query
    def broken(self) -> int:
        raise ValueError("no answer")

    @workflow.query(dynamic=True)
    def anything(self, name: str, args: Sequence[RawValue]) -> str:
        return f"{name} of {len(args)}"


async def queries_answered(stage: Stage) -> None:
    """Each answer shows every signal before it, while the run is open and when it is closed."""
    async with stage.worker([Counts]):
        handle = await stage.start(Counts.run)
        stage.observe("at first", await handle.query(Counts.total))
        for amount in (1, 2, 3):
            await handle.signal(Counts.add, amount)
            stage.observe(f"after {amount}", await handle.query(Counts.total))
        stage.observe("with an argument", await handle.query(Counts.multiplied, 7))
        stage.observe("dynamic", await handle.query("whatever", args=[1, "two"]))
        try:
            await handle.query(Counts.broken)
        except WorkflowQueryFailedError as error:
            stage.observe("broken", str(error))
        await handle.signal(Counts.stop)
        stage.observe("result", await handle.result())
        stage.observe("closed", await handle.query(Counts.total))
        try:
            await handle.query(Counts.total, reject_condition=NOT_OPEN)
        except WorkflowQueryRejectedError as error:
            stage.observe("rejected", str(error.status))
        stage.observe(
            "not rejected",
            await handle.query(Counts.total, reject_condition=NOT_CLEAN),
        )
    async with stage.worker([Counts], max_cached_workflows=0):
        stage.observe("from the history", await handle.query(Counts.total))
    await stage.chain("history", handle)


@workflow.defn
class Speaks:
    """Gets its query handlers while it runs."""

    def __init__(self) -> None:
        self.words = ["hello"]

    @workflow.run
    async def run(self) -> None:
        workflow.set_current_details("speaking")
        workflow.set_query_handler("later", lambda: self.words)
        workflow.set_dynamic_query_handler(self.echo)
        await workflow.wait_condition(lambda: "bye" in self.words)

    def echo(self, name: str, args: Sequence[RawValue]) -> str:
        return f"{name}?"

    @workflow.signal(description="Say it.")
    def say(self, word: str) -> None:
        self.words.append(word)
        if word == "no more":
            workflow.set_dynamic_query_handler(None)

    @workflow.query(description="All that was said.")
    def said(self) -> list[str]:
        return self.words

    @workflow.query
    def changes(self) -> None:
        workflow.logger.info("a query must change nothing")
        workflow.uuid4()
        self.pending = asyncio.create_task(asyncio.sleep(1))


async def queries_built_in(stage: Stage) -> None:
    """What every workflow answers, handlers that come and go, and what a handler must not do."""
    async with stage.worker([Speaks]):
        handle = await stage.start(Speaks.run)
        stage.message(
            "metadata",
            await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata),
        )
        stage.observe("where it is", "in run" in await handle.query("__stack_trace"))
        stage.observe("later", await handle.query("later"))
        stage.observe("dynamic", await handle.query("anything"))
        await handle.signal(Speaks.say, "no more")
        for name in ("anything", "changes"):
            try:
                await handle.query(name)
            except WorkflowQueryFailedError as error:
                # Each SDK says in its own words what a handler must not do.
                stage.observe(f"{name} fails", "known queries" not in str(error) or str(error))
        await handle.signal(Speaks.say, "bye")
        await handle.result()
        stage.observe("said", await handle.query(Speaks.said))
    await stage.chain("history", handle)


class Asking:
    """Questions to one workflow, each under way until it is awaited."""

    def __init__(self, stage: Stage, worker: HandWorker, execution: WorkflowExecution) -> None:
        self._stage = stage
        self._worker = worker
        self._execution = execution

    def request(self, name: str, **fields: Any) -> QueryWorkflowRequest:
        """A question."""
        return QueryWorkflowRequest(
            **{
                "namespace": self._stage.namespace,
                "execution": self._execution,
                "query": WorkflowQuery(query_type=name),
                **fields,
            }
        )

    def ask(self, name: str, *, patience: float = WAIT_SECONDS, **fields: Any) -> asyncio.Task[Any]:
        """Ask; what comes of it is observed under the question's name."""
        call = self._stage.service.query_workflow(
            self.request(name, **fields), timeout=timedelta(seconds=patience)
        )
        return asyncio.create_task(self._stage.outcome(name, call))

    async def ask_waiting(self, name: str) -> asyncio.Task[Any]:
        """Ask, and return when the question waits for a workflow task: another one is refused."""
        call = self._call_when_there_is_room(name)
        pending = asyncio.create_task(self._stage.outcome(name, call))
        while True:
            try:
                await self._stage.service.query_workflow(
                    self.request("probe"), timeout=timedelta(seconds=0.3)
                )
            except RPCError as refusal:
                if FULL in refusal.message:
                    return pending
            await asyncio.sleep(0.1)  # It was faster, and had to be given up.

    async def _call_when_there_is_room(self, name: str) -> Message:
        while True:
            try:
                return await self._stage.service.query_workflow(
                    self.request(name), timeout=timedelta(seconds=WAIT_SECONDS)
                )
            except RPCError as refusal:
                if FULL not in refusal.message:
                    raise
            await asyncio.sleep(0.01)  # A probe was faster.

    async def answer(self, **fields: Any) -> None:
        """Take the question that is asked directly, and answer it."""
        await respond(self._stage, await self._worker.poll(), **fields)


async def respond(stage: Stage, task: PollWorkflowTaskQueueResponse, **fields: Any) -> None:
    """Answer a question that was asked directly."""
    await stage.service.respond_query_task_completed(
        RespondQueryTaskCompletedRequest(
            **{"namespace": stage.namespace, "task_token": task.task_token, **fields}
        )
    )


def answers(task: PollWorkflowTaskQueueResponse, value: Any) -> dict[str, WorkflowQueryResult]:
    """The same answer to each question that a workflow task carries."""
    result = WorkflowQueryResult(result_type=ANSWERED, answer=payloads(value))
    return dict.fromkeys(task.queries, result)


def refusals(task: PollWorkflowTaskQueueResponse, text: str) -> dict[str, WorkflowQueryResult]:
    """The same failure for each question that a workflow task carries."""
    failure = Failure(message="inner", source="interop")
    result = WorkflowQueryResult(result_type=FAILED, error_message=text, failure=failure)
    return dict.fromkeys(task.queries, result)


async def _idle(stage: Stage) -> tuple[HandWorker, WorkflowExecution, Asking]:
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.complete(await worker.poll(), start_timer("t", 3600))
    return worker, execution, Asking(stage, worker, execution)


async def queries_attached(stage: Stage) -> None:
    """A question waits for the next workflow task, which carries it; only one may wait."""
    worker = HandWorker(stage)
    execution = await worker.start()
    asking = Asking(stage, worker, execution)
    first = await asking.ask_waiting("before the first task")
    await asking.ask("one too many")
    task = await worker.poll()
    stage.task("first task", task)
    await worker.complete(task, start_timer("t", 3600), query_results=answers(task, 1))
    await first
    await worker.signal(execution, "a")
    second = await asking.ask_waiting("answered with a failure")
    task = await worker.poll()
    await worker.complete(task, query_results=refusals(task, "not today"))
    await second
    await worker.signal(execution, "b")
    third = await asking.ask_waiting("answered at length")
    task = await worker.poll()
    await worker.complete(task, query_results=answers(task, LARGE))
    await third
    await worker.signal(execution, "c")
    fourth = await asking.ask_waiting("carried by two attempts")
    await worker.fail(await worker.poll(), BUG)
    task = await worker.poll()
    stage.task("second attempt", task)
    await worker.fail(task, BUG)
    await asking.ask("while the task fails")
    task = await worker.poll()
    await worker.complete(task, query_results=answers(task, 4))
    await fourth
    await worker.signal(execution, "d")
    last = await asking.ask_waiting("answered with the end")
    task = await worker.poll()
    await worker.complete(task, complete_workflow("bye"), query_results=answers(task, 5))
    await last
    await stage.chain("history", execution)


async def queries_unblocked(stage: Stage) -> None:
    """A question whose task came back without an answer is asked directly, or of the next task."""
    worker, execution, asking = await _idle(stage)
    await worker.signal(execution, "a")
    task = await worker.poll()
    pending = await asking.ask_waiting("too late for its task")
    await worker.complete(task)
    task = await worker.poll()
    stage.task("asked directly", task)
    await respond(stage, task, completed_type=ANSWERED, query_result=payloads(1))
    await pending
    await worker.signal(execution, "b")
    task = await worker.poll()
    pending = await asking.ask_waiting("for the next task")
    answer = await worker.complete(
        task, force_create_new_workflow_task=True, return_new_workflow_task=True
    )
    stage.message("returned with the completion", answer)
    task = answer.workflow_task
    await worker.complete(task, query_results=answers(task, 2))
    await pending
    await worker.signal(execution, "c")
    pending = await asking.ask_waiting("the run ends")
    await worker.complete(await worker.poll(), complete_workflow("bye"))
    task = await worker.poll()
    stage.task("asked after the end", task)
    await respond(stage, task, completed_type=ANSWERED, query_result=payloads(3))
    await pending
    await stage.chain("history", execution)


async def queries_direct(stage: Stage) -> None:
    """A workflow that has seen everything is asked at once: tokens, answers, and refusals."""
    worker, execution, asking = await _idle(stage)
    pending = asking.ask("answered")
    task = await worker.poll()
    stage.task("task", task)
    answer: dict[str, Any] = {"completed_type": ANSWERED, "query_result": payloads({"a": 1})}
    await respond(stage, task, **answer)
    await pending
    again = RespondQueryTaskCompletedRequest(
        namespace=stage.namespace, task_token=task.task_token, **answer
    )
    await stage.outcome("again", stage.service.respond_query_task_completed(again))
    for label, token in (("no token", b""), ("bad token", b"\xff"), ("cut token", b"\x93\xd9")):
        again.task_token = token
        await stage.outcome(label, stage.service.respond_query_task_completed(again))
    for name, fields in (
        ("no value", {"completed_type": ANSWERED}),
        ("failed", {"completed_type": FAILED, "error_message": "no"}),
        (
            "failed in detail",
            {"completed_type": FAILED, "error_message": "no", "failure": Failure(message="why")},
        ),
        ("too large", {"completed_type": ANSWERED, "query_result": payloads(LARGE)}),
    ):
        pending = asking.ask(name)
        await asking.answer(**fields)
        await pending
    pending = asking.ask("answered the second time")
    await asking.answer()
    await asking.answer(**answer)
    await pending
    await worker.signal(execution, "go")
    task = await worker.poll()
    again.task_token = task.task_token
    await stage.outcome("token of a task", stage.service.respond_query_task_completed(again))
    await worker.complete(task, complete_workflow())
    for name, condition in (("open only", NOT_OPEN), ("clean only", NOT_CLEAN)):
        pending = asking.ask(name, query_reject_condition=condition)
        if condition == NOT_CLEAN:
            await asking.answer(**answer)
        await pending
    await stage.chain("history", execution)


async def queries_sticky(stage: Stage) -> None:
    """The worker that has the run is asked first, without a history; then any other, with one."""
    worker = HandWorker(stage)
    execution = await worker.start()
    asking = Asking(stage, worker, execution)
    await worker.complete(await worker.poll(), start_timer("t", 3600), sticky=True)
    pending = asking.ask("nobody polled the sticky queue")
    task = await worker.poll()
    stage.task("from the normal queue", task)
    await respond(stage, task, completed_type=ANSWERED, query_result=payloads(1))
    await pending
    await worker.signal(execution, "a")
    task = await worker.poll()
    sticky_poll = asyncio.create_task(worker.poll(sticky=True))
    await worker.complete(task, sticky=True, sticky_timeout=seconds(2))
    pending = asking.ask("sticky")
    task = await sticky_poll
    stage.task("from the sticky queue", task)
    await respond(stage, task, completed_type=ANSWERED, query_result=payloads(2))
    await pending
    pending = asking.ask("the sticky worker is gone")
    task = await worker.poll()
    stage.task("after a while, from the normal queue", task)
    await respond(stage, task, completed_type=ANSWERED, query_result=payloads(3))
    await pending
    await worker.signal(execution, "b")
    await worker.finish()
    await stage.chain("history", execution)


async def queries_refused(stage: Stage) -> None:
    """No answer: a workflow that is not there, not ready, or fails; a question that is wrong."""
    worker, execution, asking = await _idle(stage)
    await worker.signal(execution, "a")
    for _ in range(3):
        await worker.fail(await worker.poll(), BUG)
    await asking.ask("its task fails")
    await _terminate(stage, execution)
    await asking.ask("its task failed to the end")
    await asking.ask("terminated, open only", query_reject_condition=NOT_OPEN)
    await asking.ask("terminated, clean only", query_reject_condition=NOT_CLEAN)
    execution = await worker.start("unstarted")
    await _terminate(stage, execution)
    await Asking(stage, worker, execution).ask("no task was ever started")
    execution = await worker.start("delayed", workflow_start_delay=seconds(60))
    await Asking(stage, worker, execution).ask("too early", patience=5)
    await _wrong_questions(asking)


async def _wrong_questions(asking: Asking) -> None:
    for name, fields in (
        ("unknown id", {"execution": WorkflowExecution(workflow_id="nobody")}),
        ("bad run id", {"execution": WorkflowExecution(workflow_id="w", run_id="bad")}),
        ("no id", {"execution": WorkflowExecution()}),
        ("no execution", {"execution": None}),
        ("no query", {"query": None}),
        ("no query type", {"query": WorkflowQuery()}),
        ("large", {"query": WorkflowQuery(query_type="large", query_args=payloads(LARGE))}),
        ("unknown namespace", {"namespace": "nowhere"}),
        ("no namespace", {"namespace": ""}),
    ):
        await asking.ask(name, **fields)


async def _terminate(stage: Stage, execution: WorkflowExecution) -> None:
    await stage.service.terminate_workflow_execution(
        TerminateWorkflowExecutionRequest(
            namespace=stage.namespace, workflow_execution=execution, identity=CLIENT_IDENTITY
        )
    )
