"""`namespace`, `search-attribute`, `task-queue`, `batch`, `activity`, `cluster`, and what operators
do to workflows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.cli.terminal import QUEUE, Terminal


def eventually(look: Callable[[], Any], wanted: object) -> None:
    """Wait until the server has done what it does by itself."""
    deadline = time.monotonic() + 20
    while (found := look()) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def new_name(prefix: str = "n") -> str:
    """A name of nobody's."""
    return f"{prefix}-{uuid.uuid4()}"


def test_a_namespace_is_made_changed_and_deleted(terminal: Terminal) -> None:
    name = new_name()
    said = terminal.ok(f"namespace create {name} --retention 48h --data a=b --description x --json")
    assert said.json == {"namespace": name, "done": "created"}
    terminal.ok(f"namespace update {name} --retention 2d3h --email me@example.com")
    told = terminal.ok(f"namespace describe {name}").out
    assert "2 d 3 h" in told
    assert "me@example.com" in told
    found = terminal.ok(f"namespace describe {name} --json").json
    assert found["namespaceInfo"]["data"] == {"a": "b"}
    assert name in terminal.ok("namespace list").out
    assert terminal.run(f"namespace delete {name}").exit_code == 2, "it asks first"
    assert "is deleted" in terminal.ok(f"namespace delete {name} --yes").out
    assert name not in terminal.ok("namespace list").out.split()
    assert terminal.run(f"namespace create {new_name()} --data nothing").exit_code == 2
    assert "valid retention" in terminal.refused(f"namespace create {new_name()} --retention 1s")


def test_search_attributes_are_made_listed_and_removed(terminal: Terminal) -> None:
    name = new_name()
    terminal.ok(f"namespace create {name}")
    terminal.ok(f"search-attribute create customer=Keyword amount=Int -n {name}")
    found = terminal.ok(f"search-attribute list -n {name} --json").json
    assert found["customAttributes"] == {"amount": "Int", "customer": "Keyword"}
    assert found["systemAttributes"]["WorkflowType"] == "Keyword"
    assert "customer" in terminal.ok(f"search-attribute list -n {name}").out
    terminal.ok(f"search-attribute remove amount -n {name} --yes")
    found = terminal.ok(f"search-attribute list -n {name} --json").json
    assert found["customAttributes"] == {"customer": "Keyword"}
    assert terminal.run(f"search-attribute create x=Nothing -n {name}").exit_code == 2


def test_an_endpoint_is_made_changed_and_deleted(terminal: Terminal) -> None:
    name = new_name("e")
    to_workers = "--target-namespace default --target-task-queue q"
    made = terminal.ok(f"nexus endpoint create {name} {to_workers} --description why --json").json
    assert (made["spec"]["name"], made["done"]) == (name, "created")
    assert "already registered" in terminal.refused(f"nexus endpoint create {name} {to_workers}")
    told = terminal.ok(f"nexus endpoint get {name}").out
    assert "q in default" in told
    assert "why" in told
    terminal.ok(f"nexus endpoint update {name} --target-task-queue other --description ''")
    found = terminal.ok(f"nexus endpoint get {name} --json").json["spec"]
    assert found == {
        "name": name,
        "target": {"worker": {"namespace": "default", "taskQueue": "other"}},
    }
    terminal.ok(f"nexus endpoint update {name} --target-url http://localhost/x")
    assert "http://localhost/x" in terminal.ok("nexus endpoint list").out
    listed = terminal.ok("nexus endpoint list --json").json
    assert name in {endpoint["spec"]["name"] for endpoint in listed}
    for wrong in ("", "--target-namespace default", f"{to_workers} --target-url http://localhost"):
        assert terminal.run(f"nexus endpoint create x {wrong}").exit_code == 2
    assert terminal.run(f"nexus endpoint delete {name}").exit_code == 2, "it asks first"
    assert "deleted" in terminal.ok(f"nexus endpoint delete {name} --yes").out
    assert "there is no endpoint" in terminal.refused(f"nexus endpoint get {name}")


def test_a_task_queue_is_described_and_limited(terminal: Terminal) -> None:
    queue = new_name("queue")
    terminal.ok(f"workflow start --type Greeting -t {queue}")
    found = terminal.ok(f"task-queue describe {queue} --json").json
    assert found["workflow"]["stats"]["approximateBacklogCount"] == "1"
    assert "workflow" in terminal.ok(f"task-queue describe {queue} --type workflow").out
    terminal.ok(f"task-queue config {queue} --rps 5 --reason slow")
    found = terminal.ok(f"task-queue describe {queue} --type activity --json").json
    limit = found["activity"]["config"]["queueRateLimit"]["rateLimit"]["requestsPerSecond"]
    assert limit == 5
    terminal.ok(f"task-queue config {queue} --unlimited --json")
    for wrong in ("describe x --type nothing", "config x", "config x --type nothing --rps 1"):
        assert terminal.run(f"task-queue {wrong}").exit_code == 2


