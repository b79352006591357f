"""Runs programs against one server, side by side, and gives back what each observed."""

from __future__ import annotations

import asyncio
import difflib
import json
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from temporalio.client import Client

from tests.interop.normaliser import as_text
from tests.interop.programs import LIMITED, PROGRAMS
from tests.interop.servers import server
from tests.interop.stage import Stage, connect

PROGRAM_TIMEOUT_SECONDS = 45.0
# Each has workers with pollers of their own; more at once only makes both servers late.
PROGRAMS_AT_ONCE = 12


Sides = dict[str, dict[str, "Outcome"]]
"""Outcomes by side and program."""


@dataclass(frozen=True)
class Outcome:
    """What a program observed, the traceback of any error, and how long it took."""

    observations: dict[str, Any]
    error: str | None
    seconds: float


async def run_program(client: Client, name: str) -> Outcome:
    """Runs one program; its exception is part of the outcome."""
    stage = Stage(client, name)
    began = time.monotonic()
    error = None
    try:
        async with asyncio.timeout(PROGRAM_TIMEOUT_SECONDS):
            await {**PROGRAMS, **LIMITED}[name](stage)
    except Exception:  # a named boundary: the program's own test reports it
        error = traceback.format_exc()
    return Outcome(stage.observations, error, time.monotonic() - began)


async def run_programs(address: str, names: Iterable[str]) -> dict[str, Outcome]:
    """Runs the programs against one address, several at once."""
    client = await connect(address)
    room = asyncio.Semaphore(PROGRAMS_AT_ONCE)

    async def run(name: str) -> tuple[str, Outcome]:
        async with room:
            return name, await run_program(client, name)

    return dict(await asyncio.gather(*(run(name) for name in names)))


def run_against(
    target: str, names: Iterable[str], settings: Sequence[str] = ()
) -> dict[str, Outcome]:
    """Runs the programs against ``real``, ``ours`` or a HOST:PORT."""
    with server(target, settings) as address:
        return asyncio.run(run_programs(address, names))


def difference(a: Any, b: Any, name_a: str, name_b: str) -> str:
    """A readable diff of two normalised values; empty when they are equal."""
    if a == b:
        return ""
    lines_a, lines_b = as_text(a).splitlines(), as_text(_ordered_as(a, b)).splitlines()
    return "\n".join(difflib.unified_diff(lines_a, lines_b, name_a, name_b, n=6, lineterm=""))


def _ordered_as(a: Any, b: Any) -> Any:
    """`b`, its fields in the order of `a`'s, so that only what differs is shown."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [key for key in a if key in b] + [key for key in b if key not in a]
        return {key: _ordered_as(a.get(key), b[key]) for key in keys}
    if isinstance(a, list) and isinstance(b, list):
        before = [*a, *([None] * (len(b) - len(a)))]
        return [_ordered_as(was, each) for was, each in zip(before, b, strict=False)]
    return b


def settled(
    run_sides: Callable[[list[str]], Sides],
    names: list[str],
    differ: Callable[[dict[str, Outcome]], bool],
    *,
    first: Callable[[list[str]], Sides] | None = None,
) -> Sides:
    """What each side observed; a program on which the sides differ is run once more.

    Programs live in real time: on a machine that stalls for a second, whichever side was just then
    at work misses a timeout that the other one keeps. `first` is how they are run before that, if
    it is done otherwise.
    """
    sides = _as_read((first or run_sides)(names))
    again = [name for name in names if differ({side: of[name] for side, of in sides.items()})]
    if again:
        for side, outcomes in _as_read(run_sides(again)).items():
            sides[side].update(outcomes)
    return sides


def _as_read(sides: Sides) -> Sides:
    """As it comes out of a file, where a tuple has become a list: what is kept is compared with
    what is not."""
    return {
        side: {
            name: replace(outcome, observations=json.loads(json.dumps(outcome.observations)))
            for name, outcome in outcomes.items()
        }
        for side, outcomes in sides.items()
    }
