"""ResetWorkflowExecution: a new run takes over the beginning of another's history and goes on from
there; what was open ends.

In one turn: the current run is ended, if it is open; the new one, folded from the events that it
takes over, has its outstanding workflow task fail, hears again what came later (signals, updates,
and news of its children), and gets another task. Updates are admitted by events, since that is
where their worker finds them. Activities that were pending at the cut are offered anew, timers keep
their times, and what was asked of other workflows without an answer is asked again.
"""

from __future__ import annotations

import msgspec
from temporalio.api.enums.v1 import failed_cause_pb2
from temporalio.api.enums.v1.reset_pb2 import (
    RESET_REAPPLY_EXCLUDE_TYPE_NEXUS,
    RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
    RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
)
from temporalio.api.failure.v1 import Failure, ResetWorkflowFailureInfo
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.errors import Moved
from perdure.server.machines.workflow import (
    activity_task,
    chain,
    changes,
    events,
    options,
    resetting,
    workflow_task,
)
from perdure.server.machines.workflow.commands import (
    request_cancel_external,
    signal_external,
    start_child,
)
from perdure.server.machines.workflow.inputs import Done, ResetWorkflow
from perdure.server.machines.workflow.state import Run
from perdure.server.machines.workflow.turn import Turn

RESETTER = "history-resetter"
NO_REQUEST_ID = "emptyUuid"
"""The request id of a started event that the reset itself records."""


def decide(turn: Turn, message: ResetWorkflow) -> Done:
    """End what is open and begin the new run. A repeated request gets its answer again. Raises
    Moved."""
    current, request = turn.run, message.request
    if current.pending.reset_request_id == request.request_id:
        return Done(current.recorded.run_id)
    if message.seen_event_id and message.seen_event_id != current.recorded.next_event_id:
        raise Moved("the run has more events by now")
    if message.base is None and not message.seen_event_id:
        raise Moved("another run has become the current one")
    base = message.base or current
    later = [HistoryEvent.FromString(event) for event in message.later]
    if message.seen_event_id:
        later += workflow_task.arrived_events(current)
    later.sort(key=workflow_task.is_outcome)
    if current.is_open:
        workflow_task.force_close(turn)
        chain.close(
            turn,
            events.workflow_terminated(request.reason, None, RESETTER),
            is_told=base is not current,
        )
    into = changes.ResetInto(message.new_run_id)
    if base is current:
        turn.change(into)
    else:
        turn.change_other(base, into)
    _take_over(turn, message, base)
    _do_again(turn, later, resetting.excluded_types(request))
    for operation in request.post_reset_operations:
        update = operation.update_workflow_options
        options.change(turn, update.workflow_execution_options, update.update_mask, identity="")
    workflow_task.schedule(turn)
    _resume(turn, message, base)
    return Done(message.new_run_id)


def _take_over(turn: Turn, message: ResetWorkflow, base: Run) -> None:
    """Let the new run begin: its outstanding workflow task, which nobody holds, fails."""
    new, base_run_id = message.prefix.run, base.recorded.run_id
    assert new is not None, "a history has a beginning"
    turn.adopt_run(new, base_run_id)
    if new.recorded.workflow_task is None:
        turn.record(
            events.workflow_task_scheduled(
                queue=new.recorded.task_queue,
                normal_queue="",
                start_to_close_ns=new.recorded.workflow_task_timeout_ns,
                attempt=1,
            )
        )
    task = new.recorded.workflow_task
    assert task is not None, "the cut was checked"
    if not task.started_event_id:
        turn.record(
            events.workflow_task_started(
                scheduled_event_id=task.scheduled_event_id,
                request_id=NO_REQUEST_ID,
                identity=workflow_task.HISTORY_SERVICE,
                history_size_bytes=new.recorded.history_size_bytes,
                suggest_reasons=(),
            )
        )
    base_runs = resetting.base_runs_of(base, new, message.request.workflow_task_finish_event_id)
    turn.record(
        events.workflow_task_failed(
            scheduled_event_id=task.scheduled_event_id,
            started_event_id=task.started_event_id,
            cause=failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
            failure=Failure(
                message=message.request.reason,
                reset_workflow_failure_info=ResetWorkflowFailureInfo(),
            ),
            identity=workflow_task.HISTORY_SERVICE,
            base_run_id=base_run_id,
            new_run_id=message.new_run_id,
        )
    )
    turn.change(
        changes.ResetFrom(base.pending.start_request_id, message.request.request_id, base_runs)
    )
    if base.pending.scheduled_by is not None:
        turn.change(changes.ScheduleNoted(base.pending.scheduled_by))
    # The real server rebuilds the run in a turn of its own: it counts in descriptions.
    turn.change(changes.TurnTaken())
    chain.keep_start_event(turn, HistoryEvent.FromString(message.start_event))


def _do_again(turn: Turn, later: list[HistoryEvent], excluded: frozenset[int]) -> None:
    """Record again what came after the cut and still means something."""
    run = turn.run
    for event in later:
        if event.event_type in resetting.UPDATES:
            request = resetting.update_request(event)
            is_known = request is None or request.meta.update_id in run.updates
            if (
                request is not None
                and not is_known
                and RESET_REAPPLY_EXCLUDE_TYPE_UPDATE not in excluded
            ):
                turn.record(events.update_admitted(request))
        elif event.event_type == resetting.SIGNALED:
            if RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL not in excluded:
                # Which workflow sent it is not told again.
                signaled = event.workflow_execution_signaled_event_attributes
                signaled.ClearField("external_workflow_execution")
                turn.record(event)
        elif event.event_type == resetting.OPTIONS_UPDATED:
            attached = event.workflow_execution_options_updated_event_attributes
            if attached.attached_request_id not in run.requests:
                turn.record(event)
        elif event.event_type in resetting.OF_NEXUS_OPERATIONS:
            attributes = getattr(event, str(event.WhichOneof("attributes")))
            is_pending = attributes.scheduled_event_id in run.nexus_operations
            if is_pending and RESET_REAPPLY_EXCLUDE_TYPE_NEXUS not in excluded:
                del event.links[:]  # What they lead to is not told again.
                turn.record(event)
        elif event.event_type in resetting.OF_CHILDREN:
            attributes = getattr(event, str(event.WhichOneof("attributes")))
            child = run.children.get(attributes.initiated_event_id)
            if child is None:
                continue
            if hasattr(attributes, "started_event_id"):
                attributes.started_event_id = child.started_event_id
            turn.record(event)


def _resume(turn: Turn, message: ResetWorkflow, base: Run) -> None:
    """Offer the activities that are pending, and ask again what was not answered."""
    run = turn.run
    for event_id, pending in run.activities.items():
        attempt = msgspec.structs.replace(pending.attempt, scheduled_time_ns=turn.now_ns)
        turn.change(changes.AttemptChanged(event_id, attempt))
        activity_task.offer(turn, pending)
    unanswered = {
        **{
            event_id: start_child.send
            for event_id, child in run.children.items()
            if not child.started_event_id
        },
        **dict.fromkeys(run.external_signals, signal_external.send),
        **dict.fromkeys(run.external_cancels, request_cancel_external.send),
    }
    for event_id in sorted(unanswered):
        event = HistoryEvent.FromString(message.prefix.initiated[event_id])
        unanswered[event_id](turn, event_id, event, resetting.initiator_of(base, event_id))
