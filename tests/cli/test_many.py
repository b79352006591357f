"""Commands that act on all workflows that a query finds."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from tests.cli.terminal import Terminal

Started = Callable[[], tuple[str, str]]


@pytest.fixture
def started(terminal: Terminal) -> Started:
    """Starts two workflows that nobody runs; one of their ids, and a query that finds both."""

    def start() -> tuple[str, str]:
        queue = uuid.uuid4().hex
        for number in range(2):
            line = f"workflow start --type T --task-queue {queue} --workflow-id {queue}-{number}"
            terminal.ok(line)
        return f"{queue}-0", f"TaskQueue = '{queue}'"

    return start


def ended(terminal: Terminal, line: str, query: str) -> dict[str, object]:
    """Carry out a command for what a query finds; the batch operation once it is over."""
    job = terminal.ok(f"{line} --rps 1000 --yes --json", "--query", query).json
    assert job["done"] == "started"
    while True:
        found: dict[str, object] = terminal.ok(f"batch describe {job['jobId']} --json").json
        if found["state"] != "BATCH_OPERATION_STATE_RUNNING":
            return found


@pytest.mark.parametrize(
    ("line", "operation"),
    [
        ("workflow signal --name go --input 1", "SIGNAL_WORKFLOW"),
        ("workflow cancel", "CANCEL_WORKFLOW"),
        ("workflow terminate", "TERMINATE_WORKFLOW"),
        ("workflow delete", "DELETE_WORKFLOW"),
        ("workflow reset --type FirstWorkflowTask", "RESET_WORKFLOW"),
        ("activity unpause --all --reset-attempts", "UNPAUSE_ACTIVITY"),
        ("activity unpause --type a --jitter 5s", "UNPAUSE_ACTIVITY"),
        ("activity reset --type a --keep-paused", "RESET_ACTIVITY"),
        ("activity update-options --heartbeat-timeout 7s", "UPDATE_ACTIVITY_OPTIONS"),
        ("activity update-options --type a --restore-original-options", "UPDATE_ACTIVITY_OPTIONS"),
    ],
)
def test_a_query_begins_a_batch(
    terminal: Terminal, started: Started, line: str, operation: str
) -> None:
    _, query = started()
    found = ended(terminal, f"{line} --reason why", query)
    assert found["operationType"] == f"BATCH_OPERATION_TYPE_{operation}"
    assert found["query"] == query
    assert found["reason"] == "why"
    assert found["totalOperationCount"] == "2"


def test_all_that_is_found_is_terminated(terminal: Terminal, started: Started) -> None:
    workflow_id, query = started()
    found = ended(terminal, "workflow terminate", query)
    assert found["completeOperationCount"] == "2"
    assert terminal.ok(f"workflow describe {workflow_id} --json").json["status"] == "TERMINATED"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("workflow terminate x --query y --yes", "one workflow or what a query finds"),
        ("workflow terminate", "WORKFLOW_ID"),
        ("workflow terminate --query y", "Say so with --yes"),
        ("workflow reset --reason r --query y --yes", "FirstWorkflowTask or LastWorkflowTask"),
        ("workflow reset --reason r --query y --yes --type LastContinuedAsNew", "FirstWorkflow"),
        ("activity unpause", "--activity-id"),
        ("activity unpause --type a", "for the activities of workflows"),
        ("activity unpause --query y --yes", "give one of --type"),
        ("activity unpause --query y --yes --activity-id a --all", "one workflow or what a query"),
    ],
)
def test_what_makes_no_sense_is_refused(terminal: Terminal, line: str, words: str) -> None:
    said = terminal.run(line.replace("--query y", "--query \"TaskQueue = 'nobodys'\""))
    assert (said.exit_code, said.out) == (2, "")
    assert words in " ".join(said.err.replace("│", " ").split())


def test_a_query_that_is_none_is_pointed_at(terminal: Terminal) -> None:
    said = terminal.refused("workflow cancel --yes", "--query", "Nope = 1")
    assert "invalid search attribute: Nope" in said


def test_batch_operations_are_looked_for_among_their_own(terminal: Terminal) -> None:
    assert "`perdure batch list`" in terminal.refused("batch describe nobody")
    assert "`perdure batch list`" in terminal.refused("batch stop nobody --reason r")
