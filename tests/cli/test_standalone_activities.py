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


@pytest.mark.parametrize(
    "line",
    [
        "activity start -a x",
        "activity start -a x --type t -t q --id-reuse-policy Nope",
        "activity start -a x --type t -t q --start-to-close-timeout nonsense",
        "activity list --limit 0",
    ],
)
def test_what_makes_no_sense_is_refused(terminal: Terminal, line: str) -> None:
    assert terminal.run(line).exit_code == 2


def test_one_without_timeouts_is_refused_by_the_server(terminal: Terminal) -> None:
    assert "INVALID_ARGUMENT" in terminal.refused("activity start -a x --type t -t q")
