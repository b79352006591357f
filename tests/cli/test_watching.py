"""`list`, `describe` and `show`."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import temporalio.client

from perdure.client import WorkflowHistory
from tests.cli.terminal import QUEUE, Terminal

pytestmark = pytest.mark.usefixtures("worker")

PATIENCE_SECONDS = 30.0


def described_when(
    terminal: Terminal, workflow_id: str, holds: Callable[[Any], bool]
) -> dict[str, Any]:
    """Describe a workflow until it is as wanted."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        described: dict[str, Any] = terminal.ok(f"workflow describe {workflow_id} --json").json
        if holds(described):
            return described
        assert time.monotonic() < deadline, described


def retrying(terminal: Terminal) -> str:
    """A workflow whose activity has failed once."""
    workflow_id = terminal.started("Retrying")
    described_when(terminal, workflow_id, has_failed_activity)
    return workflow_id


def has_failed_activity(described: Any) -> bool:
    return any(activity["lastFailure"] for activity in described["pendingActivities"])


def test_a_list_has_open_runs_first_and_then_the_newest(terminal: Terminal) -> None:
    opened = terminal.started("Waiting")
    closed = [terminal.started("Sleeping") for _ in range(2)]
    for workflow_id in closed:
        terminal.ok(f"workflow result {workflow_id}")
    listed = [run["workflowId"] for run in terminal.ok("workflow list --limit 0 --json").json_lines]
    places = [listed.index(workflow_id) for workflow_id in (opened, closed[1], closed[0])]
    assert places == sorted(places)


