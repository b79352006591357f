"""Warns of values that are larger than they had better be, before the service does."""

from __future__ import annotations

import logging

from google.protobuf.message import Message

from perdure.converter.holders import holders, memos

_log = logging.getLogger("perdure.service")


class LargeRequests:
    """Looks at requests that are large enough for it; 0 bytes: nothing is too large."""

    def __init__(self, *, payloads_warn_bytes: int, memo_warn_bytes: int) -> None:
        self._payloads_warn_bytes = payloads_warn_bytes
        self._memo_warn_bytes = memo_warn_bytes
        wanted = [limit for limit in (payloads_warn_bytes, memo_warn_bytes) if limit > 0]
        self.bytes_min: int | None = min(wanted, default=None)
        """Nothing in a request that is not larger can be too large; None: nothing ever is."""

    def look_at(self, method: str, request: Message, request_bytes: int) -> None:
        """Logs what of a request is too large: one line for values, one for memos."""
        limit = self._payloads_warn_bytes
        if 0 < limit < request_bytes:
            largest = max((holder.ByteSize() for holder in holders(request)), default=0)
            if largest > limit:
                _log.warning(
                    "[TMPRL1103] Attempted to upload payloads with size that exceeded the warning"
                    " limit. RPC: %s, size: %d bytes, limit: %d bytes",
                    method,
                    largest,
                    limit,
                )
        limit = self._memo_warn_bytes
        if 0 < limit < request_bytes:
            largest = max((memo.ByteSize() for memo in memos(request)), default=0)
            if largest > limit:
                _log.warning(
                    "[TMPRL1103] Attempted to upload memo with size that exceeded the warning"
                    " limit. RPC: %s, size: %d bytes, limit: %d bytes",
                    method,
                    largest,
                    limit,
                )
