"""`perdure check`: what it prints and how it ends."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import pytest

import perdure
from perdure.worker import Worker
from perdure.workflow._static_check import NondeterminismWarning
from tests.check.conftest import Checked
from tests.cli.terminal import Terminal

OFFLINE = Terminal("127.0.0.1:1")


@pytest.fixture
def flows(checked: Checked) -> None:
    """A file with two findings."""
    checked("import time", "time.sleep(time.time())")


@pytest.mark.usefixtures("flows")
def test_findings_are_printed_as_editors_read_them() -> None:
    said = OFFLINE.run("check .")
    assert said.exit_code == 1
    assert said.out == (
        "flows.py:6:9: PD102 time.sleep blocks the worker's thread, and is not recorded: use "
        "workflow.sleep() instead (in Works.run)\n"
        "flows.py:6:20: PD101 time.time reads the clock of the machine: use workflow.time() "
        "instead (in Works.run)\n"
    )
    assert said.err == "2 findings; docs/determinism.md says what the rules mean\n"


@pytest.mark.usefixtures("flows")
def test_findings_are_told_to_programs() -> None:
    said = OFFLINE.run("check flows.py --json --select PD101")
    assert said.exit_code == 1
    assert said.json == {
        "path": "flows.py",
        "line": 6,
        "column": 20,
        "code": "PD101",
        "message": "time.time reads the clock of the machine: use workflow.time() instead "
        "(in Works.run)",
        "instead": "workflow.time()",
        "via": ["Works.run"],
    }


@pytest.mark.usefixtures("flows")
def test_rules_are_left_out_by_their_prefix() -> None:
    assert OFFLINE.ok("check . --ignore PD1").out == ""
    assert OFFLINE.ok("check . --select PD5").out == ""


def test_a_path_that_is_not_there_is_misuse(tmp_path: Path) -> None:
    said = OFFLINE.run(f"check {tmp_path}/nothing")
    assert said.exit_code == 2


FLOWS = """
from perdure import workflow

def helper() -> None:
    open("a")

@workflow.defn
class Opens:
    @workflow.run
    async def run(self) -> None:
        helper()
        open("b")  # perdure: ignore[PD301] to see that it is heard
"""


async def test_a_worker_in_debug_mode_warns_of_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"flows_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(FLOWS)
    monkeypatch.syspath_prepend(str(tmp_path))
    workflows = [importlib.import_module(name).Opens]
    async with perdure.embedded() as client:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Worker(client, task_queue="q", workflows=workflows)
        with pytest.warns(NondeterminismWarning, match="PD301 open touches files") as told:
            Worker(client, task_queue="q", workflows=workflows, debug_mode=True)
    assert [(Path(one.filename).name, one.lineno) for one in told] == [(f"{name}.py", 5)]


def test_a_comment_is_heard_when_a_class_is_decorated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = FLOWS.replace("        helper()", "        time.time()")
    text = text.replace('open("b")', "time.time()")
    name = f"clocks_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text("import time\n" + text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.warns(NondeterminismWarning, match="time.time") as told:
        importlib.import_module(name)
    assert [one.lineno for one in told] == [12]