def test_a_batch_is_started_watched_and_stopped(terminal: Terminal) -> None:
    queue, job = new_name("queue"), new_name("job")
    names = [new_name("w") for _ in range(3)]
    for name in names:
        terminal.ok(f"workflow start --type Greeting -t {queue} -w {name}")
    query = f"TaskQueue='{queue}'"
    common = ["--query", query, "--reason", "because", "--yes"]
    terminal.ok(f"batch start signal --name go -i 1 --job-id {job}", *common)

    def state(job_id: str) -> object:
        return terminal.ok(f"batch describe {job_id} --json").json["state"]

    eventually(lambda: state(job), "BATCH_OPERATION_STATE_COMPLETED")
    assert "3 of 3" in terminal.ok(f"batch describe {job}").out
    assert "→ signal" in terminal.ok(f"workflow show {names[0]}").out
    slow = terminal.ok("batch start terminate --rps 0.001 --json", *common).json["jobId"]
    terminal.ok(f"batch stop {slow} --reason enough")
    assert state(slow) == "BATCH_OPERATION_STATE_FAILED"
    listed = [line.split()[0] for line in terminal.ok("batch list").out.splitlines()[1:]]
    assert listed.index(slow) < listed.index(job)
    assert job in terminal.ok("batch list --json").out
    assert "not found" in terminal.refused("batch describe nobody")
    assert terminal.run("batch start bake --yes -q x --reason y").exit_code == 2
    assert terminal.run("batch start signal --yes -q x --reason y").exit_code == 2


@pytest.mark.usefixtures("worker")
def test_activities_are_paused_given_options_reset_and_ended(terminal: Terminal) -> None:
    workflow_id = terminal.started("Retrying")

    def pending() -> dict[str, Any]:
        told = terminal.ok(f"workflow describe {workflow_id} --json").json["pendingActivities"]
        return told[0] if told else {}

    eventually(lambda: pending().get("attempt", 0) > 1, True)
    activity_id = pending()["activityId"]
    one = f"-w {workflow_id} -a {activity_id}"
    terminal.ok(f"activity pause {one} --reason why --json")
    terminal.ok(f"activity update-options {one} --retry-maximum-attempts 9 --heartbeat-timeout 7s")
    options = terminal.ok(f"activity update-options {one} --start-to-close-timeout 1m --json").json
    assert options["retryPolicy"]["maximumAttempts"] == 9
    assert options["heartbeatTimeout"] == "7s"
    terminal.ok(f"activity reset {one} --keep-paused")
    terminal.ok(f"activity unpause -w {workflow_id} --all")
    assert terminal.run(f"activity pause -w {workflow_id}").exit_code == 2


@pytest.mark.usefixtures("worker")
def test_activities_are_ended_from_outside(terminal: Terminal) -> None:
    ids = [terminal.started("Outside") for _ in range(2)]

    def is_started(workflow_id: str) -> bool:
        told = terminal.ok(f"workflow describe {workflow_id} --json").json["pendingActivities"]
        return bool(told) and told[0]["state"] == "STARTED"

    for workflow_id in ids:
        eventually(partial(is_started, workflow_id), True)
    terminal.ok(f"activity complete -w {ids[0]} -a later", "--result", '"done"')
    assert terminal.ok(f"workflow result {ids[0]} --json").json["result"] == "done"
    terminal.ok(f"activity fail -w {ids[1]} -a later --reason broken --detail 1 --json")
    assert "broken" in terminal.run(f"workflow result {ids[1]}").err
    assert "already completed" in terminal.refused(f"activity complete -w {ids[1]} -a later")


def test_the_server_tells_of_itself(terminal: Terminal) -> None:
    assert terminal.ok("cluster health").out == "SERVING\n"
    assert terminal.ok("cluster health --json").json == {"status": "SERVING"}
    assert terminal.ok("cluster system --json").json["serverVersion"]
    assert terminal.ok("cluster describe --json").json["clusterName"] == "active"
    assert "version" in terminal.ok("cluster system").out
    assert "store" in terminal.ok("cluster describe").out


# ---- workflows


def test_workflows_are_counted(terminal: Terminal) -> None:
    queue = new_name("queue")
    for _ in range(2):
        terminal.ok(f"workflow start --type Greeting -t {queue}")
    query = f"TaskQueue='{queue}'"
    assert terminal.ok("workflow count -q", query).out == "2 workflows\n"
    grouped = terminal.ok("workflow count --json -q", f"{query} GROUP BY ExecutionStatus").json
    assert grouped == {"count": 2, "groups": [{"values": ["Running"], "count": 2}]}
    assert "Running" in terminal.ok("workflow count -q", f"{query} GROUP BY ExecutionStatus").out


