"""B1, in a living engine: nothing in memory is larger than it may be, and when everything is over,
nobody is waited for."""

from __future__ import annotations

from collections.abc import Iterator

from perdure.server.engine.engine import Engine


def check_bounds(engine: Engine, *, executions_max: int) -> Iterator[tuple[str, str]]:
    """Every bound that does not hold."""
    executions = engine.cache.executions()
    # The newest stays, whatever the bound; so does what is pinned or volatile.
    movable = [each for each in executions if not (each.pins or each.subject.must_stay)]
    if len(executions) > executions_max and len(movable) > max(executions_max, 1):
        yield "B1", f"{len(movable)} executions in memory could go, of {len(executions)}"
