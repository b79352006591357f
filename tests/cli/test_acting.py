"""`signal`, `cancel`, `terminate`, and what is refused."""

from __future__ import annotations

import time

import pytest

from tests.cli.terminal import QUEUE, Terminal

pytestmark = pytest.mark.usefixtures("worker")


def test_a_signal_arrives_with_its_arguments(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    said = terminal.ok(f"workflow signal {workflow_id} --name say --json", "-i", '"hi"')
    assert said.json == {"workflowId": workflow_id, "done": "signaled"}
    assert terminal.ok(f"workflow result {workflow_id} --json").json["result"] == "hi"
    assert "→ signal" in terminal.ok(f"workflow show {workflow_id}").out


def test_a_cancelled_workflow_ends_as_such(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    terminal.ok(f"workflow cancel {workflow_id} --reason 'no use'")
    said = terminal.run(f"workflow result {workflow_id}")
    assert said.exit_code == 1
    assert said.err == f"perdure: workflow {workflow_id} ended as CANCELED\n"
    shown = terminal.ok(f"workflow show {workflow_id}").out
    assert "→ cancel requested" in shown
    assert "✘ cancelled" in shown


def test_a_terminated_workflow_tells_the_reason(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    said = terminal.ok(f"workflow terminate {workflow_id} --reason 'no use' --json")
    assert said.json == {"workflowId": workflow_id, "done": "terminated"}
    ended = terminal.run(f"workflow result {workflow_id} --json")
    assert ended.exit_code == 1
    assert (ended.json["status"], ended.json["reason"]) == ("TERMINATED", "no use")


@pytest.mark.parametrize(
    "command", ["show", "describe", "result", "cancel", "terminate", "signal --name say"]
)
def test_an_unknown_workflow_is_told_in_one_line(terminal: Terminal, command: str) -> None:
    line = terminal.refused(f"workflow {command} -w nobody")
    assert line == "workflow not found for ID: nobody (`perdure workflow list` shows what there is)"


def test_a_workflow_that_has_ended_takes_no_signals(terminal: Terminal) -> None:
    workflow_id = terminal.started("Sleeping")
    terminal.ok(f"workflow result {workflow_id}")
    line = terminal.refused(f"workflow signal {workflow_id} --name say")
    assert line == "workflow execution already completed (`perdure workflow show` tells how)"


def test_an_unknown_namespace_is_told_in_one_line(terminal: Terminal) -> None:
    assert "there is no namespace 'nowhere'" in terminal.refused("workflow list -n nowhere")
    assert "there is no namespace 'nowhere'" in terminal.refused(
        f"workflow start --type Greeting -t {QUEUE} -n nowhere"
    )


def test_a_server_that_is_not_there_is_told_at_once(terminal: Terminal) -> None:
    began = time.monotonic()
    # Nothing listens on port 1, which only the system may open.
    line = terminal.refused("workflow list --address 127.0.0.1:1")
    assert line == (
        "no server answers at 127.0.0.1:1: start one with `perdure dev`, or say with --address or "
        "PERDURE_ADDRESS where it is"
    )
    assert time.monotonic() - began < 5