def test_a_deleted_workflow_is_not_there(terminal: Terminal) -> None:
    name = new_name("w")
    terminal.ok(f"workflow start --type Greeting -t {new_name()} -w {name}")
    assert terminal.ok(f"workflow delete {name} --json").json["done"] == "deleted"
    assert "not found" in terminal.refused(f"workflow describe {name}")
    assert "not found" in terminal.refused(f"workflow delete {name}")


@pytest.mark.usefixtures("worker")
def test_a_workflow_is_reset_to_where_it_was(terminal: Terminal) -> None:
    workflow_id = terminal.started("Greeting", "-i", '"you"')
    terminal.ok(f"workflow result {workflow_id}")
    first = terminal.ok(f"workflow describe {workflow_id} --json").json["runId"]
    said = terminal.ok(f"workflow reset {workflow_id} --reason r --type firstworkflowtask --json")
    assert said.json["runId"] != first
    assert terminal.ok(f"workflow result {workflow_id} --json").json["result"] == ["Hello, you!"]
    terminal.ok(f"workflow reset -w {workflow_id} --reason r --event-id 4 --reapply-exclude All")
    terminal.ok(f"workflow reset -w {workflow_id} -r {first} --reason r --type LastWorkflowTask")
    assert terminal.run(f"workflow reset {workflow_id} --reason r").exit_code == 2
    refused = terminal.refused(f"workflow reset {workflow_id} --reason r -t LastContinuedAsNew")
    assert "not continued" in refused


@pytest.mark.usefixtures("worker")
def test_a_signal_starts_what_does_not_run(terminal: Terminal) -> None:
    name = new_name("w")
    command = f"workflow signal-with-start --type Waiting -t {QUEUE} -w {name} --signal-name say"
    terminal.ok(command, "--signal-input", '"hi"')
    assert terminal.ok(f"workflow result {name} --json").json["result"] == "hi"


def test_priority_is_changed(terminal: Terminal) -> None:
    name = new_name("w")
    terminal.ok(f"workflow start --type Greeting -t {new_name()} -w {name}")
    told = terminal.ok(f"workflow update-options {name} --priority-key 2 --json").json
    assert told["options"]["priority"] == {"priorityKey": 2}
    assert "priorityKey" in terminal.ok(f"workflow update-options {name} --priority-key 3").out
    assert terminal.run(f"workflow update-options {name}").exit_code == 2


def test_the_version_that_a_workflow_goes_on_with_is_changed(terminal: Terminal) -> None:
    name = new_name("w")
    terminal.ok(f"workflow start --type Greeting -t {new_name()} -w {name}")
    command = f"workflow update-options {name} --versioning-override-behavior"
    assert terminal.ok(f"{command} auto_upgrade").out == "version  the current one\n"
    told = terminal.ok(f"{command} unspecified --json").json
    assert told["options"].get("versioningOverride") is None
    assert terminal.run(f"{command} pinned").exit_code == 2
    assert terminal.run(f"{command} auto_upgrade --versioning-override-build-id 1").exit_code == 2
    version = "--versioning-override-deployment-name d --versioning-override-build-id 1"
    assert terminal.run(f"workflow update-options {name} {version}").exit_code == 2
    # No worker of that version was ever there.
    assert "d" in terminal.refused(f"{command} pinned {version}")


def test_pausing_is_refused_while_it_is_off(terminal: Terminal) -> None:
    name = new_name("w")
    terminal.ok(f"workflow start --type Greeting -t {new_name()} -w {name}")
    assert "not enabled" in terminal.refused(f"workflow pause {name} --reason x")
    assert terminal.run(f"workflow unpause {name}").exit_code == 1


@pytest.mark.usefixtures("worker")
def test_a_workflow_is_traced_with_its_children(terminal: Terminal) -> None:
    workflow_id = terminal.started("Parent")
    terminal.ok(f"workflow result {workflow_id}")
    told = terminal.ok(f"workflow trace {workflow_id}").out
    assert f"COMPLETED Parent {workflow_id}" in told
    assert "COMPLETED Greeting" in told
    tree = terminal.ok(f"workflow trace {workflow_id} --json").json
    assert [child["type"] for child in tree["children"]] == ["Greeting"]


@pytest.mark.usefixtures("worker")
def test_a_workflow_tells_what_it_understands(terminal: Terminal) -> None:
    workflow_id = terminal.started("Waiting")
    told = terminal.ok(f"workflow metadata {workflow_id}").out
    assert "say" in told
    found = terminal.ok(f"workflow metadata {workflow_id} --json").json
    assert found["definition"]["type"] == "Waiting"
