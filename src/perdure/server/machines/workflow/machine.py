"""The workflow machine, as the engine knows it."""

from __future__ import annotations

from typing import Any

from perdure.server.machines.ports import Address, Kind, Limits, Machine, Names
from perdure.server.machines.workflow.codec import (
    decode_run,
    encode_head,
    encode_record,
    record_key,
)
from perdure.server.machines.workflow.decide import decide, not_found_text, run_named_by
from perdure.server.machines.workflow.from_workflows.answers import answer_to, is_wanted
from perdure.server.machines.workflow.held import held
from perdure.server.machines.workflow.in_hand import in_hand
from perdure.server.machines.workflow.inputs import (
    DeleteWorkflow,
    LoseActivityTask,
    WakeUp,
    WorkflowTaskUndelivered,
    lost_calls,
)
from perdure.server.machines.workflow.messages import Command
from perdure.server.machines.workflow.state import AttemptState, Run, Workflow


def _subject(names: Names, run: Run | None) -> Workflow:
    return Workflow(names.namespace, names.namespace_id, names.id, run, names.retention_ns)


def _is_crowded(run: Run | None, limits: Limits) -> bool:
    """Whether so much is buffered that the next few events might fail the workflow task."""
    return (
        run is not None
        and run.is_task_started
        and (
            len(run.buffered) >= limits.buffered_events_max // 2
            or run.pending.buffered_bytes >= limits.buffered_bytes_max // 2
        )
    )


def _lost_tasks(run: Run) -> list[Any]:
    lost: list[Any] = [
        LoseActivityTask(run.run_id, event_id, pending.attempt.stamp)
        for event_id, pending in run.activities.items()
        if pending.attempt.state == AttemptState.STARTED
    ]
    if run.is_task_started:
        lost.append(WorkflowTaskUndelivered(run.run_id, run.pending.task_stamp))
    return lost


def _sender_that_must_wait(message: Any) -> Address | None:
    if isinstance(message, Command):
        return Address(Kind.WORKFLOW, message.source.workflow_id)
    return None


WORKFLOW_MACHINE = Machine(
    kind=Kind.WORKFLOW,
    subject=_subject,
    decide=decide,
    run_named_by=run_named_by,
    wake_up=WakeUp,
    encode_head=encode_head,
    encode_record=encode_record,
    record_key=record_key,
    decode_run=decode_run,
    held=held,
    delete=DeleteWorkflow,
    no_such_run=not_found_text,
    in_hand=in_hand,
    lost_tasks=_lost_tasks,
    lost_calls=lost_calls,
    is_crowded=_is_crowded,
    sender_that_must_wait=_sender_that_must_wait,
    is_wanted=is_wanted,
    answer_to=answer_to,
)
