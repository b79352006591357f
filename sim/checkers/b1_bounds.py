"""B1, in a living engine: whenever an execution comes into memory, no more of them stay than may,
but for those that must: pinned ones, those with a volatile part, and the newest. And when an engine
has been closed, nobody waits for anything of it, and nothing is pinned any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from perdure.server.engine.engine import Engine
from perdure.server.engine.execution import Execution


def watch_bounds(engine: Engine, bound: Callable[[], int], broken: Callable[[str], None]) -> None:
    """Look at the cache each time that it grows."""
    cache = engine.cache
    add = cache.add

    def watched(newest: Execution) -> None:
        add(newest)
        excess = len(cache) - bound()
        if excess <= 0:
            return
        movable = [
            each
            for each in cache.executions()
            if not (each.pins or each.subject.must_stay or each is newest)
        ]
        if movable:
            broken(f"{excess} executions too many are in memory, and {len(movable)} could go")

    vars(cache)["add"] = watched


def left_over(engine: Engine) -> Iterator[str]:
    """Whatever is kept for somebody in an engine that was closed."""
    for execution in engine.cache.executions():
        name = execution.key[1]
        if execution.pins:
            yield f"{name} is pinned {execution.pins} times, and nobody is left to need it"
        if execution.waiting or engine.waiters.has(execution.key):
            yield f"somebody waits for {name}, and nobody is left to wait"