def test_a_listed_run_has_these_names(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting", "--memo", "note=1")
    (run,) = terminal.run("workflow list --json --limit 1").json_lines
    assert list(run) == [
        "workflowId",
        "runId",
        "type",
        "status",
        "taskQueue",
        "startTime",
        "executionTime",
        "closeTime",
        "historyLength",
        "parentWorkflowId",
        "parentRunId",
        "memo",
    ]
    assert (run["workflowId"], run["type"], run["status"]) == (workflow_id, "Waiting", "RUNNING")
    assert (run["taskQueue"], run["closeTime"], run["memo"]) == (QUEUE, None, {"note": 1})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", run["startTime"])


def test_a_list_ends_at_its_limit_and_says_so(terminal: Terminal) -> None:
    for _ in range(3):
        terminal.started("Waiting")
    said = terminal.run("workflow list --limit 2")
    assert said.exit_code == 0
    assert len(said.out.splitlines()) == 3
    assert said.out.startswith("STATUS ")
    assert "more than 2" in said.err
    assert len(terminal.ok("workflow list --json --limit 0").json_lines) >= 3


def test_a_row_of_a_list_names_status_id_and_type(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    row = terminal.run("workflow list --limit 1").out.splitlines()[1]
    assert row.split()[:3] == ["RUNNING", workflow_id, "Waiting"]


def test_describe_tells_of_an_activity_that_is_to_be_tried_again(terminal: Terminal) -> None:
    workflow_id = retrying(terminal)
    text = terminal.ok(f"workflow describe {workflow_id}").out
    assert re.search(r"^Workflow id +" + workflow_id + "$", text, re.MULTILINE)
    assert re.search(r"^Status +RUNNING$", text, re.MULTILINE)
    assert "… activity break_down\n  attempt 2, next attempt in 59 m" in text.replace("1 h", "59 m")
    assert "last failure: BrokenDown: no brakes" in text
    assert "caused by ValueError: rust" in text


def test_a_pending_activity_in_json_has_these_names(terminal: Terminal) -> None:
    workflow_id = retrying(terminal)
    (activity,) = terminal.ok(f"workflow describe {workflow_id} --json").json["pendingActivities"]
    assert list(activity) == [
        "activityId",
        "type",
        "state",
        "attempt",
        "maximumAttempts",
        "lastStartedTime",
        "nextAttemptTime",
        "lastFailure",
    ]
    assert (activity["type"], activity["state"]) == ("break_down", "SCHEDULED")
    assert (activity["attempt"], activity["maximumAttempts"]) == (2, 0)
    assert activity["lastFailure"]["message"] == "no brakes"


def test_describe_tells_of_a_workflow_that_no_worker_takes(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting", queue="a-queue-without-workers")
    text = terminal.ok(f"workflow describe {workflow_id}").out
    assert "… workflow task\n  attempt 1, waits for a worker for " in text


def test_show_prints_what_happened_and_how_long_it_took(terminal: Terminal) -> None:
    workflow_id = terminal.started("Greeting", "-i", '"Ada"')
    terminal.ok(f"workflow result {workflow_id}")
    heading, _, *lines = terminal.ok(f"workflow show {workflow_id}").out.splitlines()
    assert heading.startswith(f"{workflow_id}  Greeting  COMPLETED in ")
    took = r"+\d\S* m?s  "
    patterns = [
        r' 1  \+0\.000 s  ▶ started +Greeting\("Ada"\)',
        r' 5  \+\d+\.\d{3} s  · activity scheduled +greet\("Ada"\)',
        rf' 7  \+\d+\.\d{{3}} s  ✔ activity completed {took}greet → "Hello, Ada!"',
        rf'11  \+\d+\.\d{{3}} s  ✔ completed {took}\["Hello, Ada!"\]',
    ]
    for pattern, line in zip(patterns, lines, strict=True):
        assert re.fullmatch(pattern, line), line


def test_show_all_has_every_event(terminal: Terminal) -> None:
    workflow_id = terminal.started("Greeting", "-i", '"Ada"')
    terminal.ok(f"workflow result {workflow_id}")
    _, _, *lines = terminal.ok(f"workflow show {workflow_id} --all").out.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, 12))


def test_show_tells_of_what_is_under_way(terminal: Terminal) -> None:
    workflow_id = retrying(terminal)
    text = terminal.ok(f"workflow show {workflow_id}").out
    assert re.search(r"… activity pending +break_down\n +attempt 2, next attempt in ", text)
    assert "last failure: BrokenDown: no brakes" in text


def test_show_tells_failures_with_their_causes(terminal: Terminal) -> None:
    workflow_id = terminal.started("Failing")
    assert terminal.run(f"workflow result {workflow_id}").exit_code == 1
    text = terminal.ok(f"workflow show {workflow_id}").out
    assert re.search(r"✘ activity failed +\d.* m?s  break_down: BrokenDown: no brakes", text)
    assert re.search(r"✘ failed +\d.* m?s  activity break_down: Activity task failed", text)
    assert len(re.findall(r"^ +caused by ValueError: rust$", text, re.MULTILINE)) == 2


def test_show_tells_of_a_workflow_that_is_not_registered(terminal: Terminal) -> None:
    workflow_id = terminal.started("Unheard")
    described_when(terminal, workflow_id, lambda one: one["historyLength"] >= 4)
    text = terminal.ok(f"workflow show {workflow_id}").out
    assert "✘ workflow task failed" in text
    assert "Workflow class Unheard is not registered on this worker" in text
    terminal.ok(f"workflow terminate {workflow_id}")


def test_the_json_of_a_history_is_the_official_one(terminal: Terminal) -> None:
    workflow_id = terminal.started("Greeting", "-i", '"Ada"')
    terminal.ok(f"workflow result {workflow_id}")
    text = terminal.ok(f"workflow show {workflow_id} --json").out
    ours = WorkflowHistory.from_json(workflow_id, text)
    official = temporalio.client.WorkflowHistory.from_json(workflow_id, text)
    assert list(ours.events) == list(official.events)
    assert len(ours.events) == 11


def test_an_older_run_can_be_asked_for(terminal: Terminal) -> None:
    workflow_id = f"twice-{uuid.uuid4()}"
    start = f"workflow execute --type Greeting -t {QUEUE} -w {workflow_id} --json"
    first = terminal.ok(start, "-i", '"Ada"').json["runId"]
    terminal.ok(start, "-i", '"Grace"')
    assert '"Ada"' in terminal.ok(f"workflow show {workflow_id} -r {first}").out
    assert '"Grace"' in terminal.ok(f"workflow show {workflow_id}").out


def test_the_workflow_id_may_be_an_option(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    said = terminal.ok(f"workflow describe --workflow-id {workflow_id} --json")
    assert said.json["workflowId"] == workflow_id
    for line in ("workflow describe", f"workflow describe {workflow_id} -w another"):
        assert terminal.run(line).exit_code == 2
