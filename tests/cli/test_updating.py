"""`update`: what a workflow makes of it, and what is told when it makes nothing."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal

pytestmark = pytest.mark.usefixtures("worker")


def test_an_update_is_sent_and_its_result_printed(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    execute = f"workflow update execute {workflow_id} --name say_later"
    assert terminal.ok(execute, "-i", '"hi"', "--update-id", "one").out == "1\n"
    again = terminal.ok(f"{execute} --json --update-id one", "-i", '"hi"')
    assert again.json == {
        "workflowId": workflow_id,
        "name": "say_later",
        "updateId": "one",
        "result": 1,
    }
    assert terminal.ok(f"workflow result {workflow_id}").out == '"hi"\n'
    known = f"{workflow_id} --update-id one"
    assert terminal.ok(f"workflow update result {known}").out == "1\n"
    assert terminal.ok(f"workflow update result -w {known} --json").json["result"] == 1
    assert terminal.ok(f"workflow update describe {known}").out == "one  Completed  1\n"


def test_an_update_that_takes_long_is_accepted_first(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    start = f"workflow update start {workflow_id} --name say_later --wait-for-stage accepted"
    said = terminal.ok(start, "-i", '"stuck"', "--update-id", "long").out
    assert said == f"update long accepted by {workflow_id}\n"
    assert terminal.ok(f"workflow update describe {workflow_id} --update-id long --json").json == {
        "workflowId": workflow_id,
        "updateId": "long",
        "stage": "Accepted",
    }


def test_what_is_refused_or_fails_is_told(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    execute = f"workflow update execute {workflow_id} --name say_later"
    assert "nothing to say" in terminal.refused(execute, "-i", '""')
    failed = terminal.run(f"{execute} --json --update-id shy", "-i", '"secret"')
    assert failed.exit_code == 1
    assert failed.json["failure"]["message"] == "I will not say that"
    described = terminal.ok(f"workflow update describe {workflow_id} --update-id shy").out
    assert described == "shy  Completed  failed: Shy: I will not say that\n"
    unknown = f"workflow update describe {workflow_id} --update-id never"
    assert 'update "never" not found' in terminal.refused(unknown)
    start = f"workflow update start {workflow_id} --name say_later --wait-for-stage accepted"
    assert "nothing to say" in terminal.refused(start, "-i", '""')
