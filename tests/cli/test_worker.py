"""`perdure worker`: what it finds in modules, what it says, how it stops."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from perdure.cli.registrations import NothingToRegister, registrations_of
from tests.cli.conftest import COMMAND
from tests.cli.terminal import Terminal

MODULE = '''
from datetime import timedelta
from perdure import activity, workflow

@activity.defn
def shout(text: str) -> str:
    return text.upper()

class Whisperer:
    @activity.defn
    async def whisper(self, text: str) -> str:
        return text.lower()

whisperer = Whisperer()
everything = [shout, whisperer]

@workflow.defn
class Shouting:
    @workflow.run
    async def run(self, text: str) -> str:
        return await workflow.execute_activity(
            shout, text, start_to_close_timeout=timedelta(minutes=1)
        )

class Quiet(Shouting):
    """Not decorated itself, so no workflow."""
'''


@pytest.fixture
def voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of its own for each test, that can be imported."""
    name = f"voices_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.mark.parametrize(
    ("attribute", "workflows", "activities"),
    [
        ("", ["Shouting"], ["shout"]),
        (":Shouting", ["Shouting"], []),
        (":shout", [], ["shout"]),
        (":whisperer", [], ["whisper"]),
        (":whisperer.whisper", [], ["whisper"]),
        (":everything", [], ["shout", "whisper"]),
    ],
)
def test_what_is_decorated_is_found(
    voices: str, attribute: str, workflows: list[str], activities: list[str]
) -> None:
    found = registrations_of([voices + attribute])
    assert (found.workflow_names(), found.activity_names()) == (workflows, activities)


def test_what_is_named_twice_is_registered_once(voices: str) -> None:
    found = registrations_of([voices, f"{voices}:everything", f"{voices}:whisperer"])
    assert found.activity_names() == ["shout", "whisper"]


@pytest.mark.parametrize(
    ("attribute", "complaint"),
    [
        (":nothing", "has no nothing"),
        (":Whisperer", "is a class without @workflow.defn"),
        (":timedelta", "is a class without @workflow.defn"),
        (":MODULE", "has no MODULE"),
        (":__name__", "is neither a workflow nor an activity"),
    ],
)
def test_what_is_not_there_is_told(voices: str, attribute: str, complaint: str) -> None:
    with pytest.raises(NothingToRegister, match=complaint):
        registrations_of([voices + attribute])


def test_a_module_without_anything_is_told() -> None:
    with pytest.raises(NothingToRegister, match="neither classes with @workflow"):
        registrations_of(["json"])


def test_a_module_that_lacks_another_is_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacking.py").write_text("import not_installed_anywhere")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        registrations_of(["lacking"])


def test_a_module_that_is_not_there_is_misuse(terminal: Terminal) -> None:
    said = terminal.run("worker no_such_module -t voices")
    assert said.exit_code == 2
    assert said.err.startswith("perdure: there is no module no_such_module here")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_serves_modules_of_its_directory_and_stops_when_asked(
    address: str, terminal: Terminal, voices: str, tmp_path: Path, number: signal.Signals
) -> None:
    # Not in this process's path but in the worker's current directory.
    queue = tmp_path.name
    process = subprocess.Popen(
        [*COMMAND, "worker", voices, f"{voices}:whisperer", "-t", queue, "--address", address],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = terminal.ok(f"workflow execute --type Shouting -t {queue} --json", "-i", '"hey"')
        assert said.json["result"] == "HEY"
        process.send_signal(number)
        _, log = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "workflows: Shouting\n" in log
    assert "activities: shout, whisper\n" in log
    assert log.endswith("worker stopped\n")
