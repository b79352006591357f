"""Going on: which times have come, whose turn it is, and when to look again.

Each turn of a schedule does this. Times that have come put starts into the buffer, backfills fill
it up, and overlap policies say which of the buffer may start now. What is sent stays in the buffer
until its workflow has begun, so at any moment a start is in exactly one place: ahead, in the
buffer, or among what was done.
"""

from __future__ import annotations

import msgspec
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo

from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.schedule.spec import ActionTime
from perdure.server.machines.schedule.starting import (
    action_of,
    send_cancel,
    send_start,
    send_terminate,
)
from perdure.server.machines.schedule.state import Backfill, Overlap, Settings, Start
from perdure.server.machines.schedule.turn import Turn

BUFFER_MAX = 1000
BUFFER_RESERVED = 50
"""Places that backfills leave free."""
TIMES_PER_TURN = 200
"""Times looked at in one decision, so that a schedule which was down for long delays nobody."""
RETENTION_NS = 7 * 24 * 3600 * SECOND_NS
"""How long a schedule that has nothing to do any more is kept."""
OTHERS_END = frozenset((Overlap.CANCEL_OTHER, Overlap.TERMINATE_OTHER))


def go_on(turn: Turn) -> None:
    """Do what is due."""
    has_more = catch_up(turn)
    has_more |= _fill_from_backfills(turn)
    _take_turns(turn)
    _arm(turn, has_more=has_more)


def coming_max(settings: Settings, times_max: int) -> int:
    """How many of the times that come are told: not those for which no action will be left."""
    return min(times_max, max(settings.remaining, 0)) if settings.is_limited else times_max


def may_act(settings: Settings) -> bool:
    """Whether a schedule acts by itself."""
    return not settings.is_paused and not (settings.is_limited and settings.remaining <= 0)


def catch_up(turn: Turn) -> bool:
    """Look at the times that have come since the last look, or at the first of them; whether there
    may be more.

    What was looked at ends with the last time that has come, and not with now: jitter may put the
    next one off to later than now, though its nominal time has passed.
    """
    state, now_ns = turn.state, turn.now_ns
    if state.processed_ns >= now_ns:
        return False
    if not may_act(state.settings):
        turn.change(processed_ns=now_ns)
        return False
    times = turn.schedule.times.between(state.processed_ns, now_ns, TIMES_PER_TURN)
    missed = 0
    for coming in times:
        if coming.nominal_ns < state.updated_ns:
            continue
        if now_ns - coming.due_ns > state.settings.catchup_window_ns:
            missed += 1
        else:
            add_start(turn, coming, Overlap.UNSPECIFIED, is_manual=False)
    if missed:
        so_far = state.counts.missed_catchup_window
        _count(turn, missed_catchup_window=so_far + missed)
    if times:
        turn.change(processed_ns=times[-1].due_ns)
    return len(times) == TIMES_PER_TURN


def add_start(turn: Turn, coming: ActionTime, overlap: Overlap, *, is_manual: bool) -> None:
    """Put a start into the buffer, if there is room."""
    state = turn.state
    if len(state.buffer) >= BUFFER_MAX:
        _count(turn, buffer_dropped=state.counts.buffer_dropped + 1)
        return
    number = state.next_number
    start = Start(number, coming.nominal_ns, coming.due_ns, overlap, is_manual)
    turn.change(buffer=(*state.buffer, start), next_number=number + 1)


def _fill_from_backfills(turn: Turn) -> bool:
    """Put starts of the past into the buffer; whether there are more."""
    budget = TIMES_PER_TURN
    while turn.state.backfills and budget:
        room = BUFFER_MAX - BUFFER_RESERVED - len(turn.state.buffer)
        if room <= 0:
            return False  # There is when one of them starts.
        first, *rest = turn.state.backfills
        wanted = min(room, budget)
        times = turn.schedule.times.between(first.after_ns, first.until_ns, wanted)
        for coming in times:
            add_start(turn, coming, first.overlap, is_manual=True)
        budget -= len(times)
        if len(times) == wanted:
            later = Backfill(times[-1].due_ns, first.until_ns, first.overlap)
            turn.change(backfills=(later, *rest))
        else:
            turn.change(backfills=tuple(rest))
    return bool(turn.state.backfills)


class _Plan(msgspec.Struct):
    """What becomes of the starts in the buffer."""

    is_running: bool
    now: list[Start] = []
    """These start whatever goes on."""
    alone: Start | None = None
    """This one starts, since nothing goes on."""
    kept: list[Start] = []
    skipped: int = 0
    ends_others: Overlap | None = None


