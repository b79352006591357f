"""Values that are too large for the service are refused here, before it ends the workflow."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from google.protobuf.message import Message

from perdure.converter.holders import holders
from perdure.exceptions import ApplicationError
from perdure.service import RPCError, RPCStatusCode
from perdure.worker.port import PayloadLimits

_log = logging.getLogger("perdure.worker")

_MESSAGE_TOO_LARGE = "message larger than max"
"""What gRPC says of a request as a whole."""


_TOO_LARGE = "[TMPRL1103] Attempted to upload payloads with size that exceeded the error limit."


class PayloadsTooLargeError(ApplicationError):
    """Values are larger than the service takes."""

    def __init__(self) -> None:
        super().__init__(_TOO_LARGE, type="PayloadsTooLarge")


def check_payloads(messages: Iterable[Message], limits: PayloadLimits) -> None:
    """Raises PayloadsTooLargeError for the first field that is too large."""
    largest = limits.payloads_bytes_max
    if not largest:
        return
    for message in messages:
        if message.ByteSize() <= largest:
            continue
        for holder in holders(message):
            size = holder.ByteSize()
            if size > largest:
                _log.error(_TOO_LARGE + " Size: %d bytes, limit: %d bytes", size, largest)
                raise PayloadsTooLargeError


def is_too_large(error: RPCError) -> bool:
    """Whether a request was refused for its size, so that it is pointless to repeat it."""
    throttled = error.status is RPCStatusCode.RESOURCE_EXHAUSTED
    return throttled and _MESSAGE_TOO_LARGE in error.message
