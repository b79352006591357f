"""The speculative workflow task: one that is there only to bring updates to the workflow.

It is offered, started and answered like any other, but neither stored nor recorded, since the
updates that it brings may all be rejected, and a rejected update leaves no trace. It becomes a
normal task, recorded with the times that it had, as soon as anything is recorded or changed
(`Turn.make_normal`): other news arrives, it times out or fails, or its completion does more than
reject. One that is lost leaves callers behind who try again.
"""

from __future__ import annotations

import msgspec
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from perdure.server.machines.workflow import deadlines
from perdure.server.machines.workflow.effects import LookAgain
from perdure.server.machines.workflow.outstanding_task import offer_of
from perdure.server.machines.workflow.state import Run, Speculative, WorkflowTask
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.versioning import has_target_changed


def schedule(turn: Turn, *, is_offered: bool = True) -> None:
    """Schedule one for the updates that wait; no other task is outstanding."""
    run = turn.run
    pending = run.pending
    run.speculative = Speculative(
        task=WorkflowTask(
            scheduled_event_id=run.recorded.next_event_id,
            attempt=1,
            scheduled_time_ns=max(turn.now_ns, run.recorded.last_event_time_ns),
            start_to_close_ns=run.recorded.workflow_task_timeout_ns,
        ),
        stamp=_next_stamp(turn),
        is_sticky=bool(pending.sticky_queue),
    )
    if is_offered:
        offer(turn)


def offer(turn: Turn) -> None:
    """Offer it, and look again when it should have been taken."""
    turn.effects.append(offer_of(turn.run, turn.now_ns))
    look_again(turn)


def start(
    turn: Turn,
    *,
    request_id: str,
    identity: str,
    worker_version: bytes,
    suggest_reasons: tuple[int, ...],
) -> None:
    """Give it to a worker."""
    run = turn.run
    speculative = run.speculative
    assert speculative is not None, "the caller has seen it"
    if speculative.is_undelivered:
        run.speculative = msgspec.structs.replace(
            speculative, is_undelivered=False, delivered_ns=turn.now_ns
        )
    else:
        started = msgspec.structs.replace(
            speculative.task,
            started_event_id=speculative.task.scheduled_event_id + 1,
            started_time_ns=max(turn.now_ns, speculative.task.scheduled_time_ns),
            request_id=request_id,
            identity=identity,
            history_size_bytes=run.recorded.history_size_bytes,
            suggest_reasons=suggest_reasons,
            worker_version=worker_version,
            has_target_changed=has_target_changed(run),
        )
        run.speculative = msgspec.structs.replace(
            speculative, task=started, delivered_ns=turn.now_ns
        )
    look_again(turn)


def take_back(turn: Turn, speculative: Speculative) -> None:
    """It did not reach its worker: it is on offer again, on the normal queue."""
    turn.run.speculative = msgspec.structs.replace(
        speculative, is_undelivered=True, is_sticky=False, stamp=_next_stamp(turn)
    )
    offer(turn)


def leave_sticky_queue(turn: Turn, speculative: Speculative) -> None:
    """It moves to the normal queue."""
    turn.run.speculative = msgspec.structs.replace(
        speculative, is_sticky=False, stamp=_next_stamp(turn)
    )
    offer(turn)


def may_be_dropped(turn: Turn, request: RespondWorkflowTaskCompletedRequest) -> bool:
    """Whether the completion of the outstanding task leaves no trace when it only rejects: it must
    not have shown events to a worker that cannot forget them."""
    run = turn.run
    if run.speculative is None or request.commands or request.force_create_new_workflow_task:
        return False
    task = run.speculative.task
    seen = run.recorded.completed_task_started_event_id
    can_forget = request.capabilities.discard_speculative_workflow_task_with_events
    between = task.scheduled_event_id - 2 - seen  # The completion before it does not count.
    return between <= (turn.limits.discarded_events_max if can_forget else 0)


def look_again(turn: Turn) -> None:
    """Have somebody look at it when it is due."""
    due_ns = deadlines.speculative_deadline(turn.run)
    if due_ns:
        turn.effects.append(LookAgain(turn.run.recorded.run_id, due_ns))


def is_due(run: Run, now_ns: int) -> bool:
    """Whether it has timed out."""
    due_ns = deadlines.speculative_deadline(run)
    return bool(due_ns) and due_ns <= now_ns


def _next_stamp(turn: Turn) -> int:
    """Never one that was, or will be, given to another task of the run: what is given here is
    forgotten with the process."""
    run = turn.run
    run.speculative_stamp = max(turn.now_ns, run.task_stamp + 1, run.speculative_stamp + 1)
    return run.speculative_stamp
