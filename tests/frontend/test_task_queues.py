"""DescribeTaskQueue, ListTaskQueuePartitions, UpdateTaskQueueConfig."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.enums.v1 import TaskQueueKind, task_queue_pb2
from temporalio.api.taskqueue.v1 import RateLimit, TaskQueue, TaskQueueMetadata
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    ListTaskQueuePartitionsRequest,
    ListTaskQueuePartitionsResponse,
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    UpdateTaskQueueConfigRequest,
    UpdateTaskQueueConfigResponse,
)

from perdure.transport import Code
from tests.frontend.client import NAMESPACE, QUEUE, Client
from tests.frontend.test_tasks import schedule_activity

WORKFLOW, ACTIVITY = 1, 2
LONG = "x" * 1001
RateLimitUpdate = UpdateTaskQueueConfigRequest.RateLimitUpdate
NOT_FOR_STICKY = (
    "Enhanced DescribeTaskQueue is not valid for a sticky queue,"
    " use api_mode=UNSPECIFIED or a normal queue."
)
STICKY = TaskQueue(name="s", kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY)


def describing(**fields: object) -> DescribeTaskQueueRequest:
    return DescribeTaskQueueRequest(
        **{"namespace": NAMESPACE, "task_queue": TaskQueue(name=QUEUE), **fields}  # type: ignore[arg-type]
    )


async def described(client: Client, **fields: object) -> DescribeTaskQueueResponse:
    return await client.call(describing(**fields), DescribeTaskQueueResponse)


def updating(**fields: object) -> UpdateTaskQueueConfigRequest:
    return UpdateTaskQueueConfigRequest(
        **{  # type: ignore[arg-type]
            "namespace": NAMESPACE,
            "identity": "me",
            "task_queue": QUEUE,
            "task_queue_type": ACTIVITY,
            **fields,
        }
    )


def limit(per_second: float, reason: str = "") -> RateLimitUpdate:
    return RateLimitUpdate(rate_limit=RateLimit(requests_per_second=per_second), reason=reason)


async def test_a_queue_that_nobody_knows_is_described_as_empty(client: Client) -> None:
    found = await described(client, report_stats=True, report_config=True)
    assert not found.pollers
    assert not found.HasField("config")
    assert found.stats.approximate_backlog_count == 0
    assert list(found.stats_by_priority_key) == [3]
    assert found.versioning_info.current_version == "__unversioned__"
    source = found.effective_rate_limit.rate_limit_source
    assert source == task_queue_pb2.RATE_LIMIT_SOURCE_SYSTEM


async def test_what_waits_on_a_queue_and_who_polls_it_is_told(client: Client) -> None:
    for name, key in (("a", 1), ("b", 0), ("c", 0)):
        await client.start(name, priority={"priority_key": key})
    found = await described(client, report_stats=True)
    assert found.stats.approximate_backlog_count == 3
    assert found.stats.approximate_backlog_age.nanos > 0
    assert found.stats.tasks_add_rate > 0
    counts = {
        key: stats.approximate_backlog_count for key, stats in found.stats_by_priority_key.items()
    }
    assert counts == {1: 1, 3: 2}
    await client.poll_workflow_task()
    await client.signal("go", "a")  # Answered when the start of its task is durable.
    found = await described(client, report_stats=True)
    assert found.stats.approximate_backlog_count == 2
    assert found.stats.tasks_dispatch_rate > 0
    [poller] = found.pollers
    assert (poller.identity, poller.rate_per_second) == ("worker", 100_000)
    assert poller.last_access_time.seconds > 0
    assert not (await described(client, task_queue_type=ACTIVITY)).pollers


async def test_all_types_of_a_queue_are_described_at_once(client: Client) -> None:
    await client.start()
    enhanced = task_queue_pb2.DESCRIBE_TASK_QUEUE_MODE_ENHANCED
    found = await described(client, api_mode=enhanced, report_stats=True)
    [version] = found.versions_info.values()
    assert version.types_info[WORKFLOW].stats.approximate_backlog_count == 1
    assert version.types_info[ACTIVITY].stats.approximate_backlog_count == 0
    only = await described(client, api_mode=enhanced, task_queue_types=[ACTIVITY])
    assert list(only.versions_info[""].types_info) == [ACTIVITY]


async def test_the_worker_s_limit_is_honoured_and_the_operator_s_counts_more(
    client: Client,
) -> None:
    await schedule_activity(client)
    poll = PollActivityTaskQueueRequest(
        namespace=NAMESPACE, identity="worker", task_queue=TaskQueue(name=QUEUE)
    )
    poll.task_queue_metadata.CopyFrom(TaskQueueMetadata(max_tasks_per_second={"value": 0}))  # type: ignore[arg-type]
    polled = asyncio.ensure_future(client.call(poll, PollActivityTaskQueueResponse))
    await asyncio.sleep(0)
    while not (found := await described(client, task_queue_type=ACTIVITY)).pollers:
        pass
    assert not polled.done()
    effective = found.effective_rate_limit
    assert effective.rate_limit_source == task_queue_pb2.RATE_LIMIT_SOURCE_WORKER
    [poller] = found.pollers
    assert poller.rate_per_second == 0
    await client.call(updating(update_queue_rate_limit=limit(50)), UpdateTaskQueueConfigResponse)
    assert (await polled).task_token
    found = await described(
        client, task_queue_type=ACTIVITY, include_task_queue_status=True, report_config=True
    )
    assert found.effective_rate_limit.requests_per_second == 50
    source = found.effective_rate_limit.rate_limit_source
    assert source == task_queue_pb2.RATE_LIMIT_SOURCE_API
    assert found.task_queue_status.rate_per_second == 50
    assert found.config.queue_rate_limit.metadata.update_identity == "me"


async def test_a_queue_has_one_partition(client: Client) -> None:
    found = await client.call(
        ListTaskQueuePartitionsRequest(namespace=NAMESPACE, task_queue=TaskQueue(name=QUEUE)),
        ListTaskQueuePartitionsResponse,
    )
    assert [part.key for part in found.workflow_task_queue_partitions] == [QUEUE]
    assert [part.key for part in found.activity_task_queue_partitions] == [QUEUE]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (describing(task_queue=None), "taskQueue is not set"),
        (describing(task_queue=TaskQueue()), "missing task queue name"),
        (describing(task_queue=TaskQueue(name=LONG)), "taskQueue length exceeds limit"),
        (
            describing(task_queue=TaskQueue(name="/_sys/x")),
            "invalid task queue partition name /_sys/x",
        ),
        (
            describing(task_queue=STICKY, report_stats=True),
            "DescribeTaskQueue stats are only supported for the root partition",
        ),
        (
            describing(task_queue=STICKY, api_mode=1),
            NOT_FOR_STICKY,
        ),
        (describing(namespace=""), "Namespace is empty."),
        (
            updating(identity=LONG, update_queue_rate_limit=limit(1)),
            "Identity field too long (max 1000 characters).",
        ),
        (
            updating(update_queue_rate_limit=limit(1, LONG)),
            "UpdateQueueRateLimit.Reason field too long (max 1000 characters).",
        ),
        (
            updating(update_queue_rate_limit=limit(-1)),
            "RequestsPerSecond for UpdateQueueRateLimit rate limit must be non-negative.",
        ),
        (
            updating(update_queue_rate_limit=limit(1), task_queue_type=WORKFLOW),
            "Setting rate limit on workflow task queues is not allowed.",
        ),
        (
            updating(update_fairness_key_rate_limit_default=limit(1), task_queue_type=WORKFLOW),
            "Setting fairness key rate limit on workflow task queues is not allowed.",
        ),
        (
            updating(set_fairness_weight_overrides={"": 1}),
            "fairness weight override key must not be empty",
        ),
        (
            updating(set_fairness_weight_overrides={"c": 0}),
            'invalid fairness weight weight for key "c": must be greater than zero',
        ),
        (
            updating(set_fairness_weight_overrides={"c" * 65: 1}),
            "fairness key length exceeds limit",
        ),
        (
            updating(set_fairness_weight_overrides={"a": 1}, unset_fairness_weight_overrides=["a"]),
            'fairness weight override key "a" present in both set and unset lists',
        ),
        (
            updating(set_fairness_weight_overrides={f"k{number}": 1 for number in range(1001)}),
            "too many fairness weight overrides in request: got 1001, maximum 1000",
        ),
        (updating(task_queue="/_sys/x"), "invalid task queue partition name /_sys/x"),
        (updating(task_queue=LONG), "taskQueue length exceeds limit"),
    ],
)
async def test_what_cannot_be_is_refused(
    client: Client,
    request_: DescribeTaskQueueRequest | UpdateTaskQueueConfigRequest,
    words: str,
) -> None:
    refusal = await client.refusal(request_)
    assert (refusal.code, refusal.message) == (Code.INVALID_ARGUMENT, words)


async def test_what_is_set_of_queues_has_an_end(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.server.matching.configs.CONFIGS_MAX", 2)
    first, second, third = (
        updating(task_queue=name, update_queue_rate_limit=limit(5)) for name in ("a", "b", "c")
    )
    for request in (first, second):
        await client.call(request, UpdateTaskQueueConfigResponse)
    refusal = await client.refusal(third)
    assert (refusal.code, refusal.message) == (
        Code.RESOURCE_EXHAUSTED,
        "the namespace has the configurations of 2 task queues",
    )
    again = updating(task_queue="a", update_queue_rate_limit=limit(7))
    await client.call(again, UpdateTaskQueueConfigResponse)
