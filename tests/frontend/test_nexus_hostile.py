"""Handlers that answer what they should not: too much, too deep, or what makes no sense. Codes,
texts and limits are those of the real server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.api.nexus.v1 import Failure as NexusFailure
from temporalio.api.nexus.v1 import (
    HandlerError,
    StartOperationResponse,
    UnsuccessfulOperationError,
)
from temporalio.api.workflowservice.v1 import RespondNexusTaskFailedRequest

from perdure.server.engine.nexus.receiving import HandlerError as Refused
from perdure.server.engine.nexus.receiving import read_completion
from perdure.server.engine.nexus.tokens import HEADER, encode_address
from perdure.server.frontend.services import Services
from perdure.server.machines.nexus.outcomes import (
    HandlerFailed,
    OperationFailed,
    StartOutcome,
    SyncSuccess,
    Unreachable,
)
from perdure.server.machines.ports import DEFAULT_LIMITS
from perdure.transport import CallFailed, Code
from tests.frontend.client import Client
from tests.frontend.nexus_worker import JSON, SYNC, Answer, answering, endpoint, poll, respond
from tests.frontend.test_nexus_calls import address, start_call

BYTES_MAX = 2 * 1024 * 1024
CAUSES = 90
"""As a failure of this depth is served, few can read it; a few more, and nobody can."""


def deep(causes: int = CAUSES) -> dict[str, Any]:
    """One of Temporal's failures as Nexus tells it, with so many causes."""
    told: dict[str, Any] = {"message": "the last"}
    for _ in range(causes):
        told = {"message": "why", "applicationFailureInfo": {"type": "T"}, "cause": told}
    return {
        "message": "why",
        "metadata": {"type": "temporal.api.failure.v1.Failure"},
        "details": told,
    }


def nexus_failure() -> NexusFailure:
    told = deep()
    return NexusFailure(
        message="why", metadata=told["metadata"], details=json.dumps(told["details"]).encode()
    )


def depth(failure: bytes) -> int:
    """How many failures there are in a chain."""
    current, found = Failure.FromString(failure), 1
    while current.HasField("cause"):
        current, found = current.cause, found + 1
    return found


async def started(client: Client, services: Services, answer: Answer) -> StartOutcome:
    made = await endpoint(client)
    async with answering(client, answer):
        return await services.engine.nexus.start(start_call(services, made))


def completion(
    services: Services, state: str, body: bytes = b"{}", **headers: str
) -> tuple[dict[str, str], bytes, int]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    token = {HEADER: encode_address(address(services))}
    json_type = {"content-type": "application/json", "nexus-operation-state": state}
    return {**token, **json_type, **named}, body, DEFAULT_LIMITS.blob_size_bytes_max


async def test_a_failure_keeps_no_more_causes_than_a_history_can_tell(
    client: Client, services: Services
) -> None:
    error = UnsuccessfulOperationError(operation_state="failed", failure=nexus_failure())
    failed = await started(client, services, StartOperationResponse(operation_error=error))
    assert isinstance(failed, OperationFailed)
    assert depth(failed.failure) == DEFAULT_LIMITS.failure_depth_max


async def test_a_handlers_failure_keeps_no_more_causes_than_a_history_can_tell(
    client: Client, services: Services
) -> None:
    error = HandlerError(error_type="INTERNAL", failure=nexus_failure())
    refused = await started(client, services, RespondNexusTaskFailedRequest(error=error))
    assert isinstance(refused, HandlerFailed)
    assert depth(refused.failure) == 1 + DEFAULT_LIMITS.failure_depth_max


def test_a_completion_keeps_no_more_causes_than_a_history_can_tell(services: Services) -> None:
    read = read_completion(*completion(services, "failed", json.dumps(deep()).encode()))
    assert isinstance(read.outcome, OperationFailed)
    assert depth(read.outcome.failure) == DEFAULT_LIMITS.failure_depth_max


async def test_an_operation_that_ended_in_no_known_way_is_an_error_of_its_handler(
    client: Client, services: Services
) -> None:
    error = UnsuccessfulOperationError(
        operation_state="weird", failure=NexusFailure(message="told to nobody")
    )
    refused = await started(client, services, StartOperationResponse(operation_error=error))
    assert isinstance(refused, HandlerFailed)
    assert (refused.error_type, refused.is_retryable) == ("INTERNAL", True)
    assert Failure.FromString(refused.failure).message == ""


async def test_a_result_is_no_larger_than_http_would_carry(
    client: Client, services: Services
) -> None:
    payload = Payload(metadata=JSON, data=b"x" * BYTES_MAX)
    large = StartOperationResponse(sync_success=StartOperationResponse.Sync(payload=payload))
    refused = await started(client, services, large)
    assert refused == Unreachable("http: response body too large", is_retryable=False)


async def test_a_token_that_is_too_long_is_refused_and_the_task_goes_on(
    client: Client, services: Services
) -> None:
    made = await endpoint(client)
    call = asyncio.create_task(services.engine.nexus.start(start_call(services, made)))
    task = await poll(client)
    long = StartOperationResponse.Async(operation_token="t" * 5000)
    with pytest.raises(CallFailed) as refused:
        await respond(client, task.task_token, StartOperationResponse(async_success=long))
    await respond(client, task.task_token, SYNC)
    assert isinstance(await call, SyncSuccess)
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert refused.value.message == "operation token length exceeds allowed limit (5000/4096)"


@pytest.mark.parametrize(
    ("state", "body", "headers", "message"),
    [
        (
            "succeeded",
            b"{}",
            {"nexus_operation_token": "t" * 5000},
            "operation token length exceeds allowed limit (5000/4096)",
        ),
        (
            "failed",
            json.dumps({"message": "m" * BYTES_MAX}).encode(),
            {},
            "failed to read Failure from request body",
        ),
    ],
)
def test_a_completion_that_tells_too_much_is_refused(
    services: Services, state: str, body: bytes, headers: dict[str, str], message: str
) -> None:
    with pytest.raises(Refused) as refused:
        read_completion(*completion(services, state, body, **headers))
    assert (refused.value.error_type, str(refused.value)) == ("BAD_REQUEST", message)
