"""The codec server of a profile: payloads are encoded before they are sent to the service, and
decoded before they are shown, as Temporal's command line has it done.

All payloads of a message go in one request, but for search attributes, which the service reads.
"""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from temporalio.api.common.v1 import Payload, Payloads, SearchAttributes

from perdure.transport import CallFailed, Code, Transport

TIMEOUT_SECONDS: Final = 10.0
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""A page of history, with room for what decoding adds."""
NAMESPACE: Final = "{namespace}"
"""Stands for the namespace in an endpoint."""


@dataclass(frozen=True)
class CodecServer:
    """Where payloads are encoded and decoded. Raises ValueError for what is no address."""

    endpoint: str
    auth: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.endpoint.startswith(("http://", "https://")):
            raise ValueError(f"{self.endpoint!r} is no address of a codec server: http://...")

    async def encode(self, message: Message, namespace: str) -> None:
        """Replace the payloads of a message by encoded ones. Raises CallFailed."""
        await self._replace(message, "encode", namespace)

    async def decode(self, message: Message, namespace: str) -> None:
        """Replace the payloads of a message by what they hold. Raises CallFailed."""
        await self._replace(message, "decode", namespace)

    async def _replace(self, message: Message, operation: str, namespace: str) -> None:
        found = list(payloads_in(message))
        if not found:
            return
        answered = await asyncio.to_thread(
            self._post, operation, Payloads(payloads=found), namespace
        )
        if len(answered.payloads) != len(found):
            raise self._failed(
                f"{len(found)} payloads became {len(answered.payloads)} by {operation}"
            )
        for payload, replacement in zip(found, answered.payloads, strict=True):
            payload.CopyFrom(replacement)

    def _post(self, operation: str, payloads: Payloads, namespace: str) -> Payloads:
        endpoint = self.endpoint.replace(NAMESPACE, namespace).rstrip("/")
        request = urllib.request.Request(
            f"{endpoint}/{operation}",
            json_format.MessageToJson(payloads, indent=None).encode(),
            {
                "Content-Type": "application/json",
                "X-Namespace": namespace,
                **({"Authorization": self.auth} if self.auth else {}),
                **self.headers,
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                text = response.read(ANSWER_BYTES_MAX)
            return json_format.Parse(text, Payloads())
        except urllib.error.HTTPError as error:
            with error:
                raise self._failed(f"{operation}: {error.code} {error.reason}") from error
        except OSError as error:
            raise self._failed(str(getattr(error, "reason", error))) from error
        except (json_format.ParseError, UnicodeDecodeError) as error:
            raise self._failed(f"{operation}: the answer is no payloads") from error

    def _failed(self, problem: str) -> CallFailed:
        text = f"codec server {self.endpoint}: {problem}"
        return CallFailed(Code.FAILED_PRECONDITION, text)


class CodedTransport:
    """A way to the service on which payloads are encoded, and those of answers decoded."""

    def __init__(self, inner: Transport, codec: CodecServer, namespace: str) -> None:
        self._inner = inner
        self._codec = codec
        self._namespace = namespace
        self.has_connection_per_loop: bool = getattr(inner, "has_connection_per_loop", False)

    async def call(
        self,
        method: str,
        request: bytes,
        metadata: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> bytes:
        """The serialised response of `/package.Service/Method`. Raises CallFailed."""
        found: Any = descriptor_pool.Default().FindMethodByName(
            method.removeprefix("/").replace("/", ".")
        )
        asked = GetMessageClass(found.input_type).FromString(request)
        await self._codec.encode(asked, self._namespace)
        answer = await self._inner.call(
            method, asked.SerializeToString(), metadata, timeout_seconds
        )
        told = GetMessageClass(found.output_type).FromString(answer)
        await self._codec.decode(told, self._namespace)
        return told.SerializeToString()

    async def close(self) -> None:
        """Give up the connection."""
        close = getattr(self._inner, "close", None)
        if close is not None:
            await close()


def payloads_in(message: Message) -> Iterator[Payload]:
    """All payloads of a message and of those in it, but for search attributes."""
    left = [message]
    while left:
        one = left.pop()
        if isinstance(one, Payload):
            yield one
        elif not isinstance(one, SearchAttributes):
            for described, value in one.ListFields():
                left += _messages(described, value)


def _messages(described: FieldDescriptor, value: Any) -> Iterator[Message]:
    kind = described.message_type
    if kind is None:
        return
    if kind.GetOptions().map_entry:
        if kind.fields_by_name["value"].message_type is not None:
            yield from value.values()
    elif described.is_repeated:
        yield from value
    else:
        yield value
