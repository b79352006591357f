"""What a test leaves behind in its process is found, named and put back."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process_state import process_state, restore
from tests.tidy.source import ROOT


@pytest.mark.parametrize(
    ("leave", "told"),
    [
        (
            lambda: logging.getLogger("left.behind").setLevel(50),
            "loggers: left.behind: None became (50, True, False, ())",
        ),
        (lambda: setattr(logging.getLogger("left"), "propagate", False), "loggers: left: None"),
        (lambda: setattr(logging.getLogger("left"), "disabled", True), "loggers: left: None"),
        (lambda: logging.getLogger().addHandler(logging.NullHandler()), "loggers: root: "),
        (lambda: logging.getLogger().handlers[0].setFormatter(None), "loggers: root: "),
        (lambda: logging.disable(), "logging.disable: 0 became 50"),
        (lambda: os.environ.update(LEFT="1"), "environment: LEFT: None became 1"),
        (lambda: os.environ.pop("PATH"), "environment: PATH: "),
        (lambda: os.chdir("/"), "working directory: "),
        (lambda: sys.path.insert(0, "left"), "sys.path: "),
        (
            lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
            "signal handlers: SIGTERM: 0 became 1",
        ),
        (lambda: setattr(sys, "excepthook", print), "hooks: sys.excepthook: "),
        (gc.disable, "garbage collection: True became False"),
        (lambda: gc.set_threshold(7, 8, 9), "thresholds of the garbage collection: "),
        (lambda: sys.setswitchinterval(0.25), "switch interval: 0.00"),
    ],
)
def test_what_is_left_is_named_and_put_back(leave: Callable[[], object], told: str) -> None:
    was = process_state()
    leave()
    [line] = restore(was)
    part, _, difference = told.partition(": ")
    # Loggers that do not propagate share the handlers of the root, and are told too.
    assert line.startswith(f"{part}: ")
    assert difference in line
    assert (process_state(), restore(was)) == (was, [])


def test_who_leaves_something_is_told_and_who_comes_next_is_spared(tmp_path: Path) -> None:
    tests = tmp_path / "test_leaving.py"
    tests.write_text(
        "import os\n"
        "def test_leaves(): os.environ['LEFT'] = '1'\n"
        "def test_is_next(): assert 'LEFT' not in os.environ\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", str(tests)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ERROR " in done.stdout
    assert "test_leaving.py::test_leaves" in done.stdout
    assert "environment: LEFT: None became 1" in done.stdout
    assert "2 passed, 1 error" in done.stdout
