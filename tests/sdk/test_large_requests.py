"""What is larger than it had better be is warned of, where it is sent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Header, Memo, Payload
from temporalio.api.workflowservice.v1 import (
    RespondWorkflowTaskCompletedRequest,
    StartWorkflowExecutionRequest,
)

from perdure._large_requests import LargeRequests
from perdure.client import Client
from perdure.common import HeaderCodecBehavior
from perdure.service import ConnectConfig, PayloadLimitsConfig, ServiceClient
from perdure.transport.in_process import InProcessTransport

LARGE = Payload(data=b"l" * 2000)
SMALL = Payload(data=b"s")


@dataclass
class Told:
    """What is logged."""

    log: pytest.LogCaptureFixture

    def lines(self) -> list[str]:
        """Each line, up to the RPC's name."""
        return [record.getMessage().partition(" RPC")[0] for record in self.log.records]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Told]:
    with caplog.at_level(logging.WARNING, "perdure.service"):
        yield Told(caplog)


PAYLOADS = "[TMPRL1103] Attempted to upload payloads with size that exceeded the warning limit."
MEMO = "[TMPRL1103] Attempted to upload memo with size that exceeded the warning limit."


def look(request: StartWorkflowExecutionRequest | RespondWorkflowTaskCompletedRequest) -> None:
    limits = LargeRequests(payloads_warn_bytes=1000, memo_warn_bytes=1000)
    limits.look_at("Any", request, request.ByteSize())


def test_values_memos_and_neither_are_told_apart(told: Told) -> None:
    request = StartWorkflowExecutionRequest(header=Header(fields={"x": LARGE}), identity="i" * 2000)
    request.input.payloads.append(SMALL)
    look(request)
    assert told.lines() == []
    request.input.payloads.append(LARGE)
    look(request)
    assert told.lines() == [PAYLOADS]
    del request.input.payloads[:]
    request.memo.CopyFrom(Memo(fields={f"{index}": Payload(data=b"m" * 90) for index in range(12)}))
    look(request)
    assert told.lines() == [PAYLOADS, MEMO]


def test_the_largest_of_all_commands_counts(told: Told) -> None:
    commands = [Command() for _ in range(3)]
    for index, command in enumerate(commands):
        result = command.complete_workflow_execution_command_attributes.result
        result.payloads.append(Payload(data=b"r" * index * 600))
    request = RespondWorkflowTaskCompletedRequest(commands=commands)
    look(request)
    assert told.lines() == [PAYLOADS]
    assert "size: 1206 bytes, limit: 1000 bytes" in told.log.records[0].getMessage()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (PayloadLimitsConfig(), [MEMO]),
        (PayloadLimitsConfig(payloads_warn_size=1024), [PAYLOADS, MEMO]),
        (PayloadLimitsConfig(payloads_warn_size=1024, memo_warn_size=0), [PAYLOADS]),
        (PayloadLimitsConfig(payloads_warn_size=0, memo_warn_size=0), []),
    ],
)
async def test_a_client_warns_from_the_sizes_on_that_it_is_given(
    told: Told, limits: PayloadLimitsConfig, expected: list[str]
) -> None:
    async def answer(*_: object) -> bytes:
        return b""

    method = "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution"
    config = ConnectConfig(target_host="", payload_limits=limits)
    service_client = ServiceClient(config, InProcessTransport({method: answer}))
    client = Client(service_client, header_codec_behavior=HeaderCodecBehavior.NO_CODEC)
    await client.start_workflow(
        "any", "v" * 5000, id="one", task_queue="any", memo={"m": "m" * 3000}
    )
    assert told.lines() == expected
