"""The decision on a schedule: one table, (where it stands, what it is asked) -> what happens."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from perdure.server.machines.effects import DeleteRun, SendMessage
from perdure.server.machines.errors import (
    AlreadyStarted,
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
)
from perdure.server.machines.ports import Ids, Limits
from perdure.server.machines.schedule import inputs, messages, outcomes
from perdure.server.machines.schedule.acting import (
    RETENTION_NS,
    add_start,
    catch_up,
    coming_max,
    go_on,
    may_act,
)
from perdure.server.machines.schedule.spec import ActionTime
from perdure.server.machines.schedule.state import (
    REQUEST_IDS_MAX,
    Schedule,
    State,
)
from perdure.server.machines.schedule.turn import Segment, Turn

BACKFILLS_MAX = 100
"""Backfills that wait at the same time."""
TOKEN_MISMATCH = "mismatched conflict token"


class Phase(enum.StrEnum):
    """Where a schedule stands."""

    ABSENT = "absent"
    OPEN = "open"


class Decision(msgspec.Struct):
    """The result of a turn."""

    segments: Sequence[Segment]
    effects: Sequence[SendMessage | DeleteRun]
    reply: inputs.Reply
    has_changes: bool


def decide(
    schedule: Schedule, message: inputs.Input, now_ns: int, ids: Ids, limits: Limits
) -> Decision:
    """Take one decision. Raises Rejected, before anything has changed, when the input cannot be
    honoured."""
    phase = Phase.ABSENT if schedule.run is None else Phase.OPEN
    named = getattr(message, "run_id", "")
    if schedule.run is not None and named and named != schedule.run.run_id:
        phase = Phase.ABSENT  # It is meant for one that had the same id.
    turn = Turn(schedule, now_ns, ids, limits)
    reply = TABLE[phase, type(message)](turn, message)
    return Decision(turn.segments, turn.effects, reply, turn.has_changes)


def not_found_text(schedule_id: str) -> str:
    """What those are told who name a schedule that does not exist: the real server keeps a schedule
    as a workflow of its own."""
    return f"workflow not found for ID: temporal-sys-scheduler:{schedule_id}"


def _not_found(turn: Turn, message: inputs.Input) -> inputs.Reply:
    raise NotFound(not_found_text(turn.schedule.schedule_id))


def _nothing(turn: Turn, message: inputs.Input) -> inputs.Reply:
    return inputs.Done()


def _create(turn: Turn, message: inputs.CreateSchedule) -> inputs.Reply:
    turn.begin(
        State(
            run_id=turn.ids.uuid(),
            settings=message.settings,
            created_ns=turn.now_ns,
            create_request_id=message.request_id,
            processed_ns=turn.now_ns,
        )
    )
    turn.change(message.blobs)
    _apply(turn, message.patch)
    go_on(turn)
    return inputs.Created(turn.state.conflict_token)


def _exists(turn: Turn, message: inputs.CreateSchedule) -> inputs.Reply:
    if turn.state.create_request_id == message.request_id:
        return inputs.Created(turn.state.conflict_token)
    raise AlreadyStarted(
        f'schedule "{turn.schedule.schedule_id}" is already registered',
        start_request_id="",
        run_id="",
        first_execution_run_id="",
    )


def _describe(turn: Turn, message: inputs.DescribeSchedule) -> inputs.Reply:
    times: list[ActionTime] = []
    if message.times_max and _has_times(turn.state):
        after_ns = turn.now_ns
        wanted = coming_max(turn.state.settings, message.times_max)
        while len(times) < wanted:
            coming = turn.schedule.times.next_after(after_ns)
            if coming is None:
                break
            times.append(coming)
            after_ns = max(coming)
    state = msgspec.structs.replace(turn.state)
    return inputs.Described(state, dict(turn.run.blobs), tuple(times))


def _has_times(state: State) -> bool:
    settings = state.settings
    return settings.is_paused or may_act(settings)


def _list_times(turn: Turn, message: inputs.ListTimes) -> inputs.Reply:
    found = turn.schedule.times.between(message.after_ns, message.until_ns, message.times_max)
    return inputs.Listed(tuple(found))


def _update(turn: Turn, message: inputs.UpdateSchedule) -> inputs.Reply:
    state = turn.state
    if _is_repeat(state, message.request_id):
        return inputs.Done()
    token = message.conflict_token
    if token and token != state.conflict_token.to_bytes(8, "big"):
        raise FailedPrecondition(TOKEN_MISMATCH)
    catch_up(turn)
    turn.change(
        message.blobs,
        settings=message.settings,
        conflict_token=state.conflict_token + 1,
        updated_ns=turn.now_ns,
        processed_ns=turn.now_ns,
    )
    _note_request(turn, message.request_id)
    go_on(turn)
    return inputs.Done()


def _patch(turn: Turn, message: inputs.PatchSchedule) -> inputs.Reply:
    state = turn.state
    if _is_repeat(state, message.request_id):
        return inputs.Done()
    if len(state.backfills) + len(message.patch.backfills) > BACKFILLS_MAX:
        raise ResourceExhausted("too many concurrent backfills")
    catch_up(turn)
    _apply(turn, message.patch)
    _note_request(turn, message.request_id)
    go_on(turn)
    return inputs.Done()


def _apply(turn: Turn, patch: inputs.Patch) -> None:
    if patch.trigger is not None:
        at_ns = turn.now_ns if patch.trigger_ns is None else patch.trigger_ns
        add_start(turn, ActionTime(at_ns, at_ns), patch.trigger, is_manual=True)
    if patch.backfills:
        turn.change(backfills=(*turn.state.backfills, *patch.backfills))
    for notes, is_paused in ((patch.pause, True), (patch.unpause, False)):
        if notes is not None:
            outcomes.set_paused(turn, notes, is_paused=is_paused)


def _is_repeat(state: State, request_id: str) -> bool:
    return bool(request_id) and request_id in state.request_ids


def _note_request(turn: Turn, request_id: str) -> None:
    if request_id:
        turn.change(request_ids=(*turn.state.request_ids, request_id)[-REQUEST_IDS_MAX:])


def _delete(turn: Turn, message: inputs.DeleteSchedule) -> inputs.Reply:
    turn.delete()
    return inputs.Done()


def _wake_up(turn: Turn, message: inputs.WakeUp) -> inputs.Reply:
    idle_since_ns = turn.state.idle_since_ns
    if idle_since_ns and turn.now_ns >= idle_since_ns + RETENTION_NS:
        turn.delete()
    elif turn.state.wake_at_ns:
        # The wake-up is gone from the memory of whoever fires them, even when it came too early.
        turn.change(wake_at_ns=0)
        go_on(turn)
    return inputs.Done()


Decider = Callable[[Turn, Any], inputs.Reply]


def _rows(message: type, absent: Decider, opened: Decider) -> dict[tuple[Phase, type], Decider]:
    return {(Phase.ABSENT, message): absent, (Phase.OPEN, message): opened}


TABLE: dict[tuple[Phase, type], Decider] = {
    **_rows(inputs.CreateSchedule, _create, _exists),
    **_rows(inputs.DescribeSchedule, _not_found, _describe),
    **_rows(inputs.ListTimes, _not_found, _list_times),
    **_rows(inputs.UpdateSchedule, _not_found, _update),
    **_rows(inputs.PatchSchedule, _not_found, _patch),
    **_rows(inputs.DeleteSchedule, _not_found, _delete),
    **_rows(inputs.WakeUp, _nothing, _wake_up),
    **_rows(messages.ActionStarted, _not_found, outcomes.started),
    **_rows(messages.ActionFailed, _not_found, outcomes.failed),
    **_rows(messages.ActionClosed, _not_found, outcomes.closed),
}
