"""Both servers run all selected programs once, at the same time, before the first comparison."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.kept import directory_of_run, kept, official_on_real, selected
from tests.interop.runs import Outcome, Sides, run_against, settled

TARGETS = ("real", "ours")
Outcomes = Sides


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What each selected program observed, by server and program; run once for all processes."""
    directory = directory_of_run(request.config, tmp_path_factory)
    names = selected(request.session, "test_ours_equals_the_real_one")

    def first(names: list[str]) -> Sides:
        return _run_first(directory, request.session, names)

    return kept(directory, "interop", lambda: settled(_run_both, names, differ, first=first))


def differ(outcomes: dict[str, Outcome]) -> bool:
    real, ours = (outcomes[target] for target in TARGETS)
    return bool(real.error or ours.error) or real.observations != ours.observations


def _run_first(directory: Path, session: pytest.Session, names: list[str]) -> Sides:
    with quiet(), concurrent.futures.ThreadPoolExecutor(len(TARGETS)) as pool:
        real = pool.submit(official_on_real, directory, session)
        ours = pool.submit(run_against, "ours", names)
        return {"real": {name: real.result()[name] for name in names}, "ours": ours.result()}


def _run_both(names: list[str]) -> Sides:
    with quiet(), concurrent.futures.ThreadPoolExecutor(len(TARGETS)) as pool:
        sides = {target: pool.submit(run_against, target, names) for target in TARGETS}
        return {target: side.result() for target, side in sides.items()}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Programs fail on purpose, and the SDK says so."""
    logger = logging.getLogger("temporalio")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
