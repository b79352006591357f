"""Child workflows, as the official SDK starts, waits for, cancels and abandons them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHandle
from temporalio.common import Priority, RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import (
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

from tests.interop.stage import Stage, next_run_id

TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
CHILD_STARTED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED


@workflow.defn
class Child:
    """Ends as it is told, when it is told."""

    def __init__(self) -> None:
        self._said: str | None = None

    @workflow.run
    async def run(self, plan: dict[str, Any]) -> str:
        """Follows the plan, or what a signal says."""
        how = str(plan.get("how", ""))
        if not how:
            try:
                await workflow.wait_condition(lambda: self._said is not None)
            except asyncio.CancelledError:
                if plan.get("lingers"):
                    await workflow.wait_condition(lambda: self._said is not None)
                raise
            how = str(self._said)
        if how == "fail":
            raise ApplicationError("the child failed", "detail", type="Naughty")
        if how == "continue":
            await workflow.sleep(1.1)
            workflow.continue_as_new({"how": "after continuing"})
        if how == "fail once" and workflow.info().attempt == 1:
            raise ApplicationError("the first attempt")
        return f"{how} of {workflow.info().parent is not None} and {workflow.info().root is None}"

    @workflow.signal
    def end(self, how: str) -> None:
        """Ends it."""
        self._said = how

    @workflow.signal
    def hear(self, word: str) -> None:
        """Takes note, and waits on."""


@workflow.defn
class Parent:
    """Starts one child and tells what became of it."""

    def __init__(self) -> None:
        self._is_told = False

    @workflow.run
    async def run(self, child_id: str, plan: dict[str, Any], options: dict[str, Any]) -> str:
        """What the parent saw."""
        try:
            handle = await workflow.start_child_workflow(
                Child.run, plan, id=child_id, **_options(options)
            )
        except WorkflowAlreadyStartedError as error:
            return f"{type(error).__name__} {error.workflow_type}"
        if options.get("signals"):
            await workflow.wait_condition(lambda: self._is_told)
            await handle.signal(Child.hear, options["signals"])
        if options.get("cancels"):
            await workflow.wait_condition(lambda: self._is_told)
            handle.cancel()
        try:
            return f"result: {await handle}"
        except ChildWorkflowError as error:
            return (
                f"{error.workflow_type} {error.retry_state!r} {error.initiated_event_id}"
                f" {error.started_event_id}: {error.cause!r}"
            )

    @workflow.signal
    def go_on(self) -> None:
        """Lets it signal or cancel its child."""
        self._is_told = True


def _options(options: dict[str, Any]) -> dict[str, Any]:
    """Options of the SDK from what JSON can carry."""
    made: dict[str, Any] = {}
    if "run_timeout" in options:
        made["run_timeout"] = timedelta(seconds=options["run_timeout"])
        made["execution_timeout"] = timedelta(seconds=options["run_timeout"] * 2)
    if "attempts" in options:
        made["retry_policy"] = RetryPolicy(
            # Longer than the second that the server leaves between runs.
            maximum_attempts=options["attempts"],
            initial_interval=timedelta(seconds=1.1),
        )
    if "reuse" in options:
        made["id_reuse_policy"] = WorkflowIDReusePolicy(options["reuse"])
    if "cancellation" in options:
        made["cancellation_type"] = ChildWorkflowCancellationType(options["cancellation"])
    if "close" in options:
        made["parent_close_policy"] = ParentClosePolicy(options["close"])
    if options.get("has_everything"):
        made["memo"] = {"note": "a child"}
        made["task_timeout"] = timedelta(seconds=7)
        made["static_summary"] = "summary"
        made["static_details"] = "details"
        made["priority"] = Priority(priority_key=2)
    return made


class Family:
    """A parent and its child on a stage."""

    def __init__(self, stage: Stage, label: str) -> None:
        self._stage = stage
        self._label = label
        self.child_id = stage.workflow_id(f"child {label}")
        self.parent: WorkflowHandle[Any, Any]

    async def start(self, plan: dict[str, Any], **options: Any) -> None:
        """Starts the parent."""
        self.parent = await self._stage.start(
            Parent.run, self.child_id, plan, options, name=f"parent {self._label}"
        )

    async def settle(self) -> WorkflowHandle[Any, Any]:
        """Waits until both wait, so that what is done next is next in both histories."""
        await self._stage.event(self.parent, TASK_COMPLETED, 2)
        child = self._stage.client.get_workflow_handle(self.child_id)
        await self._stage.event(child, TASK_COMPLETED)
        return child

    async def first_run(self) -> WorkflowExecution:
        """The child, as its parent knows it."""
        (event,) = await self._started()
        return event.child_workflow_execution_started_event_attributes.workflow_execution

    async def _started(self) -> list[HistoryEvent]:
        events = await self._stage.fetch(self.parent)
        return [event for event in events if event.event_type == CHILD_STARTED]

    async def observe(self) -> None:
        """Keeps both histories and what the parent saw."""
        stage, label = self._stage, self._label
        await stage.chain(f"{label}: parent", self.parent)
        stage.observe(f"{label}: result", await self.parent.result())
        if await self._started():
            await stage.chain(f"{label}: child", await self.first_run())


async def child_outcomes(stage: Stage) -> None:
    """A child completes, fails, is cancelled, is terminated, or times out."""
    async with stage.worker([Parent, Child]):
        for how in ("well", "fail"):
            family = Family(stage, how)
            await family.start({})
            child = await family.settle()
            await child.signal(Child.end, how)
            await family.observe()
        family = Family(stage, "cancelled")
        await family.start({})
        await (await family.settle()).cancel()
        await family.observe()
        family = Family(stage, "terminated")
        await family.start({})
        await (await family.settle()).terminate("enough", "of it")
        await family.observe()
        family = Family(stage, "timed out")
        await family.start({}, run_timeout=1)
        await family.settle()
        await family.observe()


async def child_described(stage: Stage) -> None:
    """Pending children, the parent and the root of a child; a child with all options set."""
    async with stage.worker([Parent, Child]):
        family = Family(stage, "described")
        await family.start({}, has_everything=True, run_timeout=100, attempts=3)
        child = await family.settle()
        await stage.describe("parent", family.parent)
        await stage.describe("child", child)
        await child.signal(Child.end, "well")
        await family.observe()
        await stage.describe("parent, closed", family.parent)
        await stage.describe("child, closed", child)


async def child_chains(stage: Stage) -> None:
    """Only the last run of a child's chain is reported."""
    async with stage.worker([Parent, Child]):
        family = Family(stage, "continues")
        await family.start({})
        await (await family.settle()).signal(Child.end, "continue")
        await family.observe()
        for how, attempts in (("fail once", 2), ("fail", 2)):
            family = Family(stage, f"{how}, {attempts} attempts")
            await family.start({}, attempts=attempts)
            child = await family.settle()
            first = await family.first_run()
            await child.signal(Child.end, how)
            last = await stage.closed(first)
            second = WorkflowExecution(workflow_id=child.id, run_id=next_run_id(last[-1]))
            await stage.event(second, TASK_COMPLETED)
            await child.signal(Child.end, "well" if how == "fail once" else how)
            await family.observe()


