"""Payload codecs: payloads to payloads, for compression or encryption."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure

_Transform = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]


class PayloadCodec(ABC):
    """Transforms payloads. Runs outside workflows, so it may use the network and need not be
    deterministic."""

    @abstractmethod
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """At least one payload for those given, and not more. The given ones stay as they are."""

    @abstractmethod
    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """What `encode` was given. The given ones stay as they are."""

    async def encode_wrapper(self, payloads: Payloads) -> None:
        """Encode what a message holds, in place."""
        await _replace(payloads, self.encode)

    async def decode_wrapper(self, payloads: Payloads) -> None:
        """Decode what a message holds, in place."""
        await _replace(payloads, self.decode)

    async def encode_failure(self, failure: Failure) -> None:
        """Encode every payload of a failure and of its causes, in place."""
        await _transform_failure(failure, self.encode)

    async def decode_failure(self, failure: Failure) -> None:
        """Decode every payload of a failure and of its causes, in place."""
        await _transform_failure(failure, self.decode)


async def _transform_failure(failure: Failure, transform: _Transform) -> None:
    for one in chain_of(failure):
        if one.HasField("encoded_attributes"):
            one.encoded_attributes.CopyFrom((await transform([one.encoded_attributes]))[0])
        details = details_of(one)
        if details is not None:
            await _replace(details, transform)


async def _replace(payloads: Payloads, transform: _Transform) -> None:
    transformed = await transform(payloads.payloads)
    del payloads.payloads[:]
    payloads.payloads.extend(transformed)


def chain_of(failure: Failure) -> Iterator[Failure]:
    """A failure, its cause, the cause of that, and so on."""
    yield failure
    while failure.HasField("cause"):
        failure = failure.cause
        yield failure


def details_of(failure: Failure) -> Payloads | None:
    """The user's values in one failure, its causes apart; None when it holds none."""
    kind = failure.WhichOneof("failure_info")
    field = _DETAILS.get(kind or "")
    if kind is None or field is None:
        return None
    info = getattr(failure, kind)
    return getattr(info, field) if info.HasField(field) else None


_DETAILS = {
    "application_failure_info": "details",
    "timeout_failure_info": "last_heartbeat_details",
    "canceled_failure_info": "details",
    "reset_workflow_failure_info": "last_heartbeat_details",
}
"""Which field of which kind of failure holds values of the user's."""
