"""The part of `evolve` that is about updates."""

from __future__ import annotations

from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.update.v1 import Request as UpdateRequest

from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.workflow import changes, registering
from perdure.server.machines.workflow.registering import Touched
from perdure.server.machines.workflow.state import RecordKind, Request, Run, Update


def admitted(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    """A reset carries it over."""
    request = event.workflow_execution_update_admitted_event_attributes.request
    update_id = request.meta.update_id
    run.updates[update_id] = Update(update_id, admitted_event_id=event.event_id)
    touched.add((RecordKind.UPDATE, update_id))
    _register(run, event, request, time_ns, touched)


def accepted(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    """Its workflow works on it."""
    attributes = event.workflow_execution_update_accepted_event_attributes
    update_id = attributes.protocol_instance_id
    update = run.updates.setdefault(update_id, Update(update_id))
    if update.accepted_event_id:
        raise InvariantViolation(f"event {event.event_id} accepts an update that was accepted")
    update.accepted_event_id = event.event_id
    touched.add((RecordKind.UPDATE, update_id))
    if attributes.HasField("accepted_request"):
        _register(run, event, attributes.accepted_request, time_ns, touched)


def completed(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    """It has an outcome."""
    update_id = event.workflow_execution_update_completed_event_attributes.meta.update_id
    update = run.updates.get(update_id)
    if update is None or not update.accepted_event_id or update.completed_event_id:
        raise InvariantViolation(f"event {event.event_id} completes no accepted update")
    update.completed_event_id = event.event_id
    touched.add((RecordKind.UPDATE, update_id))


def attached(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    """Others want to hear of updates that are known."""
    index = 0
    attributes = event.workflow_execution_options_updated_event_attributes
    for options in attributes.workflow_update_options:
        registering.callbacks(
            run,
            options.attached_completion_callbacks,
            event.event_id,
            time_ns,
            touched,
            first_index=index,
            update_id=options.update_id,
            request_id=options.attached_request_id,
        )
        index += len(options.attached_completion_callbacks)
        # Without its event, as the real server shows it.
        noted = Request(options.attached_request_id, event.event_type, 0)
        registering.note_request(run, noted, touched)


def rejected(run: Run, change: changes.UpdateRejected, touched: Touched) -> None:
    """It comes to nothing."""
    run.updates[change.update_id].is_rejected = True
    touched.add((RecordKind.UPDATE, change.update_id))


def _register(
    run: Run, event: HistoryEvent, request: UpdateRequest, time_ns: int, touched: Touched
) -> None:
    request_id = request.request_id
    if request.completion_callbacks:
        registering.callbacks(
            run,
            request.completion_callbacks,
            event.event_id,
            time_ns,
            touched,
            update_id=request.meta.update_id,
            request_id=request_id,
        )
    if request_id:
        noted = Request(request_id, event.event_type, event.event_id)
        registering.note_request(run, noted, touched)
