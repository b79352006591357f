"""Resets, and the updates that came after the cut: they are admitted again by events."""

from __future__ import annotations

import contextlib
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.common.v1 import Link, Priority, WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType, ResetReapplyType
from temporalio.api.protocol.v1 import Message
from temporalio.api.update.v1 import Acceptance, Input, Meta, Rejection, Request
from temporalio.api.workflow.v1 import OnConflictOptions, WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionOptionsRequest
from temporalio.service import RPCError

from tests.interop.programs.identifiers import CONFLICTS
from tests.interop.programs.resets import reset
from tests.interop.programs.update_with_start_by_hand import continue_as_new
from tests.interop.programs.updates import Account, double
from tests.interop.programs.updates_by_hand import idle
from tests.interop.raw import HandWorker, complete_workflow
from tests.interop.stage import Stage
from tests.interop.updates_raw import (
    ACCEPTED,
    accept,
    admitted,
    answer,
    commands_of,
    failure,
    poll_update,
    reject,
    respond,
    update,
)

UPDATE = ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE


async def _accepted(stage: Stage, execution: WorkflowExecution, update_id: str) -> None:
    worker = HandWorker(stage)
    sent = update(stage, execution, update_id, wait=ACCEPTED)
    task = await worker.poll()
    said = [accept(task)]
    await worker.complete(task, *commands_of(*said), messages=said)
    await sent


async def _completed(stage: Stage, execution: WorkflowExecution, update_id: str) -> None:
    worker = HandWorker(stage)
    sent = update(stage, execution, update_id)
    task = await worker.poll()
    said = [accept(task), respond(update_id)]
    await worker.complete(task, *commands_of(*said), messages=said)
    await sent


async def reset_updates(stage: Stage) -> None:
    """Accepted ones, completed or not, and one that was only admitted; the worker, which finds them
    in the history, accepts one, rejects another and says nothing of the third."""
    worker = HandWorker(stage)
    execution = await idle(stage)
    await _completed(stage, execution, "completed")
    await worker.signal(execution, "between")
    await worker.complete(await worker.poll())
    await _accepted(stage, execution, "accepted")
    sent = update(stage, execution, "rejected")
    task = await worker.poll()
    await worker.complete(task, messages=[reject(task)])
    await sent
    await _accepted(stage, execution, "again")
    waiting = update(stage, execution, "admitted")
    await admitted(stage, execution, "admitted")
    new = await reset(stage, execution, 4)
    await stage.outcome("admitted in the old run", waiting)
    await stage.history("old", execution)
    await stage.history("new", new)
    await stage.describe("described", new)
    await _polled(stage, "before the task", new)
    sent = update(stage, new, "completed", wait=ACCEPTED)
    task = await worker.poll()
    task.ClearField("backlog_count_hint")  # Whether it had to wait for its poller.
    stage.task("task", task)
    await _polled(stage, "in the task", new)
    polled = [poll_update(stage, new, update_id) for update_id in ("accepted", "again")]
    await stage.described(new, lambda described: True)
    said = [_accept("completed"), respond("completed"), _reject("accepted")]
    done = worker.complete(task, *commands_of(*said), messages=said)
    await stage.outcome("the worker answers", done)
    await stage.outcome("sent again", sent)
    with contextlib.suppress(RPCError):
        await polled[0]  # The real server fails when this poll happens to come after the answer.
    await stage.outcome("nothing was said of it", polled[1])
    await stage.outcome("after the task", poll_update(stage, new, "completed"))
    await stage.history("answered", new)
    await stage.describe("answered, described", new)
    await worker.signal(new, "more")
    task = await worker.poll()
    stage.task("next task", task)
    await worker.complete(task, complete_workflow("done"))
    await stage.history("closed", new)
    await stage.outcome("closed, polled", poll_update(stage, new, "completed"))
    third = await reset(stage, new, 4, "second")
    await stage.history("reset again", third)
    fourth = await reset(stage, third, 4, "third", reset_reapply_exclude_types=[UPDATE])
    await stage.history("reset without updates", fourth)
    for name, fields in EXCLUDED.items():
        fifth = await reset(stage, third, 4, name, **fields)
        await stage.history(f"reset, {name}", fifth)


