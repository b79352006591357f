"""The one source of ids: UUIDs of version 7 (RFC 9562), so that what is made together lies together
on disk."""

from __future__ import annotations

import os

from perdure.server.engine.clock import Clock

RANDOM_BYTES = 4096
"""Random bytes asked of the system at a time, since a call costs more than the bytes."""


class RandomIds:
    """UUIDv7: 48 bits of milliseconds, a counter within the millisecond, and random bits. Nothing
    sorts by them for meaning."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ms = 0
        self._counter = 0
        self._random = b""
        self._position = 0

    def uuid(self) -> str:
        """A new UUID in its 36 characters."""
        now_ms = self._clock.now_ns() // 1_000_000
        if now_ms > self._last_ms:
            self._last_ms, self._counter = now_ms, 0
        else:
            self._counter += 1
            if self._counter > 0xFFF:
                self._last_ms, self._counter = self._last_ms + 1, 0
        tail = self._random_bits() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        digits = f"{self._last_ms:012x}7{self._counter:03x}{tail:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _random_bits(self) -> int:
        if self._position >= len(self._random):
            self._random, self._position = os.urandom(RANDOM_BYTES), 0
        self._position += 8
        return int.from_bytes(self._random[self._position - 8 : self._position], "big")
