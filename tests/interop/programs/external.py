"""Signals and cancel requests from one workflow to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio import workflow
from temporalio.api.command.v1 import (
    Command,
    RequestCancelExternalWorkflowExecutionCommandAttributes,
    SignalExternalWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import Header, WorkflowExecution
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.exceptions import ApplicationError

from tests.interop.raw import HandWorker, complete_workflow
from tests.interop.stage import Stage, payloads

TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
SIGNAL_SENT = EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED
SIGNAL_FAILED = EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED
CANCEL_SENT = EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED
CANCEL_FAILED = EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED
LONG = "x" * 1001
UNKNOWN_RUN = "11111111-2222-3333-4444-555555555555"


@workflow.defn
class Sender:
    """Signals or cancels another workflow."""

    @workflow.run
    async def run(self, what: str, workflow_id: str, run_id: str | None) -> str:
        """What came of it."""
        other = workflow.get_external_workflow_handle(workflow_id, run_id=run_id)
        try:
            if what == "signal":
                await other.signal("hear", {"word": "hello"})
            else:
                await other.cancel()
        except ApplicationError as error:
            return f"{type(error).__name__} {error.type} {error.message} {error.non_retryable}"
        return "done"


@workflow.defn
class Hearer:
    """Waits to be told."""

    def __init__(self) -> None:
        self._heard: list[Any] = []

    @workflow.run
    async def run(self) -> list[Any]:
        """What it heard."""
        await workflow.wait_condition(lambda: bool(self._heard))
        return self._heard

    @workflow.signal
    def hear(self, word: Any) -> None:
        """Remembers it."""
        self._heard.append(word)


async def _send(stage: Stage, what: str, label: str, target: str, run_id: str | None) -> None:
    sender = await stage.start(Sender.run, what, target, run_id, name=f"sender {label}")
    await stage.chain(label, sender)
    stage.observe(f"{label}, result", await sender.result())


async def _send_in_all_ways(stage: Stage, what: str) -> None:
    async with stage.worker([Sender, Hearer]):
        for label, names_run in (("running", False), ("running, by run", True)):
            target = await stage.start(Hearer.run, name=label)
            await stage.event(target, TASK_COMPLETED)
            run_id = target.result_run_id if names_run else None
            await _send(stage, what, label, target.id, run_id)
            await stage.chain(f"{label}, target", target)
            await _send(stage, what, f"{label}, now closed", target.id, run_id)
        await _send(stage, what, "unknown run", stage.workflow_id("running"), UNKNOWN_RUN)
        await _send(stage, what, "unknown", stage.workflow_id("nobody"), None)
        await _send(stage, what, "itself", stage.workflow_id("sender itself"), None)


async def external_signal(stage: Stage) -> None:
    """Signals to a running workflow, a closed one, an unknown one, another run, itself."""
    await _send_in_all_ways(stage, "signal")


async def external_cancel(stage: Stage) -> None:
    """Cancel requests to all of these."""
    await _send_in_all_ways(stage, "cancel")


# By hand


def _command(kind: str, attributes: Any = None) -> Command:
    command = Command(command_type=CommandType.Value(f"COMMAND_TYPE_{kind}"))
    if attributes is not None:
        getattr(command, f"{kind.lower()}_command_attributes").CopyFrom(attributes)
    return command


def signal(workflow_id: str, name: str = "hear", **fields: Any) -> Command:
    """A command that signals another workflow."""
    return _command(
        "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION",
        SignalExternalWorkflowExecutionCommandAttributes(
            **{
                "execution": WorkflowExecution(workflow_id=workflow_id),
                "signal_name": name,
                **fields,
            }
        ),
    )


def cancel(workflow_id: str, **fields: Any) -> Command:
    """A command that asks another workflow to cancel."""
    return _command(
        "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION",
        RequestCancelExternalWorkflowExecutionCommandAttributes(workflow_id=workflow_id, **fields),
    )


async def external_fields(stage: Stage) -> None:
    """Everything that the two commands can carry, and a target that is cancelled twice."""
    worker, other = HandWorker(stage), HandWorker(stage, "other")
    target = await other.start("target")
    await other.complete(await other.poll())
    source = await worker.start("source")
    task = await worker.poll()
    signalling = signal(
        target.workflow_id,
        input=payloads("a", 2),
        header=Header(fields={"key": payloads("value").payloads[0]}),
        control="controlled",
    )
    signalling.user_metadata.CopyFrom(UserMetadata(summary=payloads("why").payloads[0]))
    await worker.complete(task, signalling)
    await stage.event(source, SIGNAL_SENT)
    await worker.complete(
        await worker.poll(), cancel(target.workflow_id, control="c", reason="enough")
    )
    await stage.event(source, CANCEL_SENT)
    await worker.complete(await worker.poll(), cancel(target.workflow_id, reason="once more"))
    await stage.event(source, CANCEL_SENT, 2)
    await worker.complete(await worker.poll(), cancel(target.workflow_id, child_workflow_only=True))
    await stage.event(source, CANCEL_FAILED)
    only = signal(target.workflow_id, child_workflow_only=True)
    await worker.complete(await worker.poll(), only)
    await stage.event(source, SIGNAL_FAILED)
    await worker.complete(await worker.poll(), complete_workflow())
    await stage.history("source", source)
    stage.task("target's task", await other.poll())
    await stage.history("target", target)
    await stage.describe("target, described", target)


async def external_buffered(stage: Stage) -> None:
    """The outcomes arrive while the source has a workflow task."""
    worker, other = HandWorker(stage), HandWorker(stage, "other")
    target = await other.start("target")
    held = await other.poll()
    source = await worker.start("source")
    commands = [
        signal(target.workflow_id),
        cancel(stage.workflow_id("nobody")),
        signal(stage.workflow_id("nobody"), control="lost"),
        cancel(target.workflow_id),
    ]
    task = await worker.poll()
    for command in commands:
        before = (await stage.description(source)).workflow_execution_info.state_transition_count
        answer = await worker.complete(
            task, command, force_create_new_workflow_task=True, return_new_workflow_task=True
        )
        # One transition is the completion, the next one is the outcome, buffered.
        await stage.described(source, has_taken(before + 2))
        await worker.complete(answer.workflow_task)
        task = await worker.poll()
    stage.task("source's task", task)
    await stage.history("source", source)
    await other.complete(held)
    stage.task("target's task", await other.poll())
    await stage.history("target", target)


def has_taken(transitions: int) -> Callable[[DescribeWorkflowExecutionResponse], bool]:
    """Whether so many turns have changed a run: the only sign of a buffered event."""

    def holds(description: DescribeWorkflowExecutionResponse) -> bool:
        return description.workflow_execution_info.state_transition_count >= transitions

    return holds


async def external_and_close(stage: Stage) -> None:
    """A source that closes with the very task that sends is not waited for."""
    worker, other = HandWorker(stage), HandWorker(stage, "other")
    target = await other.start("target")
    await other.complete(await other.poll())
    source = await worker.start("closing")
    await worker.complete(
        await worker.poll(),
        signal(target.workflow_id, "never"),
        cancel(target.workflow_id),
        complete_workflow(),
    )
    await stage.history("closing", source)
    source = await worker.start("waiting")
    await worker.complete(await worker.poll(), signal(target.workflow_id, "after all"))
    await stage.event(source, SIGNAL_SENT)
    await stage.history("target", target)


async def bad_externals(stage: Stage) -> None:
    """Commands that are refused."""
    for label, commands in _bad_externals(stage.workflow_id("target")).items():
        worker = HandWorker(stage, queue=label)
        execution = await worker.start(label)
        await stage.outcome(f"{label}, answer", worker.complete(await worker.poll(), *commands))
        await stage.history(label, execution)


def _bad_externals(target: str) -> dict[str, list[Command]]:
    bad_run = WorkflowExecution(workflow_id=target, run_id="no run")
    return {
        "signal without attributes": [_command("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION")],
        "signal without execution": [signal("", execution=None)],
        "signal without workflow": [signal("")],
        "signal with a long workflow id": [signal(LONG)],
        "signal with a bad run id": [signal(target, execution=bad_run)],
        "signal without name": [signal(target, "")],
        "signal elsewhere": [signal(target, namespace="temporal-system")],
        "cancel without attributes": [_command("REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION")],
        "cancel without workflow": [cancel("")],
        "cancel with a long workflow id": [cancel(LONG)],
        "cancel with a bad run id": [cancel(target, run_id="no run")],
        "cancel elsewhere": [cancel(target, namespace="temporal-system")],
    }