EXCLUDED: dict[str, dict[str, Any]] = {
    "none": {"reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_NONE},
    "signals": {"reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_SIGNAL},
    "all": {"reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_ALL_ELIGIBLE},
}


async def reset_updates_chain(stage: Stage) -> None:
    """Updates of runs that the reset run continued as; those before the cut stay as they are."""
    worker = HandWorker(stage)
    execution = await idle(stage)
    await _accepted(stage, execution, "before")
    await _accepted(stage, execution, "after")
    await worker.signal(execution, "on")
    await worker.complete(await worker.poll(), continue_as_new())
    current = WorkflowExecution(workflow_id=execution.workflow_id)
    await worker.complete(await worker.poll())
    await _completed(stage, current, "of the next run")
    new = await reset(stage, execution, 11)
    await stage.history("new", new)
    task = await worker.poll()
    said = [respond("before"), _accept("after"), respond("after")]
    done = worker.complete(task, *commands_of(*said), messages=said)
    await stage.outcome("the worker answers", done)
    await stage.history("answered", new)
    await stage.outcome("one more of it", update(stage, new, "after"))
    for update_id in ("before", "after"):
        polled = poll_update(stage, new, update_id, wait=None)
        await stage.outcome(f"polled, {update_id}", polled)
    await worker.signal(new, "end")
    await worker.finish()
    await stage.outcome("closed, sent", update(stage, new, "after"))


def _accept(update_id: str) -> Message:
    body = Acceptance(
        accepted_request_message_id=f"{update_id}/request",
        accepted_request_sequencing_event_id=5,
        accepted_request=Request(meta=Meta(update_id=update_id), input=Input(name="change")),
    )
    return answer(update_id, "accept", body)


def _reject(update_id: str) -> Message:
    body = Rejection(
        rejected_request_message_id=f"{update_id}/request",
        rejected_request_sequencing_event_id=5,
        rejected_request=Request(meta=Meta(update_id=update_id), input=Input(name="change")),
        failure=failure("no"),
    )
    return answer(update_id, "reject", body)


async def _polled(stage: Stage, label: str, execution: WorkflowExecution) -> None:
    for update_id in ("completed", "accepted", "again", "admitted"):
        polled = poll_update(stage, execution, update_id, wait=None)
        await stage.outcome(f"{label}, {update_id}", polled)


async def reset_updates_of_a_worker(stage: Stage) -> None:
    """A worker of the SDK finds the updates in the history, and handles them again."""
    async with stage.worker([Account], [double]):
        handle = await stage.start(Account.run)
        await stage.event(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
        stage.observe("added", await handle.execute_update(Account.add, 5, id="one"))
        stage.observe("twice", await handle.execute_update(Account.add_twice, 2, id="two"))
        execution = WorkflowExecution(workflow_id=handle.id, run_id=handle.result_run_id or "")
        run = await reset(stage, execution, 4)
        new = stage.client.get_workflow_handle(handle.id, run_id=run.run_id)
        again = [new.get_update_handle_for(Account.add, name) for name in ("one", "two")]
        stage.observe("again", [await one.result() for one in again])
        await new.signal(Account.close)
        stage.observe("result", await new.result())
        await stage.chain("history", new)


async def reset_options(stage: Stage) -> None:
    """What changed of the options, or was attached, after the cut holds for the new run too."""
    worker = HandWorker(stage)
    execution = await idle(stage)
    await stage.service.update_workflow_execution_options(
        UpdateWorkflowExecutionOptionsRequest(
            namespace=stage.namespace,
            workflow_execution=execution,
            workflow_execution_options=WorkflowExecutionOptions(priority=Priority(priority_key=2)),
            update_mask=FieldMask(paths=["priority"]),
            identity="operator",
        )
    )
    for name, options in (
        ("request", OnConflictOptions(attach_request_id=True, attach_links=True)),
        ("links", OnConflictOptions(attach_links=True)),
    ):
        await stage.service.start_workflow_execution(
            worker.start_request(
                request_id=f"{name} {stage.nonce}",
                workflow_id_conflict_policy=CONFLICTS["use existing"],
                on_conflict_options=options,
                links=[Link(batch_job=Link.BatchJob(job_id=name))],
            )
        )
    new = await reset(stage, execution, 4)
    await stage.history("new", new)
    await stage.describe("described", new)
    await worker.finish()
