"""Runs programs on both servers, compares, and makes what differs small."""

from __future__ import annotations

import concurrent.futures
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.differential.canonical import WORKERS_FAULT
from tests.differential.program import Program
from tests.differential.shrink import smaller
from tests.differential.sides import Result, Side
from tests.interop.runs import difference

IN_FLIGHT_MAX = 256
FEW = 6
SHRINK_TRIES_MAX = 60
SECONDS_MAX = 240.0

Pair = tuple[Side, Side]


@dataclass(frozen=True)
class Difference:
    """A program on which the two servers differ, and how."""

    program: Program
    diff: str
    real: dict[str, Any] = field(default_factory=dict)
    ours: dict[str, Any] = field(default_factory=dict)


@dataclass
class Verdict:
    """What came of one program. What was seen is counted on the real server."""

    program: Program
    difference: Difference | None = None
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    first: Difference | None = None
    """What differed when other programs ran beside it."""

    @property
    def is_same(self) -> bool:
        """Whether the servers did."""
        return self.difference is None


def compare(pair: Pair, programs: Iterable[Program]) -> Iterator[Verdict]:
    """Each program's verdict, as they come. What differs is run again among few others, and then
    alone, before it counts: programs live in real time, and a machine that stalls makes one side
    late."""
    first: dict[str, Difference] = {}
    for verdict in _compare(pair, programs, IN_FLIGHT_MAX):
        if verdict.difference:
            first[verdict.program.title] = verdict.difference
        else:
            yield verdict
    again: list[Verdict] = []
    for verdict in _compare(pair, [each.program for each in first.values()], FEW):
        verdict.first = first[verdict.program.title]
        if verdict.difference:
            again.append(verdict)
        else:
            yield verdict
    for verdict in again:
        last = alone(pair, verdict.program)
        last.first = verdict.first
        yield last


def _compare(pair: Pair, programs: Iterable[Program], in_flight_max: int) -> Iterator[Verdict]:
    for program, results in _in_flight(pair, programs, in_flight_max):
        yield _verdict(program, results)


def alone(pair: Pair, program: Program) -> Verdict:
    """The verdict on one program while nothing else runs."""
    futures = [side.submit(program) for side in pair]
    return _verdict(program, [future.result(SECONDS_MAX) for future in futures])


def _in_flight(
    pair: Pair, programs: Iterable[Program], in_flight_max: int
) -> Iterator[tuple[Program, list[Result]]]:
    """Submits ahead, but not without limit; yields what is done first."""
    waiting: list[tuple[Program, list[concurrent.futures.Future[Result]]]] = []
    source = iter(programs)
    while True:
        for program in itertools.islice(source, in_flight_max - len(waiting)):
            waiting.append((program, [side.submit(program) for side in pair]))
        if not waiting:
            return
        concurrent.futures.wait(waiting[0][1], SECONDS_MAX)
        rest = []
        for program, futures in waiting:
            if all(future.done() for future in futures):
                yield program, [future.result() for future in futures]
            else:
                rest.append((program, futures))
        if len(rest) == len(waiting):
            raise TimeoutError(f"{waiting[0][0].title} does not end")
        waiting = rest


def _verdict(program: Program, results: list[Result]) -> Verdict:
    real, ours = results
    diff = difference(real.plain, ours.plain, "the real server", "our server")
    if not diff and not real.plain.get("error", WORKERS_FAULT).startswith(WORKERS_FAULT):
        diff = f"neither server comes to rest: {real.plain['error']}"
    found = Difference(program, diff, real.plain, ours.plain) if diff else None
    return Verdict(program, found, real.counts, max(real.seconds, ours.seconds))


def shrunk(pair: Pair, verdict: Verdict) -> Difference:
    """The smallest program found on which the servers still differ."""
    assert verdict.difference is not None
    best, tries, is_smaller = verdict.difference, 0, True
    while is_smaller and tries < SHRINK_TRIES_MAX:
        is_smaller = False
        for candidate in smaller(best.program):
            tries += 1
            found = alone(pair, candidate).difference
            if found:
                best, is_smaller = found, True
                break
            if tries >= SHRINK_TRIES_MAX:
                break
    return best
