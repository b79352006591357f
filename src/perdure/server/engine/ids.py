"""The one source of ids: UUIDs of version 7 (RFC 9562), so that what is made together lies together
on disk."""

from __future__ import annotations

import os
import uuid

from perdure.server.engine.clock import Clock


class RandomIds:
    """UUIDv7: 48 bits of milliseconds, a counter within the millisecond, and random bits. Nothing
    sorts by them for meaning."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ms = 0
        self._counter = 0

    def uuid(self) -> str:
        """A new UUID in its 36 characters."""
        now_ms = self._clock.now_ns() // 1_000_000
        if now_ms > self._last_ms:
            self._last_ms, self._counter = now_ms, 0
        else:
            self._counter += 1
            if self._counter > 0xFFF:
                self._last_ms, self._counter = self._last_ms + 1, 0
        tail = int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF
        value = self._last_ms << 80 | 0x7 << 76 | self._counter << 64 | 0x8000_0000_0000_0000 | tail
        return str(uuid.UUID(int=value))
