"""`perdure worker list|count|describe` and `perdure worker deployment`."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from google.protobuf.message import Message
from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.worker.v1 import WorkerHeartbeat, WorkerHostInfo, WorkerSlotsInfo
from temporalio.api.workflowservice.v1 import (
    PollNexusTaskQueueRequest,
    RecordWorkerHeartbeatRequest,
)
from temporalio.client import Client

from tests.cli.terminal import Terminal

NAMESPACE = "default"


def call(address: str, rpc: str, request: Message) -> Any:
    """One RPC, by the official client."""

    async def ask() -> Any:
        client = await Client.connect(address)
        return await getattr(client.workflow_service, rpc)(request)

    return asyncio.run(ask())


def told(key: str, queue: str) -> WorkerHeartbeat:
    """What a worker tells of itself."""
    return WorkerHeartbeat(
        worker_instance_key=key,
        worker_identity="me@here",
        task_queue=queue,
        status=WorkerStatus.WORKER_STATUS_SHUTTING_DOWN,
        host_info=WorkerHostInfo(host_name="here", process_id="77", current_host_cpu_usage=0.5),
        activity_task_slots_info=WorkerSlotsInfo(
            slot_supplier_kind="Fixed", total_failed_tasks=3, current_available_slots=41
        ),
    )


def test_workers_are_listed_counted_and_described(terminal: Terminal, address: str) -> None:
    keys, queue = sorted(str(uuid.uuid4()) for _ in range(2)), f"q-{uuid.uuid4()}"
    heartbeats = [told(key, queue) for key in keys]
    request = RecordWorkerHeartbeatRequest(namespace=NAMESPACE, worker_heartbeat=heartbeats)
    call(address, "record_worker_heartbeat", request)
    query = f"--query \"TaskQueue='{queue}'\""
    listed = terminal.ok(f"worker list {query} --json").json_lines
    assert [one["workerInstanceKey"] for one in listed] == keys
    assert len(terminal.ok(f"worker list {query} --limit 1 --json").json_lines) == 1
    assert "shutting down" in terminal.ok(f"worker list {query}").out
    assert terminal.ok(f"worker count {query} --json").json == {"count": 2}
    assert "Total: 2" in terminal.ok(f"worker count {query}").out
    described = terminal.ok(f"worker describe --worker-instance-key {keys[0]}").out
    assert "me@here" in described
    assert "50%" in described
    assert "41" in described
    found = terminal.ok(f"worker describe --worker-instance-key {keys[0]} --json").json
    assert found["workerHeartbeat"]["hostInfo"]["hostName"] == "here"
    missing = terminal.refused("worker describe --worker-instance-key nobody")
    assert "Worker nobody not found" in missing
    assert "malformed query" in terminal.refused("worker list --query 'and and'")


def test_a_deployment_is_routed_and_deleted(terminal: Terminal, address: str) -> None:
    name = f"d-{uuid.uuid4()}"
    deployment = "worker deployment"
    of = f"--deployment-name {name}"
    assert f"{name} is created" in terminal.ok(f"{deployment} create --name {name}").out
    assert "already exists" in terminal.refused(f"{deployment} create --name {name}")
    for build in ("b1", "b2"):
        created = terminal.ok(f"{deployment} create-version {of} --build-id {build} --json")
        assert created.json == {
            "deployment": name,
            "done": f"version {build} of {name} is created",
        }
    asked = terminal.run(f"{deployment} set-current-version {of} --build-id b1")
    assert asked.exit_code == 2, "it asks first"
    said = terminal.ok(
        f"{deployment} set-current-version {of} --build-id b1 --allow-no-pollers --yes"
    )
    assert f"b1 is the current version of {name}" in said.out
    said = terminal.ok(
        f"{deployment} set-ramping-version {of} --build-id b2 --percentage 25"
        " --allow-no-pollers --yes --json"
    )
    assert said.json["deployment"] == name
    described = terminal.ok(f"{deployment} describe {of}").out
    assert "b2 (25%)" in described
    found = terminal.ok(f"{deployment} describe --name {name} --json").json
    assert found["routingConfig"]["currentDeploymentVersion"]["buildId"] == "b1"
    assert name in terminal.ok(f"{deployment} list").out
    listed = terminal.ok(f"{deployment} list --json").json_lines
    assert name in [one["name"] for one in listed]
    terminal.ok(
        f"{deployment} update-version-metadata {of} --build-id b1 --metadata team='\"blue\"'"
        " --metadata gone=1"
    )
    terminal.ok(f"{deployment} update-version-metadata {of} --build-id b1 --remove-entries gone")
    version = terminal.ok(f"{deployment} describe-version {of} --build-id b1").out
    assert '"blue"' in version
    assert "gone" not in version
    terminal.ok(f"{deployment} describe-version {of} --build-id b1 --json")
    terminal.ok(f"{deployment} manager-identity set {of} --manager-identity boss --yes")
    assert "boss" in terminal.ok(f"{deployment} describe {of}").out
    terminal.ok(f"{deployment} manager-identity unset {of} --yes")
    terminal.ok(f"{deployment} set-ramping-version {of} --delete --yes")
    terminal.ok(f"{deployment} set-current-version {of} --unversioned --yes")
    for build in ("b1", "b2"):
        terminal.ok(f"{deployment} delete-version {of} --build-id {build} --skip-drainage --yes")
    terminal.ok(f"{deployment} delete {of} --yes")
    assert terminal.refused(f"{deployment} describe {of}")
    for wrong in (
        f"set-current-version {of}",
        f"set-ramping-version {of} --build-id b1 --unversioned",
        f"manager-identity set {of}",
    ):
        assert terminal.run(f"{deployment} {wrong} --yes").exit_code == 2


def test_a_poll_for_nexus_tasks_brings_what_workers_tell(terminal: Terminal, address: str) -> None:
    key, queue = str(uuid.uuid4()), f"q-{uuid.uuid4()}"
    request = PollNexusTaskQueueRequest(
        namespace=NAMESPACE,
        identity="me",
        task_queue=TaskQueue(name=queue),
        worker_heartbeat=[told(key, queue)],
    )

    async def poll() -> None:
        client = await Client.connect(address)
        service = client.workflow_service
        waiting = asyncio.create_task(service.poll_nexus_task_queue(request))
        async with asyncio.timeout(20):
            while (await asyncio.to_thread(counted))["count"] == 0:
                pass
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    def counted() -> Any:
        return terminal.ok(f"worker count --query \"WorkerInstanceKey='{key}'\" --json").json

    asyncio.run(poll())


def test_what_is_no_command_is_a_module_to_run(terminal: Terminal) -> None:
    for line in ("worker no_such_module -t q", "worker -t q no_such_module"):
        said = terminal.run(line)
        assert said.exit_code == 2
        assert "there is no module no_such_module" in said.err
    assert "there is no module list" in terminal.run("worker run list -t q").err
