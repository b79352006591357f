"""What the processes of a test run share: programs are run by the first that needs them."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.interop.runs import Outcome, Sides, run_against


def kept(directory: Path, name: str, run: Callable[[], Sides]) -> Sides:
    """What the first process to ask has run, while the others wait."""
    file = directory / f"{name}.json"
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            file.write_text(json.dumps(run(), default=asdict))
    return {
        side: {program: Outcome(**fields) for program, fields in of_side.items()}
        for side, of_side in json.loads(file.read_text()).items()
    }


def official_on_real(directory: Path, session: pytest.Session) -> dict[str, Outcome]:
    """What programs of the official SDK observe on the real server: with it both are compared, our
    server and our SDK."""
    programs = selected(session)
    return kept(directory, "official-on-real", lambda: {"": run_against("real", programs)})[""]


def directory_of_run(config: pytest.Config, factory: pytest.TempPathFactory) -> Path:
    """A directory that all processes of a test run share."""
    directory = factory.getbasetemp()
    return directory.parent if hasattr(config, "workerinput") else directory


def selected(session: pytest.Session, test: str | None = None) -> list[str]:
    """The programs, each once, that the tests that are to run compare: those of one test, by its
    name, or all.

    The same in every process.
    """
    names = [
        str(item.callspec.params["program"])
        for item in session.items
        if isinstance(item, pytest.Function)
        and "outcomes" in item.fixturenames
        and test in (None, item.originalname)
    ]
    return list(dict.fromkeys(names))
