"""Both servers run all selected programs once, at the same time, before the first comparison."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.interop.runs import Outcome, Sides, run_against, settled

TARGETS = ("real", "ours")
Outcomes = Sides


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What each selected program observed, by server and program.

    Processes of one test run share a file: the first to come runs the programs, the others wait.
    """
    directory = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        directory = directory.parent
    kept = Path(directory, "interop-outcomes.json")
    with Path(directory, "interop-outcomes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            sides = settled(_run_both, _selected(request.session), differ)
            kept.write_text(json.dumps(sides, default=asdict))
    return {
        target: {program: Outcome(**fields) for program, fields in of_target.items()}
        for target, of_target in json.loads(kept.read_text()).items()
    }


def _selected(session: pytest.Session) -> list[str]:
    """The programs of the tests that are to run; the same in every process."""
    return [
        str(item.callspec.params["program"])
        for item in session.items
        if isinstance(item, pytest.Function) and "outcomes" in item.fixturenames
    ]


def differ(outcomes: dict[str, Outcome]) -> bool:
    real, ours = (outcomes[target] for target in TARGETS)
    return bool(real.error or ours.error) or real.observations != ours.observations


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
