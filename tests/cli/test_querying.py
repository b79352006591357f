"""`query` and `stack`: what a workflow answers, and what is told when it does not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.cli.terminal import Terminal

SHORT = timedelta(seconds=0.3)

pytestmark = pytest.mark.usefixtures("worker")


def test_a_workflow_answers_while_it_runs_and_when_it_has_ended(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    asked = f"workflow query {workflow_id} --name so_far"
    assert terminal.ok(asked).out == "[]\n"
    terminal.ok(f"workflow signal {workflow_id} --name say", "-i", '"hi"')
    assert terminal.ok(f"{asked} -i true --json").json == {
        "workflowId": workflow_id,
        "result": ["HI"],
    }
    terminal.ok(f"workflow result {workflow_id}")
    assert terminal.ok(f"workflow query -w {workflow_id} --type so_far").out == '["hi"]\n'
    refused = terminal.refused(f"{asked} --reject-condition not_open")
    assert refused == f"workflow {workflow_id} was not asked, since it is COMPLETED"


def test_a_workflow_tells_where_it_waits(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    assert "in run" in terminal.ok(f"workflow stack {workflow_id}").out
    said = terminal.ok(f"workflow stack {workflow_id} --json").json
    assert said["workflowId"] == workflow_id
    assert "wait_condition" in said["stack"]


def test_what_no_workflow_answers_is_told_in_one_line(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    line = terminal.refused(f"workflow query {workflow_id} --name what")
    assert line.startswith("the workflow refused to answer: Query handler for 'what' expected")
    line = terminal.refused("workflow query nobody --name what")
    assert line == "workflow not found for ID: nobody (`perdure workflow list` shows what there is)"


def test_a_workflow_without_a_worker_does_not_answer(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.cli.workflow.querying.PATIENCE", SHORT)
    workflow_id = terminal.started("Waiting", queue="deserted")
    line = terminal.refused(f"workflow query {workflow_id} --name so_far")
    assert line.startswith("no worker answered within 0.3s")
