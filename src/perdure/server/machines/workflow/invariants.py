"""What must hold after every turn (the invariants marked "c"): checked always, since a wrong state
must not become durable."""

from __future__ import annotations

import itertools

from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.workflow import deadlines
from perdure.server.machines.workflow.state import (
    AttemptState,
    PendingActivity,
    RecordKind,
    Run,
    Status,
    Update,
)
from perdure.server.machines.workflow.turn import Segment, Turn

FULL_CHECK_PARTS = 64
"""Runs up to this many pending parts are checked whole after each turn; of larger ones, only what
the turn touched."""


def check_turn(turn: Turn) -> None:
    """Check each run that the turn touched. Raises InvariantViolation."""
    segments = turn.segments
    for index, segment in enumerate(segments):
        if segment.batches or segment.steps:
            check_segment(segment, is_last=index == len(segments) - 1)
    if len(segments) > 1:
        _check_successors(segments)


def check_segment(segment: Segment, *, is_last: bool) -> None:
    """H1, W1, W4, T1, T3, T4, S2, A1 and U1 of one run."""
    run = segment.run
    _check_batches(segment)
    if run.recorded.status == Status.RUNNING:
        _require(is_last, "W1: a run stays open beside its successor")
        _check_open(segment)
    else:
        _check_closed(run)


def _check_successors(segments: list[Segment]) -> None:
    """W3: a run that continues another is the one that this names."""
    for earlier, later in itertools.pairwise(segments):
        continued = later.run.recorded.continued_run_id
        _require(
            not later.is_new
            or continued != earlier.run.recorded.run_id
            or earlier.run.recorded.successor_run_id == later.run.recorded.run_id,
            "W3: a run continues one that names another successor",
        )


def _check_batches(segment: Segment) -> None:
    """H1: event ids follow each other."""
    expected = segment.run.recorded.next_event_id
    for batch in reversed(segment.batches):
        _require(batch.last_event_id == expected - 1, "H1: a gap in the event ids")
        expected = batch.first_event_id


def _check_open(segment: Segment) -> None:
    run = segment.run
    recorded, pending = run.recorded, run.pending
    _require(
        recorded.workflow_task is None or pending.transient_task is None,
        "W4: two workflow tasks are outstanding",
    )
    _require(
        not run.buffered or run.is_task_started,
        "W4: events are buffered though no workflow task is started",
    )
    earliest_ns = (
        deadlines.wake_at(run)
        if len(run.activities) + len(run.timers) + len(run.nexus_operations) <= FULL_CHECK_PARTS
        else deadlines.wake_at_of_touched(run, segment.touched)
    )
    _require(
        not earliest_ns or 0 < pending.wake_at_ns <= earliest_ns,
        "T3: a deadline has no wake-up armed in time",
    )
    _require(len(run.activity_ids) == len(run.activities), "A1: two activities share an id")
    for kind, key in segment.touched:
        if kind is RecordKind.ACTIVITY and key in run.activities:
            _check_activity(run.activities[key])
        elif kind is RecordKind.UPDATE and key in run.updates:
            _check_update(run.updates[key])


def _check_activity(pending: PendingActivity) -> None:
    attempt = pending.attempt
    if attempt.state == AttemptState.PAUSED:
        _require(attempt.pause is not None, "an activity waits for an operator, and for none")
    elif attempt.state in (AttemptState.SCHEDULED, AttemptState.BACKING_OFF):
        _require(attempt.pause is None, "a paused activity is on offer")


def _check_update(update: Update) -> None:
    _require(
        not update.completed_event_id or 0 < update.accepted_event_id < update.completed_event_id,
        "U1: an update is completed that was not accepted before",
    )


def _check_closed(run: Run) -> None:
    recorded, pending = run.recorded, run.pending
    _require(
        recorded.close_event_id == recorded.next_event_id - 1, "W1: the close event is not the last"
    )
    _require(
        pending.wake_at_ns == deadlines.callbacks_due(run),
        "T4: the wake-up of a closed run is not for its callbacks",
    )
    _require(not run.buffered, "S2: a closed run has buffered events")
    _require(
        not run.timers and not run.is_task_started,
        "T1: a closed run has something under way",
    )
    _require(
        not run.external_signals and not run.external_cancels,
        "C2: a closed run waits for another workflow",
    )


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvariantViolation(message)
