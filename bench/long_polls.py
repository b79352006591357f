"""The polling client process: parks many polls in one burst, then starts a workflow for each.

A poll gives no sign of being parked. But frames of one connection are read in order, so when a
GetSystemInfo sent after the polls of its connection is answered, the server has read those polls.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from dataclasses import asdict
from typing import Final

import grpc.aio
import uvloop
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import WorkflowType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    GetSystemInfoRequest,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    StartWorkflowExecutionRequest,
)

from bench.api import CHANNEL_OPTIONS, async_call
from bench.child import Parent
from bench.results import LongPollClientResult
from bench.workloads import NAMESPACE

CHANNELS: Final = 10
CONCURRENT_STARTS: Final = 100
QUEUE: Final = "bench-long-polls"

# A server ends an idle poll with an empty answer after about a minute; the deadline only keeps a
# lost one from hanging.
POLL_TIMEOUT_SECONDS: Final = 90.0
CALL_TIMEOUT_SECONDS: Final = 60.0
PROBES_MAX: Final = 100
PROBE_INTERVAL_SECONDS: Final = 0.05

# The tasks are never completed, and must not time out and be handed out again while polls wait.
WORKFLOW_TASK_TIMEOUT_SECONDS: Final = 120

POLL: Final = PollWorkflowTaskQueueRequest(
    namespace=NAMESPACE, task_queue=TaskQueue(name=QUEUE), identity="bench"
).SerializeToString()


class LongPolls:
    """All polls of a burst, on several connections."""

    def __init__(self, channels: list[grpc.aio.Channel], count: int) -> None:
        self._channels = channels
        self._count = count
        self._polls: list[asyncio.Task[None]] = []
        self._workflows: Counter[str] = Counter()
        self._expired = 0
        self._failed = 0
        self._first_failure = ""
        self._park_seconds = 0.0
        self._ended_while_parking = 0
        self._start_failures = 0

    async def park(self) -> None:
        """Send all polls at once, and return when the server has read them."""
        began = time.perf_counter()
        for number in range(self._count):
            channel = self._channels[number % len(self._channels)]
            self._polls.append(asyncio.create_task(self._poll(channel)))
        await asyncio.sleep(0)  # Lets every poll put its request on the wire before the probes.
        await asyncio.gather(*(self._call_system_info(channel) for channel in self._channels))
        self._park_seconds = time.perf_counter() - began
        self._ended_while_parking = sum(poll.done() for poll in self._polls)

    async def start_and_wait(self) -> LongPollClientResult:
        """Start a workflow for each poll, and return when every poll has ended."""
        began = time.perf_counter()
        numbers = iter(range(self._count))

        async def start_one_after_another(channel: grpc.aio.Channel) -> None:
            for number in numbers:
                await self._start(channel, number)

        async with asyncio.TaskGroup() as group:
            for worker in range(CONCURRENT_STARTS):
                channel = self._channels[worker % len(self._channels)]
                group.create_task(start_one_after_another(channel))
        await asyncio.gather(*self._polls)
        return self._result(time.perf_counter() - began)

    async def _poll(self, channel: grpc.aio.Channel) -> None:
        call = async_call(channel, "PollWorkflowTaskQueue")
        try:
            answer = await call(POLL, timeout=POLL_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            self._failed += 1
            self._first_failure = self._first_failure or f"{error.code()}: {error.details()}"
            return
        if not answer:
            self._expired += 1
            return
        task = PollWorkflowTaskQueueResponse.FromString(answer)
        if task.task_token:
            self._workflows[task.workflow_execution.workflow_id] += 1
        else:
            self._expired += 1

    async def _start(self, channel: grpc.aio.Channel, number: int) -> None:
        request = StartWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_id=f"long-poll-{number}",
            workflow_type=WorkflowType(name="Parked"),
            task_queue=TaskQueue(name=QUEUE),
            workflow_task_timeout=Duration(seconds=WORKFLOW_TASK_TIMEOUT_SECONDS),
            request_id=f"long-poll-{number}",
            identity="bench",
        )
        call = async_call(channel, "StartWorkflowExecution")
        try:
            await call(request.SerializeToString(), timeout=CALL_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            self._start_failures += 1
            self._first_failure = self._first_failure or f"{error.code()}: {error.details()}"

    async def _call_system_info(self, channel: grpc.aio.Channel) -> None:
        """Return when this connection has had an answer; an overwhelmed server may refuse a few."""
        request = GetSystemInfoRequest().SerializeToString()
        call = async_call(channel, "GetSystemInfo")
        for _ in range(PROBES_MAX):
            try:
                await call(request, timeout=CALL_TIMEOUT_SECONDS)
            except grpc.aio.AioRpcError as error:
                self._first_failure = self._first_failure or f"{error.code()}: {error.details()}"
                await asyncio.sleep(PROBE_INTERVAL_SECONDS)
            else:
                return

    def _result(self, seconds: float) -> LongPollClientResult:
        answered = sum(self._workflows.values())
        return LongPollClientResult(
            polls=self._count,
            park_seconds=self._park_seconds,
            ended_while_parking=self._ended_while_parking,
            started=self._count - self._start_failures,
            start_failures=self._start_failures,
            answered=answered,
            duplicates=answered - len(self._workflows),
            expired=self._expired,
            failed=self._failed,
            first_failure=self._first_failure,
            answer_seconds=seconds,
        )


async def main(address: str, count: int) -> None:
    """Park on the parent's first message, start workflows on its second."""
    parent = Parent()
    channels = [
        grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) for _ in range(CHANNELS)
    ]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    long_polls = LongPolls(channels, count)
    parent.send({"ready": True})
    await parent.receive()
    await long_polls.park()
    parent.send({"parked": True})
    await parent.receive()
    result = await long_polls.start_and_wait()
    parent.send({"result": asdict(result)})
    await asyncio.gather(*(channel.close(None) for channel in channels))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
