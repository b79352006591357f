"""`start`, `execute` and `result`."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND
from tests.cli.terminal import QUEUE, Terminal

pytestmark = pytest.mark.usefixtures("worker")

NOWHERE = "a-queue-without-workers"


def test_execute_prints_the_id_and_the_result(terminal: Terminal) -> None:
    said = terminal.ok(f"workflow execute --type Greeting -t {QUEUE} -w ada", "-i", '"Ada"')
    started, result = said.out.splitlines()
    assert started.startswith("started ada  run ")
    assert result == '["Hello, Ada!"]'


def test_each_input_is_an_argument_and_files_come_last(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    file.write_text("2")
    said = terminal.ok(
        f"workflow execute --type Greeting -t {QUEUE} --json --input-file {file}", "-i", '"Ada"'
    )
    assert said.json["result"] == ["Hello, Ada!"] * 2


def test_an_input_may_come_from_the_standard_input(terminal: Terminal) -> None:
    said = terminal.run(
        f"workflow execute --type Greeting -t {QUEUE} --json --input-file -", stdin='"Ada"'
    )
    assert said.json["result"] == ["Hello, Ada!"]


def test_an_outcome_in_json_has_these_names(terminal: Terminal) -> None:
    said = terminal.ok(f"workflow execute --type Greeting -t {QUEUE} --json", "-i", '"Ada"')
    assert list(said.json) == ["workflowId", "runId", "status", "result", "failure", "reason"]
    assert said.json["status"] == "COMPLETED"
    assert said.json["workflowId"].startswith("Greeting-")


def test_a_failed_workflow_ends_the_command_with_one_and_its_causes(terminal: Terminal) -> None:
    said = terminal.run(f"workflow execute --type Failing -t {QUEUE} -w failing")
    assert said.exit_code == 1
    ended, *causes = said.err.splitlines()
    assert ended == (
        "perdure: workflow failing ended as FAILED: activity break_down: Activity task failed "
        "(maximum attempts reached)"
    )
    assert causes == [
        '  caused by BrokenDown: no brakes [{"where": "here"}]',
        "  caused by ValueError: rust",
    ]


def test_a_failure_in_json_is_that_of_the_protocol(terminal: Terminal) -> None:
    said = terminal.run(f"workflow execute --type Failing -t {QUEUE} --json")
    assert said.exit_code == 1
    assert said.json["status"] == "FAILED"
    assert said.json["result"] is None
    assert said.json["failure"]["cause"]["applicationFailureInfo"]["type"] == "BrokenDown"


def test_result_waits_for_what_was_started_before(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    terminal.ok(f"workflow signal {workflow_id} --name say", "-i", '"good"', "-i", '"bye"')
    assert terminal.ok(f"workflow result {workflow_id}").out == '"good bye"\n'


def test_result_follows_the_runs_of_a_workflow(terminal: Terminal) -> None:
    workflow_id = terminal.started("Successive", "-i", "1")
    said = terminal.ok(f"workflow result {workflow_id} --json").json
    assert said["result"] == said["runId"]


def test_a_wait_that_is_interrupted_says_that_the_workflow_goes_on(
    terminal: Terminal, address: str
) -> None:
    workflow_id = terminal.started("Waiting", queue=NOWHERE)
    screen, its_end = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "workflow", "result", workflow_id, "--address", address],
        stdin=subprocess.DEVNULL,
        stdout=its_end,
        stderr=its_end,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(its_end)
    with open(screen, encoding="utf-8", newline="") as said:
        text = ""
        while f"waiting for {workflow_id}" not in text:
            text += said.read(1)
        process.send_signal(signal.SIGINT)
        while "the workflow goes on" not in text:
            text += said.read(1)
    assert process.wait(20) == 130


def test_result_tells_of_a_workflow_without_a_value(terminal: Terminal) -> None:
    workflow_id = terminal.started("Sleeping")
    assert terminal.ok(f"workflow result {workflow_id}").out == "null\n"


def test_options_of_a_start_arrive(terminal: Terminal) -> None:
    workflow_id = terminal.started(
        "Anything",
        *("--execution-timeout", "2h", "--run-timeout", "1h30m", "--task-timeout", "5s"),
        *("--start-delay", "45m", "--memo", 'note={"a": [1]}', "--memo", "b=2"),
        queue=NOWHERE,
    )
    (started,) = terminal.ok(f"workflow show {workflow_id} --json").json["events"]
    attributes = started["workflowExecutionStartedEventAttributes"]
    assert attributes["workflowExecutionTimeout"] == "7200s"
    assert attributes["workflowRunTimeout"] == "5400s"
    assert attributes["workflowTaskTimeout"] == "5s"
    assert attributes["firstWorkflowTaskBackoff"] == "2700s"
    described = terminal.ok(f"workflow describe {workflow_id} --json").json
    assert described["memo"] == {"note": {"a": [1]}, "b": 2}


def test_a_cron_workflow_waits_for_its_time(terminal: Terminal) -> None:
    workflow_id = terminal.started("Anything", "--cron", "0 0 1 1 *", queue=NOWHERE)
    shown = terminal.ok(f"workflow show {workflow_id}").out
    assert "cron 0 0 1 1 *" in shown
    assert "begins after " in shown


def test_a_second_start_is_refused_with_what_can_be_done(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting", queue=NOWHERE)
    again = f"workflow start --type Waiting -t {NOWHERE} -w {workflow_id}"
    line = terminal.refused(again)
    assert line.startswith(f"workflow '{workflow_id}' has been started already (run ")
    assert "--id-conflict-policy" in line


def test_the_conflict_policy_chooses_between_runs(terminal: Terminal) -> None:
    workflow_id = f"conflict-{uuid.uuid4()}"
    again = f"workflow start --type Waiting -t {NOWHERE} -w {workflow_id} --json"
    first = terminal.ok(again).json["runId"]
    same = terminal.ok(f"{again} --id-conflict-policy UseExisting").json["runId"]
    other = terminal.ok(f"{again} --id-conflict-policy terminateexisting").json["runId"]
    assert same == first
    assert other != first


def test_the_reuse_policy_refuses_an_id_for_good(terminal: Terminal) -> None:
    workflow_id = terminal.started("Sleeping")
    terminal.ok(f"workflow result {workflow_id}")
    again = f"workflow start --type Sleeping -t {QUEUE} -w {workflow_id}"
    assert "already" in terminal.refused(f"{again} --id-reuse-policy RejectDuplicate")
    terminal.ok(again)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("-i", "Ada"), "'Ada' is not JSON"),
        (("-i", "Ada"), """a text needs its quotes: '"Ada"'"""),
        (("--input-file", "nowhere.json"), "No such file"),
        (("--memo", "note"), "'note' is not KEY=JSON"),
        (("--memo", "note=x"), "'x' is not JSON"),
        (("--run-timeout", "5"), "'5' is not a duration"),
        (("--run-timeout", "5 minutes"), "write it like 30s"),
        (("--id-reuse-policy", "Never"), "'Never' is not one of"),
    ],
)
def test_misuse_is_told_and_ends_with_two(
    terminal: Terminal, options: tuple[str, ...], complaint: str
) -> None:
    said = terminal.run(f"workflow start --type Greeting -t {QUEUE}", *options)
    assert said.exit_code == 2
    assert complaint in " ".join(said.err.replace("│", " ").split())
