"""Every play in `plays/` goes as it is written."""

from __future__ import annotations

import os
import pathlib

import pytest

from tests.machines.play import SCENES, inputs_of, perform

PLAYS = sorted(pathlib.Path(__file__).with_name("plays").glob("*.txt"))
IS_WRITING = bool(os.environ.get("PERDURE_WRITE_PLAYS"))


@pytest.mark.parametrize("path", PLAYS, ids=lambda path: path.stem)
def test_the_play_goes_as_written(path: pathlib.Path) -> None:
    script = path.read_text()
    performed = perform(script)
    if IS_WRITING:
        path.write_text(performed)
    assert performed == path.read_text()


def test_every_kind_of_input_is_in_some_play() -> None:
    played = {line.split()[0] for path in PLAYS for line in inputs_of(path.read_text())}
    assert played == set(SCENES)


def test_a_play_that_goes_differently_is_noticed() -> None:
    script = perform("start\npoll\nsignal go\n")
    assert "buffer WorkflowExecutionSignaled" in script
    wrong = script.replace("signal_name=go", "signal_name=gone")
    assert perform(wrong) == script
