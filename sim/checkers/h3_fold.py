"""H3: folding the stored events again gives the recorded part that is stored, and its size is that
of the stored bytes."""

from __future__ import annotations

from collections.abc import Iterator

from perdure.server.machines.workflow.evolve import Touched, evolve_event, run_from_start
from perdure.server.machines.workflow.state import Run
from sim.audit import Audit, StoredRun


def check(audit: Audit) -> Iterator[str]:
    """Every run whose recorded part is not the fold of its events."""
    for stored in audit.runs:
        yield from _check_run(stored)


def _check_run(stored: StoredRun) -> Iterator[str]:
    run, folded = stored.run, fold(stored)
    if folded.recorded != run.recorded:
        yield f"{stored.run_id}: recorded is {run.recorded}, the fold gives {folded.recorded}"
    activities = {key: part.activity for key, part in run.activities.items()}
    if activities != {key: part.activity for key, part in folded.activities.items()}:
        yield f"{stored.run_id}: activities are {sorted(activities)}, {sorted(folded.activities)}"
    timers = {
        (timer.timer_id, timer.started_event_id, timer.due_ns) for timer in run.timers.values()
    }
    if timers != {
        (timer.timer_id, timer.started_event_id, timer.due_ns) for timer in folded.timers.values()
    }:
        yield f"{stored.run_id}: timers are {sorted(timers)}, {sorted(folded.timers)}"
    folded_requests = {key: part for key, part in folded.requests.items() if part.event_id}
    requests = {key: part for key, part in run.requests.items() if part.event_id}
    if requests != folded_requests:
        yield f"{stored.run_id}: request ids are {sorted(requests)}, {sorted(folded_requests)}"
    size = sum(len(entry) for entry in stored.entries)
    claimed = sum(batch.size_bytes for batch in stored.batches)
    if not size == claimed == run.recorded.history_size_bytes:
        yield (
            f"{stored.run_id}: {size} bytes of history are stored, its rows say {claimed}"
            f" and its head {run.recorded.history_size_bytes}"
        )


def fold(stored: StoredRun) -> Run:
    """The run that the stored events make."""
    touched: Touched = set()
    entries = stored.entries
    run = run_from_start(stored.events[0], len(entries[0]), touched)
    for event, entry in zip(stored.events[1:], entries[1:], strict=True):
        evolve_event(run, event, len(entry), touched)
    return run