def _take_turns(turn: Turn) -> None:
    """Let those start whose turn it is. One that may not start after all gives way to the next."""
    while _take_turn(turn):
        pass


def _take_turn(turn: Turn) -> bool:
    """The same, once; whether one gave way."""
    state = turn.state
    waiting = [start for start in state.buffer if not start.is_sent]
    if not waiting:
        return False
    sent = [start for start in state.buffer if start.is_sent]
    is_running = bool(state.started) or any(start.overlap != Overlap.ALLOW_ALL for start in sent)
    plan = _plan(waiting, state.settings.overlap, is_running=is_running)
    if plan.skipped:
        _count(turn, overlap_skipped=state.counts.overlap_skipped + plan.skipped)
    if plan.ends_others is not None:
        _end_others(turn, plan.ends_others)
    starting = plan.now if plan.alone is None else [*plan.now, plan.alone]
    action = action_of(turn)
    now_sent = [start for start in starting if _send(turn, action, start)]
    kept = [msgspec.structs.replace(start, is_sent=True) for start in now_sent] + plan.kept
    buffer = (*sent, *kept)
    if buffer != state.buffer:
        turn.change(buffer=buffer)
    return plan.alone is not None and plan.alone not in now_sent


def _plan(waiting: list[Start], usual: Overlap, *, is_running: bool) -> _Plan:
    plan = _Plan(is_running)
    for start in waiting:
        overlap = start.overlap or usual
        if overlap == Overlap.ALLOW_ALL:
            plan.now.append(msgspec.structs.replace(start, overlap=overlap))
        elif not is_running and plan.alone is None:
            plan.alone = msgspec.structs.replace(start, overlap=overlap)
        elif overlap == Overlap.BUFFER_ALL or (overlap == Overlap.BUFFER_ONE and not plan.kept):
            plan.kept.append(start)
        elif overlap not in OTHERS_END:
            plan.skipped += 1
        elif is_running:
            plan.kept.append(start)
            if plan.ends_others != Overlap.TERMINATE_OTHER:
                plan.ends_others = overlap
        else:
            plan.alone = msgspec.structs.replace(start, overlap=overlap)
    return plan


def _end_others(turn: Turn, how: Overlap) -> None:
    """Have the workflows that go on cancelled or terminated, each once."""
    started = []
    for one in turn.state.started:
        if how == Overlap.TERMINATE_OTHER and not one.is_terminate_sent:
            send_terminate(turn, one)
            started.append(msgspec.structs.replace(one, is_terminate_sent=True))
        elif how == Overlap.CANCEL_OTHER and not one.is_cancel_sent:
            send_cancel(turn, one)
            started.append(msgspec.structs.replace(one, is_cancel_sent=True))
        else:
            started.append(one)
    if tuple(started) != turn.state.started:
        turn.change(started=tuple(started))


def _send(turn: Turn, action: NewWorkflowExecutionInfo | None, start: Start) -> bool:
    """Ask for the workflow of a start, if the schedule may (still) act; whether it was asked."""
    settings = turn.state.settings
    if action is None or not (start.is_manual or may_act(settings)):
        return False
    if settings.is_limited and not start.is_manual:
        fewer = msgspec.structs.replace(settings, remaining=settings.remaining - 1)
        turn.change(settings=fewer, conflict_token=turn.state.conflict_token + 1)
    send_start(turn, action, start)
    return True


def _count(turn: Turn, **counts: int) -> None:
    turn.change(counts=msgspec.structs.replace(turn.state.counts, **counts))


def _arm(turn: Turn, *, has_more: bool) -> None:
    """Say when to look again: at the next time; now, when there is more than one turn may do; or
    when what has nothing to do any more has been kept for long enough."""
    state = turn.state
    wake_at_ns, idle_since_ns = 0, 0
    if has_more:
        wake_at_ns = turn.now_ns
    elif may_act(state.settings):
        coming = turn.schedule.times.next_after(state.processed_ns)
        wake_at_ns = coming.due_ns if coming is not None else 0
    is_busy = wake_at_ns or state.started or state.buffer or state.backfills
    if not is_busy and not state.settings.is_paused:
        idle_since_ns = state.idle_since_ns or turn.now_ns
        wake_at_ns = idle_since_ns + RETENTION_NS
    if wake_at_ns != state.wake_at_ns or idle_since_ns != state.idle_since_ns:
        turn.change(wake_at_ns=wake_at_ns, idle_since_ns=idle_since_ns)
