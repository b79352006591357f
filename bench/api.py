"""The few calls that the benchmark makes without an SDK, and the channels it makes them on."""

from __future__ import annotations

from typing import Final

import grpc
import grpc.aio

SERVICE: Final = "/temporal.api.workflowservice.v1.WorkflowService/"

# Every channel gets a connection of its own; large histories and lists must fit.
CHANNEL_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)

RETRIED: Final = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE})


def async_call(
    channel: grpc.aio.Channel, method: str
) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    """A method of the workflow service, taking and answering serialised messages."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        SERVICE + method, None, None
    )
    return call