async def child_signalled(stage: Stage) -> None:
    """A parent signals its own child."""
    async with stage.worker([Parent, Child]):
        family = Family(stage, "signalled")
        await family.start({}, signals="a word")
        child = await family.settle()
        await family.parent.signal(Parent.go_on)
        await stage.event(family.parent, TASK_COMPLETED, 4)
        await stage.event(child, TASK_COMPLETED, 2)
        await child.signal(Child.end, "well")
        await family.observe()


async def child_ids_taken(stage: Stage) -> None:
    """The child's workflow id belongs to a running or to a closed workflow."""
    policies = WorkflowIDReusePolicy
    async with stage.worker([Parent, Child]):
        for state in ("running", "well", "fail"):
            for policy in (
                policies.ALLOW_DUPLICATE,
                policies.ALLOW_DUPLICATE_FAILED_ONLY,
                policies.REJECT_DUPLICATE,
                policies.TERMINATE_IF_RUNNING,
            ):
                family = Family(stage, f"{policy.name} {state}")
                plan = {} if state == "running" else {"how": state}
                taker = await stage.start(Child.run, plan, name=f"child {policy.name} {state}")
                if state == "running":
                    await stage.event(taker, TASK_COMPLETED)
                else:
                    await stage.closed(taker)
                await family.start({}, reuse=int(policy))
                await _finish(stage, family)
                await family.observe()
                if state == "running":
                    await taker.terminate() if policy != policies.TERMINATE_IF_RUNNING else None
                    await stage.chain(f"{policy.name} {state}: taker", taker)


async def _finish(stage: Stage, family: Family) -> None:
    """Ends the child, if there is one."""
    await stage.event(family.parent, TASK_COMPLETED, 2)
    events = await stage.fetch(family.parent)
    if any(event.event_type == CHILD_STARTED for event in events):
        await (await family.settle()).signal(Child.end, "well")


async def child_cancellations(stage: Stage) -> None:
    """The four ways in which the SDK cancels a child, which is abandoned when its parent closes.

    To try means to ask and not to wait: the parent closes with the task that asks, so that nobody
    is asked.
    """
    async with stage.worker([Parent, Child]):
        for kind in ChildWorkflowCancellationType:
            family = Family(stage, kind.name)
            await family.start(
                {"lingers": True},
                cancellation=int(kind),
                cancels=True,
                close=int(ParentClosePolicy.ABANDON),
            )
            child = await family.settle()
            await family.parent.signal(Parent.go_on)
            if kind.name.startswith("WAIT"):
                await stage.event(family.parent, TASK_COMPLETED, 4)
                await stage.event(child, TASK_COMPLETED, 2)
            else:
                await stage.closed(family.parent)
            await child.signal(Child.end, "in the end")
            await family.observe()
