"""What nobody sends by accident: it is refused in words that its sender understands, and costs
nobody else anything."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import RetryPolicy, WorkflowExecution
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import History
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
    RespondActivityTaskFailedRequest,
    RespondActivityTaskFailedResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    RespondWorkflowTaskFailedRequest,
    RespondWorkflowTaskFailedResponse,
    SignalWorkflowExecutionRequest,
)

from perdure.server.frontend.errors import failure_of
from perdure.server.frontend.services import Services
from perdure.server.machines import errors
from perdure.server.machines.ports import DEFAULT_LIMITS
from perdure.transport import Code
from perdure.transport.session import ANSWER, CALL, FORGET, ServerSession
from sim.checkers.h4_parses import failure_depth
from tests.frontend.client import NAMESPACE, QUEUE, WORKFLOW_ID, Client
from tests.machines.activity_world import schedule_activity

TRAILERS_BYTES_MAX = 8192
"""What a client takes by default: the core of gRPC refuses more at random."""
pack = msgspec.msgpack.encode


def deep_failure() -> Failure:
    """A chain of causes that a request can carry, and the event that it would get could not."""
    failure = Failure(message="root", application_failure_info=ApplicationFailureInfo())
    for depth in range(94):
        failure = Failure(
            message=str(depth), cause=failure, application_failure_info=ApplicationFailureInfo()
        )
    return failure


@pytest.mark.parametrize("row", [(2**63, 0, 0), (0, 0, 2**64 - 1), (0, 2**63, 1)])
async def test_a_made_up_list_token_is_refused(client: Client, row: tuple[int, ...]) -> None:
    request = ListWorkflowExecutionsRequest(namespace=NAMESPACE, next_page_token=pack(row))
    refusal = await client.refusal(request)
    assert (refusal.code, refusal.message) == (Code.INVALID_ARGUMENT, "Invalid NextPageToken.")


@pytest.mark.parametrize("places", [(0,), (-5,), (2**63,), (1, -1), (1, 2**64 - 1)])
async def test_a_made_up_history_token_is_refused(client: Client, places: tuple[int, ...]) -> None:
    run_id = await client.start()
    request = GetWorkflowExecutionHistoryRequest(
        namespace=NAMESPACE,
        execution=WorkflowExecution(workflow_id=WORKFLOW_ID),
        next_page_token=pack((run_id, *places)),
    )
    refusal = await client.refusal(request)
    assert (refusal.code, refusal.message) == (Code.INVALID_ARGUMENT, "Invalid NextPageToken.")


async def test_an_id_of_any_length_is_just_not_found(client: Client, services: Services) -> None:
    for number in range(3):
        execution = WorkflowExecution(workflow_id=f"{number}" * 1_000_000)
        for request in (
            SignalWorkflowExecutionRequest(
                namespace=NAMESPACE, workflow_execution=execution, signal_name="s"
            ),
            DescribeWorkflowExecutionRequest(namespace=NAMESPACE, execution=execution),
            GetWorkflowExecutionHistoryRequest(namespace=NAMESPACE, execution=execution),
        ):
            refusal = await client.refusal(request)
            assert refusal.code is Code.NOT_FOUND
            assert len(refusal.message) + len(refusal.details) * 4 / 3 < TRAILERS_BYTES_MAX
    cached = services.engine.cache.executions()  # type: ignore[attr-defined]
    assert not cached, "nothing is remembered of them"


async def test_the_name_of_a_namespace_that_is_not_there_does_not_burst_the_answer(
    client: Client,
) -> None:
    refusal = await client.refusal(DescribeNamespaceRequest(namespace="n" * 100_000))
    assert refusal.code is Code.NOT_FOUND
    assert len(refusal.message) + len(refusal.details) * 4 / 3 < TRAILERS_BYTES_MAX


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\U0001f600"])
def test_a_long_message_is_cut_between_characters(letter: str) -> None:
    failure = failure_of(errors.NotFound(letter * 100_000), "Method")
    assert failure.message.rstrip(".").strip(letter) == ""
    encoded = len(failure.message.encode()) * (1 if letter == "x" else 3)
    assert encoded + len(failure.details) * 4 / 3 < TRAILERS_BYTES_MAX


async def test_no_worker_makes_a_history_that_cannot_be_read(client: Client) -> None:
    await client.start()
    task = await client.poll_workflow_task()
    await client.call(
        RespondWorkflowTaskFailedRequest(task_token=task.task_token, failure=deep_failure()),
        RespondWorkflowTaskFailedResponse,
    )
    task = await client.poll_workflow_task()
    await client.call(
        RespondWorkflowTaskCompletedRequest(
            task_token=task.task_token,
            commands=[schedule_activity(queue=QUEUE, retry=RetryPolicy(maximum_attempts=1))],
        ),
        RespondWorkflowTaskCompletedResponse,
    )
    activity = await client.poll_activity_task()
    await client.call(
        RespondActivityTaskFailedRequest(task_token=activity.task_token, failure=deep_failure()),
        RespondActivityTaskFailedResponse,
    )
    history: History = (await client.history()).history
    depths = [depth for depth in map(failure_depth, history.events) if depth]
    assert depths == [DEFAULT_LIMITS.failure_depth_max] * 2


async def test_a_sticky_queue_must_have_a_usable_name(client: Client) -> None:
    await client.start()
    task = await client.poll_workflow_task()
    request = RespondWorkflowTaskCompletedRequest(task_token=task.task_token)
    request.sticky_attributes.worker_task_queue.CopyFrom(TaskQueue(name="q" * 100_000))
    request.sticky_attributes.schedule_to_start_timeout.CopyFrom(Duration(seconds=5))
    refusal = await client.refusal(request)
    assert (refusal.code, refusal.message) == (
        Code.INVALID_ARGUMENT,
        "taskQueue length exceeds limit",
    )


class _State:
    async def close(self) -> None:
        """Nothing is kept."""


async def _echo(request: bytes, caller: object) -> bytes:
    return request


@pytest.mark.parametrize(
    "frames",
    [
        [[CALL]],
        [[CALL, 1]],
        [[CALL, [], "m", b"", None, None]],
        [[CALL, 1, 2, b"", None, None]],
        [[CALL, 1, "m", "text", None, None]],
        [[CALL, 1, "m", b"", "soon", None]],
        [[CALL, 1, "m", b"", None, "headers"]],
        [[CALL, 1, "m", b"", None, None], [CALL, 1, "m", b"", None, None]],
        [[FORGET]],
        [[FORGET, {}]],
        [5],
        5,
    ],
)
async def test_frames_that_are_none_end_a_session_as_the_fault_of_its_peer(frames: object) -> None:
    session = ServerSession({"m": _echo}, _State(), lambda message: None)
    with pytest.raises(msgspec.MsgspecError):
        session.receive(pack(frames))
    await session.close()


async def test_unknown_and_empty_frames_are_passed_over() -> None:
    sent: asyncio.Queue[bytes] = asyncio.Queue()
    session = ServerSession({"m": _echo}, _State(), sent.put_nowait)
    session.receive(pack([[], [99, "later"], [CALL, 7, "m", b"hello", None, None, "later"]]))
    frames = msgspec.msgpack.decode(await sent.get())
    while [ANSWER, 7, b"hello"] not in frames:
        frames += msgspec.msgpack.decode(await sent.get())
    await session.close()


async def test_a_call_that_is_forgotten_before_it_began_leaves_nothing() -> None:
    sent: asyncio.Queue[bytes] = asyncio.Queue()
    session = ServerSession({"m": _echo}, _State(), sent.put_nowait)
    session.receive(pack([[CALL, 1, "m", b"hello", None, None], [FORGET, 1]]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # Its number is free again, so that nothing is kept of it.
    session.receive(pack([[CALL, 1, "m", b"again", None, None]]))
    frames = msgspec.msgpack.decode(await sent.get())
    while [ANSWER, 1, b"again"] not in frames:
        frames += msgspec.msgpack.decode(await sent.get())
    await session.close()
