"""H3, in a living engine: a workflow in memory with nothing on its way to disk is what is stored.

So every part that a turn changed was written: what is pending equals its own fold.
"""

from __future__ import annotations

from collections.abc import Iterator

from perdure.server.engine.engine import Engine
from perdure.server.engine.pipeline import run_of
from perdure.server.machines.ports import Kind
from perdure.server.machines.workflow.codec import all_records, encode_head
from perdure.server.store.ports import Store
from sim.disk import run_now


def check_memory(engine: Engine, store: Store) -> Iterator[tuple[str, str]]:
    """Every cached workflow that differs from its stored form."""
    for execution in engine.cache.executions():
        if execution.key[2] is not Kind.WORKFLOW:
            continue
        run = execution.workflow.run
        if execution.group is not None or execution.is_dropped or run is None:
            continue
        loaded = run_now(store.load_number(execution.current_run))
        name = f"{execution.key[1]} {run.recorded.run_id}"
        if loaded is None:
            yield "H3", f"{name} is in memory and not stored"
            continue
        stored = run_of(loaded)
        if encode_head(run) != encode_head(stored):
            yield "H3", f"{name}: head in memory {run.pending}, stored {stored.pending}"
        elif sorted(all_records(run)) != sorted(all_records(stored)):
            yield "H3", f"{name}: its parts in memory are not those that are stored"
        if execution.committed_event_id != run.recorded.next_event_id - 1:
            yield "H3", f"{name}: readers see {execution.committed_event_id} events"
