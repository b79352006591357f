"""Activities without a workflow, through the service: started, worked on, waited for, found, and
gone on with after a crash."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api import workflowservice
from temporalio.api.common.v1 import ActivityType, SearchAttributes
from temporalio.api.errordetails.v1 import ActivityExecutionAlreadyStartedFailure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import StartActivityExecutionRequest

from perdure.server.app import Service
from perdure.server.config import Settings
from perdure.transport import Code
from tests.frontend.client import NAMESPACE, QUEUE, Client, detail_of
from tests.frontend.test_search_attributes import add, payload


async def call(client: Client, method: str, **fields: Any) -> Any:
    request = getattr(workflowservice.v1, f"{method}Request")(namespace=NAMESPACE, **fields)
    return await client.call(request, getattr(workflowservice.v1, f"{method}Response"))


def start_request(activity_id: str = "job", **fields: Any) -> StartActivityExecutionRequest:
    return StartActivityExecutionRequest(
        **{
            "namespace": NAMESPACE,
            "activity_id": activity_id,
            "activity_type": ActivityType(name="Job"),
            "task_queue": TaskQueue(name=QUEUE),
            "start_to_close_timeout": Duration(seconds=60),
            **fields,
        }
    )


async def start(client: Client, activity_id: str = "job", **fields: Any) -> str:
    response = await client.call(
        start_request(activity_id, **fields), workflowservice.v1.StartActivityExecutionResponse
    )
    return response.run_id


async def complete(client: Client) -> None:
    task = await client.poll_activity_task()
    await call(client, "RespondActivityTaskCompleted", task_token=task.task_token)


async def test_a_caller_waits_for_the_outcome(client: Client) -> None:
    run_id = await start(client)
    waiting = asyncio.create_task(call(client, "PollActivityExecution", activity_id="job"))
    await complete(client)
    outcome = await waiting
    assert (outcome.run_id, outcome.outcome.HasField("result")) == (run_id, True)


async def test_a_description_with_a_token_waits_for_news(client: Client) -> None:
    run_id = await start(client)
    before = await call(client, "DescribeActivityExecution", activity_id="job")
    waiting = asyncio.create_task(
        call(
            client,
            "DescribeActivityExecution",
            activity_id="job",
            run_id=run_id,
            long_poll_token=before.long_poll_token,
        )
    )
    await asyncio.sleep(0)
    assert not waiting.done()
    await client.poll_activity_task()
    after = await waiting
    assert (before.info.run_state, after.info.run_state) == (1, 2)


async def test_an_id_that_is_taken_is_refused_with_the_run_that_has_it(client: Client) -> None:
    run_id = await start(client, request_id="one")
    refusal = await client.refusal(start_request(request_id="two"))
    assert (refusal.code, str(refusal.message)) == (
        Code.ALREADY_EXISTS,
        "activity execution already started",
    )
    assert detail_of(refusal) == ActivityExecutionAlreadyStartedFailure(
        start_request_id="one", run_id=run_id
    )


async def test_an_activity_and_a_workflow_of_the_same_id_have_nothing_to_do_with_each_other(
    client: Client,
) -> None:
    await client.start("job")
    await start(client)
    await call(client, "TerminateActivityExecution", activity_id="job")
    assert len((await client.poll_workflow_task()).history.events) == 3
    listed = await call(client, "ListWorkflowExecutions")
    assert [run.execution.workflow_id for run in listed.executions] == ["job"]


async def test_they_are_found_by_queries(client: Client) -> None:
    await add(client, K=2)
    for name, value in (("a", "x"), ("b", "y"), ("c", "x")):
        attributes = SearchAttributes(indexed_fields={"K": payload(value)})
        await start(client, name, search_attributes=attributes)
    await call(client, "TerminateActivityExecution", activity_id="a")

    async def found(query: str) -> list[str]:
        listed = await call(client, "ListActivityExecutions", query=query)
        return [run.activity_id for run in listed.executions]

    assert await found("") == ["c", "b", "a"]
    assert await found("K = 'x' AND ExecutionStatus = 'Running'") == ["c"]
    assert await found("ActivityId = 'b' OR ActivityType = 'Nothing'") == ["b"]
    first = await call(client, "ListActivityExecutions", page_size=2)
    rest = await call(
        client, "ListActivityExecutions", page_size=2, next_page_token=first.next_page_token
    )
    assert [run.activity_id for run in [*first.executions, *rest.executions]] == ["c", "b", "a"]
    counted = await call(client, "CountActivityExecutions", query="GROUP BY ExecutionStatus")
    assert [(group.group_values[0].data, group.count) for group in counted.groups] == [
        (b'"Running"', 2),
        (b'"Terminated"', 1),
    ]
    await call(client, "DeleteActivityExecution", activity_id="b")
    assert await found("") == ["c", "a"]


async def opened(path: Path, *, workers_are_dead: bool = False) -> tuple[Service, Client]:
    service = await Service.open(
        Settings(database=str(path)), on_lease_lost=lambda: None, workers_are_dead=workers_are_dead
    )
    return service, Client(service.handlers)


async def test_it_goes_on_when_the_server_comes_back(tmp_path: Path) -> None:
    service, client = await opened(tmp_path / "x.db")
    run_id = await start(client, "taken")
    task = await client.poll_activity_task()
    await start(client, "waiting")
    await start(client, "done")
    await call(client, "RespondActivityTaskCompletedById", activity_id="done")
    await service.close()
    service, client = await opened(tmp_path / "x.db")
    assert (await client.poll_activity_task()).activity_id == "waiting"
    await call(client, "RespondActivityTaskCompleted", task_token=task.task_token)
    outcome = await call(client, "PollActivityExecution", activity_id="taken")
    assert outcome.run_id == run_id
    described = await call(client, "DescribeActivityExecution", activity_id="done")
    assert described.info.status == 2
    await service.close()


async def test_what_a_dead_program_held_is_tried_again_at_once(tmp_path: Path) -> None:
    service, client = await opened(tmp_path / "x.db")
    await start(client)
    assert (await client.poll_activity_task()).attempt == 1
    await service.close()
    service, client = await opened(tmp_path / "x.db", workers_are_dead=True)
    assert (await client.poll_activity_task()).attempt == 2
    await service.close()
