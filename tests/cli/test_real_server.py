"""The same commands against Temporal's own server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.terminal import Terminal
from tests.interop.servers import real_server

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    with real_server() as address:
        yield Terminal(address)


def test_a_workflow_is_started_watched_and_stopped(terminal: Terminal) -> None:
    workflow_id = terminal.started("Anything", "-i", '"Ada"', "--memo", "note=1")
    described = terminal.ok(f"workflow describe {workflow_id} --json").json
    assert (described["status"], described["memo"]) == ("RUNNING", {"note": 1})
    terminal.ok(f"workflow signal {workflow_id} --name say", "-i", "1")
    terminal.ok(f"workflow cancel {workflow_id} --reason tired")
    shown = terminal.ok(f"workflow show {workflow_id}").out
    assert 'Anything("Ada")' in shown
    assert "say(1)" in shown
    assert "cancel requested" in shown
    terminal.ok(f"workflow terminate {workflow_id} --reason enough")
    ended = terminal.run(f"workflow result {workflow_id} --json")
    assert (ended.exit_code, ended.json["status"]) == (1, "TERMINATED")


def test_refusals_are_told_in_one_line(terminal: Terminal) -> None:
    assert terminal.refused("workflow show nobody").startswith("workflow not found for ID: nobody")
    assert "there is no namespace 'nowhere'" in terminal.refused("workflow list -n nowhere")
    workflow_id = terminal.started("Anything")
    again = f"workflow start --type Anything -t q -w {workflow_id}"
    assert "has been started already" in terminal.refused(again)
