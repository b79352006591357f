"""What a worker tells the service of itself, so that it can be listed."""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerRequest,
    DescribeWorkerResponse,
    ListWorkersRequest,
    ListWorkersResponse,
)

from perdure import activity, workflow
from perdure.client import Client
from perdure.common import RetryPolicy
from perdure.converter import DataConverter, ExternalStorage
from perdure.runtime import Runtime, TelemetryConfig
from perdure.testing import WorkflowEnvironment
from perdure.worker import PollerBehaviorSimpleMaximum, Worker
from tests.sdk.storing import Memory


@activity.defn
async def greet(name: str) -> str:
    """A greeting, or no answer."""
    if name == "nobody":
        raise ValueError("who?")
    return f"Hello, {name}"


@workflow.defn
class Greets:
    """One activity."""

    @workflow.run
    async def run(self, name: str) -> str:
        """What it says."""
        return await workflow.execute_activity(
            greet,
            name,
            schedule_to_close_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


async def told_by(client: Client, query: str) -> list[WorkerHeartbeat]:
    """What the workers told that are listed."""
    response = await client.service_client.call(
        "ListWorkers",
        ListWorkersRequest(namespace=client.namespace, query=query),
        ListWorkersResponse,
    )
    return [one.worker_heartbeat for one in response.workers_info]


async def until(client: Client, query: str, condition: Any) -> WorkerHeartbeat:
    """The only listed worker, once it tells so."""
    async with asyncio.timeout(20):
        while True:
            for told in await told_by(client, query):
                if condition(told):
                    return told
            await asyncio.sleep(0.01)


def runtime(interval: timedelta | None, **options: Any) -> Runtime:
    return Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=interval, **options)


OFTEN = timedelta(milliseconds=20)


async def test_a_worker_is_listed_with_what_it_is_and_how_it_fares() -> None:
    async with await WorkflowEnvironment.start_local(runtime=runtime(OFTEN)) as environment:
        client = environment.client
        worker = Worker(
            client,
            task_queue="listed",
            workflows=[Greets],
            activities=[greet],
            identity="me",
            build_id="b1",
            max_concurrent_activities=7,
            disable_eager_activity_execution=True,
            workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(5),
        )
        async with worker:
            await client.execute_workflow(Greets.run, "you", id="one", task_queue="listed")
            with pytest.raises(Exception, match="Workflow execution failed"):
                await client.execute_workflow(Greets.run, "nobody", id="two", task_queue="listed")
            told = await until(
                client,
                "TaskQueue='listed' AND Status='Running'",
                lambda one: (
                    one.activity_task_slots_info.total_failed_tasks > 0
                    and not one.activity_task_slots_info.current_used_slots
                ),
            )
            described = await client.service_client.call(
                "DescribeWorker",
                DescribeWorkerRequest(
                    namespace=client.namespace, worker_instance_key=told.worker_instance_key
                ),
                DescribeWorkerResponse,
            )
        gone = await until(
            client,
            "WorkerIdentity='me'",
            lambda one: one.status == WorkerStatus.WORKER_STATUS_SHUTTING_DOWN,
        )
    assert (told.worker_identity, told.deployment_version.build_id) == ("me", "b1")
    assert told.sdk_name == "temporal-python"
    host = told.host_info
    assert (host.host_name, host.process_id) == (socket.gethostname(), str(os.getpid()))
    assert 0 < host.current_host_mem_usage < 1
    slots = told.activity_task_slots_info
    assert (slots.current_available_slots, slots.slot_supplier_kind) == (7, "Fixed")
    assert slots.total_processed_tasks > slots.total_failed_tasks
    assert told.workflow_task_slots_info.total_processed_tasks >= 4
    assert told.nexus_task_slots_info.current_available_slots == 0
    assert told.workflow_poller_info.current_pollers == 1
    assert told.workflow_sticky_poller_info.current_pollers == 4
    assert not told.workflow_poller_info.is_autoscaling
    assert told.activity_poller_info.is_autoscaling
    assert told.activity_poller_info.last_successful_poll_time.seconds > 0
    assert told.total_sticky_cache_hit > 0
    assert described.worker_info.worker_heartbeat.worker_instance_key == told.worker_instance_key
    assert gone.worker_instance_key == told.worker_instance_key


async def test_what_it_runs_on_is_told_once_and_only_if_wanted() -> None:
    for wanted in (True, False):
        given = runtime(timedelta(seconds=60), disable_environment_info=not wanted)
        async with await WorkflowEnvironment.start_local(runtime=given) as environment:
            client = environment.client
            async with Worker(client, task_queue="listed", activities=[greet]):
                told = await until(client, "TaskQueue='listed'", lambda _: True)
        assert told.HasField("environment") == wanted


async def test_a_worker_that_is_not_to_tell_anything_is_not_listed() -> None:
    async with await WorkflowEnvironment.start_local(runtime=runtime(None)) as environment:
        client = environment.client
        async with Worker(client, task_queue="silent", workflows=[Greets], activities=[greet]):
            await client.execute_workflow(Greets.run, "you", id="one", task_queue="silent")
        assert await told_by(client, "TaskQueue='silent'") == []


async def test_a_worker_tells_which_kinds_of_storage_drivers_it_has() -> None:
    async with await WorkflowEnvironment.start_local(runtime=runtime(OFTEN)) as environment:
        drivers = [Memory("first"), Memory("second")]
        storage = ExternalStorage(drivers, lambda context, payload: None)
        config = environment.client.config()
        config["data_converter"] = DataConverter(external_storage=storage)
        client = Client(**config)
        async with Worker(client, task_queue="stores", activities=[greet]):
            told = await until(client, "TaskQueue = 'stores'", lambda told: True)
    assert [driver.type for driver in told.drivers] == ["Memory"]
