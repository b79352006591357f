"""What a schedule hears of the workflows that it starts. News that it does not wait for is old: it
changes nothing."""

from __future__ import annotations

import msgspec
from temporalio.api.enums.v1 import workflow_pb2
from temporalio.api.failure.v1 import Failure

from perdure.server.machines.errors import NotFound
from perdure.server.machines.schedule.acting import catch_up, go_on
from perdure.server.machines.schedule.inputs import Done
from perdure.server.machines.schedule.messages import ActionClosed, ActionFailed, ActionStarted
from perdure.server.machines.schedule.state import (
    RECENT_ACTIONS_MAX,
    Action,
    Blob,
    Overlap,
    Start,
    Started,
)
from perdure.server.machines.schedule.turn import Turn

ACTION_NOT_FOUND = "the action is not waited for"
RUNNING = workflow_pb2.WORKFLOW_EXECUTION_STATUS_RUNNING
COMPLETED = workflow_pb2.WORKFLOW_EXECUTION_STATUS_COMPLETED
FAILED = workflow_pb2.WORKFLOW_EXECUTION_STATUS_FAILED
TIMED_OUT = workflow_pb2.WORKFLOW_EXECUTION_STATUS_TIMED_OUT


def started(turn: Turn, message: ActionStarted) -> Done:
    """The start was made: its workflow goes on from here."""
    start = _sent(turn, message.number)
    catch_up(turn)
    state = turn.state
    action = Action(
        number=start.number,
        due_ns=start.due_ns,
        actual_ns=message.started_ns or turn.now_ns,
        workflow_id=message.workflow_id,
        run_id=message.workflow_run_id,
        status=RUNNING,
    )
    counts = msgspec.structs.replace(state.counts, actions=state.counts.actions + 1)
    turn.change(
        buffer=_without(state.buffer, start.number),
        actions=(*state.actions, action)[-RECENT_ACTIONS_MAX:],
        counts=counts,
    )
    if start.overlap != Overlap.ALLOW_ALL:
        one = Started(start.number, message.workflow_id, message.workflow_run_id)
        turn.change(started=(*state.started, one))
    go_on(turn)
    return Done()


def failed(turn: Turn, message: ActionFailed) -> Done:
    """There is no workflow for the start: its id is taken."""
    start = _sent(turn, message.number)
    catch_up(turn)
    turn.change(buffer=_without(turn.state.buffer, start.number))
    go_on(turn)
    return Done()


def closed(turn: Turn, message: ActionClosed) -> Done:
    """A workflow has ended: what it left is passed on, and the next one may start."""
    state = turn.state
    one = next((one for one in state.started if one.number == message.number), None)
    is_shown = any(action.number == message.number for action in state.actions)
    if one is None and not is_shown:
        raise NotFound(ACTION_NOT_FOUND)
    catch_up(turn)
    turn.change(
        actions=tuple(
            msgspec.structs.replace(action, status=message.status)
            if action.number == message.number
            else action
            for action in state.actions
        ),
    )
    if one is not None:
        turn.change(started=tuple(other for other in state.started if other is not one))
        _keep_outcome(turn, one, message)
    go_on(turn)
    return Done()


def set_paused(turn: Turn, notes: str, *, is_paused: bool) -> None:
    """Pause or unpause the schedule, saying why."""
    settings = msgspec.structs.replace(turn.state.settings, notes=notes, is_paused=is_paused)
    turn.change(settings=settings, conflict_token=turn.state.conflict_token + 1)


def _keep_outcome(turn: Turn, one: Started, message: ActionClosed) -> None:
    if message.status == COMPLETED:
        turn.change({Blob.RESULT: message.result, Blob.FAILURE: b""})
        return
    if message.status not in (FAILED, TIMED_OUT):
        return
    if message.failure:
        turn.change({Blob.FAILURE: message.failure})
    if turn.state.settings.pauses_on_failure:
        notes = f"paused due to workflow timeout: {one.workflow_id}"
        if message.status == FAILED:
            text = Failure.FromString(message.failure).message
            notes = f"paused due to workflow failure: {one.workflow_id}: {text}"
        set_paused(turn, notes, is_paused=True)


def _sent(turn: Turn, number: int) -> Start:
    for start in turn.state.buffer:
        if start.number == number and start.is_sent:
            return start
    raise NotFound(ACTION_NOT_FOUND)


def _without(buffer: tuple[Start, ...], number: int) -> tuple[Start, ...]:
    return tuple(start for start in buffer if start.number != number)
