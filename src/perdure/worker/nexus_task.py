"""One Nexus task: the start or the cancellation of an operation, until it is answered."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from nexusrpc import Content, HandlerError, HandlerErrorType
from nexusrpc.handler import OperationTaskCancellation
from temporalio.api.common.v1 import Payload
from temporalio.api.workflowservice.v1 import PollNexusTaskQueueResponse

from perdure.activity import _Flag
from perdure.converter import DataConverter
from perdure.converter.payload_path import PayloadPath
from perdure.converter.validation import is_payload_validation_error

TIMED_OUT: Final = "TIMED_OUT"
WORKER_SHUTDOWN: Final = "WORKER_SHUTDOWN"

_TIMEOUT_HEADER = "request-timeout"
_TIMEOUT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|us|µs|ns)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def time_limit(task: PollNexusTaskQueueResponse) -> timedelta | None:
    """How long the caller waits for the answer; None when it does not say."""
    for name, value in task.request.header.items():
        if name.lower() == _TIMEOUT_HEADER:
            found = _TIMEOUT.fullmatch(value.strip())
            if found is not None:
                return timedelta(seconds=float(found[1]) * _UNIT_SECONDS[found[2]])
    return None


def deadline_after(limit: timedelta | None) -> datetime | None:
    """Until when the answer is waited for."""
    return None if limit is None else datetime.now(UTC) + limit


class TaskCancellation(OperationTaskCancellation):
    """Tells the handler, on the loop or in a thread, that nobody waits for its answer any more."""

    def __init__(self) -> None:
        self._flag = _Flag()
        self._lock = threading.Lock()
        self._reason: str | None = None

    def is_cancelled(self) -> bool:
        """Whether nobody waits."""
        return self._flag.is_set()

    def cancellation_reason(self) -> str | None:
        """Why nobody waits."""
        with self._lock:
            return self._reason

    def wait_until_cancelled_sync(self, timeout: float | None = None) -> bool:
        """Blocks until nobody waits, or the timeout has passed; whether nobody waits."""
        self._flag.wait_sync(timeout)
        return self._flag.is_set()

    async def wait_until_cancelled(self) -> None:
        """Waits until nobody waits."""
        await self._flag.wait()

    def cancel(self, reason: str) -> None:
        """Nobody waits; the first reason counts."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
        self._flag.set()


@dataclass(eq=False)
class RunningTask:
    """What is kept of a task while its handler runs."""

    cancellation: TaskCancellation
    running: asyncio.Task[None] | None = None

    def cancel(self, reason: str) -> None:
        """Has the handler stop."""
        self.cancellation.cancel(reason)
        if self.running is not None:
            self.running.cancel()


class InputSerializer:
    """Reads the input of an operation, by the type that its handler declares."""

    def __init__(self, payload: Payload, converter: DataConverter) -> None:
        self._payload = payload
        self._converter = converter

    async def serialize(self, value: Any) -> Content:
        """Never: results do not go this way."""
        raise TypeError(f"the serializer of an input does not write: {value!r}")

    async def deserialize(self, content: Content, as_type: type[Any] | None = None) -> Any:
        """The input. Raises HandlerError for what does not fit the type, or the user's checks."""
        del content
        payloads = await self._decoded()
        try:
            hints = None if as_type is None else [as_type]
            return self._converter.payload_converter.from_payloads(payloads, hints)[0]
        except Exception as error:  # a named boundary: the user's converters
            raise _refusal(error, _CONVERTER) from error

    async def _decoded(self) -> list[Payload]:
        """The payload, fetched if it is kept elsewhere, and decoded."""
        codec = self._converter.payload_codec
        path = PayloadPath(codec, self._converter.external_storage, None)
        step = _REFERENCE
        try:
            payloads = await path.plain([self._payload])
            step = _STORAGE
            payloads = await path.fetch(payloads)
            step = _CODEC
            return payloads if codec is None else await codec.decode(payloads)
        except Exception as error:  # a named boundary: the user's codec and storage
            raise _refusal(error, step) from error


_Step = tuple[str, HandlerErrorType, bool | None]
_REFERENCE: _Step = (
    "Payload codec failed to decode Nexus operation input storage reference",
    HandlerErrorType.INTERNAL,
    None,
)
_STORAGE: _Step = (
    "Failed to retrieve Nexus operation input from external storage",
    HandlerErrorType.INTERNAL,
    True,
)
_CODEC: _Step = (
    "Payload codec failed to decode Nexus operation input",
    HandlerErrorType.INTERNAL,
    None,
)
_CONVERTER: _Step = (
    "Payload converter failed to decode Nexus operation input",
    HandlerErrorType.BAD_REQUEST,
    False,
)
"""What the caller is told when a step fails: text, kind, and whether to try again."""


def _refusal(error: Exception, step: _Step) -> HandlerError:
    """An input that codec or converter have understood and refused is the caller's mistake."""
    if step in (_CODEC, _CONVERTER) and is_payload_validation_error(error):
        return HandlerError(
            "Invalid operation input", type=HandlerErrorType.BAD_REQUEST, retryable_override=False
        )
    message, kind, retryable = step
    return HandlerError(message, type=kind, retryable_override=retryable)
