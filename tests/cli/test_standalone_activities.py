"""Activities without a workflow, from the command line."""

from __future__ import annotations

import uuid

import pytest

from tests.cli.terminal import QUEUE, Terminal

START = "--type greet --start-to-close-timeout 1m"


def new_id() -> str:
    """Of an activity."""
    return uuid.uuid4().hex


@pytest.mark.usefixtures("worker")
def test_an_activity_is_executed(terminal: Terminal) -> None:
    name = new_id()
    line = f"activity execute -a {name} {START} -t {QUEUE} --input"
    assert terminal.ok(line, '"Ada"').out == '"Hello, Ada!"\n'
    again = terminal.ok(f"activity result -a {name} --json").json
    assert again["result"] == "Hello, Ada!"
    assert again["activityId"] == name


@pytest.mark.usefixtures("worker")
def test_what_failed_is_told_and_ends_with_1(terminal: Terminal) -> None:
    line = (
        f"activity execute -a {new_id()} --type break_down --start-to-close-timeout 1m -t {QUEUE}"
    )
    said = terminal.run(f"{line} --retry-maximum-attempts 1 --input", '"rust"')
    assert said.exit_code == 1
    assert "BrokenDown" in said.err
    said = terminal.run(
        f"{line.replace('-a ', '-a x')} --retry-maximum-attempts 1 --json -i", '"x"'
    )
    assert (said.exit_code, said.err) == (1, "")
    assert said.json["failure"]["applicationFailureInfo"]["type"] == "BrokenDown"


def test_one_that_waits_is_described_listed_and_ended(terminal: Terminal) -> None:
    name, queue = new_id(), new_id()
    line = f"activity start -a {name} {START} -t {queue} --static-summary hello --start-delay 1s"
    run_id = terminal.ok(f"{line} --json").json["runId"]
    assert run_id in terminal.ok(f"activity describe -a {name}").out
    assert terminal.ok(f"activity describe -a {name} --json").json["runId"] == run_id
    query = f"TaskQueue = '{queue}'"
    [listed] = terminal.ok("activity list --json --query", query).json_lines
    assert listed["activityId"] == name
    assert name in terminal.ok("activity list --query", query).out
    assert terminal.ok("activity count --json --query", query).json == {"count": 1}
    assert terminal.ok("activity count --query", query).out == "1\n"
    refused = terminal.refused(f"{line} --id-conflict-policy Fail")
    assert "ALREADY_EXISTS" in refused
    same = terminal.ok(f"{line} --id-conflict-policy UseExisting --json").json
    assert same["runId"] == run_id
    terminal.ok(f"activity cancel -a {name} --reason enough")
    terminal.ok(f"activity start -a {name}-2 {START} -t {queue}")
    terminal.ok(f"activity terminate -a {name}-2 --reason enough")
    said = terminal.run(f"activity result -a {name}-2")
    assert said.exit_code == 1
    terminal.ok(f"activity delete -a {name}-2")
    assert "`perdure activity list`" in terminal.refused(f"activity describe -a {name}-2")


def test_one_is_completed_from_outside(terminal: Terminal) -> None:
    name = new_id()
    terminal.ok(f"activity start -a {name} {START} -t {new_id()}")
    terminal.ok(f"activity complete -a {name} --result 1")
    assert terminal.ok(f"activity result -a {name}").out == "1\n"


def test_one_is_paused_changed_reset_and_let_go_on(terminal: Terminal) -> None:
    name, queue = new_id(), new_id()
    retry = "--retry-initial-interval 2s --retry-backoff-coefficient 3 --priority-key 2"
    terminal.ok(f"activity start -a {name} {START} -t {queue} {retry}")
    told = terminal.ok(f"activity pause -a {name} --reason lunch --json").json
    assert told == {"activity": name, "done": "paused"}
    info = terminal.ok(f"activity describe -a {name} --json").json
    assert info["runState"] == "PENDING_ACTIVITY_STATE_PAUSED"
    assert info["priority"]["priorityKey"] == 2
    other = "--heartbeat-timeout 7s --retry-maximum-attempts 3 --start-delay 0s --json"
    options = terminal.ok(f"activity update-options -a {name} {other}").json
    assert options["heartbeatTimeout"] == "7s"
    assert options["retryPolicy"]["maximumAttempts"] == 3
    assert options["retryPolicy"]["initialInterval"] == "2s"
    assert options["startToCloseTimeout"] == "60s"
    terminal.ok(f"activity reset -a {name} --keep-paused --restore-original-options")
    info = terminal.ok(f"activity describe -a {name} --json").json
    assert info["runState"] == "PENDING_ACTIVITY_STATE_PAUSED"
    assert info.get("heartbeatTimeout", "0s") == "0s"
    told = terminal.ok(f"activity unpause -a {name} -r {info['runId']} --json").json
    assert told == {"activity": name, "done": "unpaused"}
    info = terminal.ok(f"activity describe -a {name} --json").json
    assert info["runState"] == "PENDING_ACTIVITY_STATE_SCHEDULED"


@pytest.mark.parametrize(
    "line", ["pause", "unpause", "reset", "update-options --heartbeat-timeout 1s"]
)
def test_one_that_is_not_there_cannot_be_controlled(terminal: Terminal, line: str) -> None:
    assert "`perdure activity list`" in terminal.refused(f"activity {line} -a {new_id()}")


@pytest.mark.parametrize(
    "line",
    [
        "activity start -a x",
        "activity start -a x --type t -t q --id-reuse-policy Nope",
        "activity start -a x --type t -t q --start-to-close-timeout nonsense",
        "activity list --limit 0",
        "activity pause",
        "activity pause --type t",
        "activity unpause -a x --reset-attempts",
        "activity unpause -a x --all",
        "activity reset -a x --all",
        "activity update-options -a x --retry-backoff-coefficient 0.5",
        "activity start -a x --type t -t q --search-attribute nonsense",
    ],
)
def test_what_makes_no_sense_is_refused(terminal: Terminal, line: str) -> None:
    assert terminal.run(line).exit_code == 2


def test_one_without_timeouts_is_refused_by_the_server(terminal: Terminal) -> None:
    assert "INVALID_ARGUMENT" in terminal.refused("activity start -a x --type t -t q")
