"""History as bytes: the newest batches of a run in memory, and cutting a serialised History at
events."""

from __future__ import annotations

from collections import deque

from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.wire import entry_offsets

TAIL_BYTES_MAX = 64 * 1024
"""History kept in memory per cached workflow: what is older is read from the store, and so is a
batch that is larger than this."""


class HistoryTail:
    """The newest batches of a run, contiguous up to its last event; none when the last one is too
    large."""

    __slots__ = ("_batches", "_bytes")

    def __init__(self) -> None:
        self._batches: deque[tuple[int, int, bytes]] = deque()
        self._bytes = 0

    def append(self, first_event_id: int, last_event_id: int, entries: bytes) -> None:
        """Add a batch that follows the last one."""
        if self._batches and self._batches[-1][1] + 1 != first_event_id:
            raise InvariantViolation(
                f"a batch from {first_event_id} does not follow {self._batches[-1][1]}"
            )
        self._batches.append((first_event_id, last_event_id, entries))
        self._bytes += len(entries)
        while self._bytes > TAIL_BYTES_MAX:
            self._bytes -= len(self._batches.popleft()[2])

    def holds(self, first_event_id: int, last_event_id: int) -> bool:
        """Whether the events of a closed range are in memory."""
        batches = self._batches
        return first_event_id > last_event_id or (
            bool(batches) and batches[0][0] <= first_event_id and last_event_id <= batches[-1][1]
        )

    def read(self, first_event_id: int, last_event_id: int) -> bytes | None:
        """The events of a closed range as a serialised History; None when some are not in
        memory."""
        if first_event_id > last_event_id:
            return b""
        batches = self._batches
        if not self.holds(first_event_id, last_event_id):
            return None
        parts = [
            entries
            if first >= first_event_id and last <= last_event_id
            else cut(entries, first, first_event_id, last_event_id)
            for first, last, entries in batches
            if last >= first_event_id and first <= last_event_id
        ]
        return parts[0] if len(parts) == 1 else b"".join(parts)


def cut(history: bytes, starts_with: int, first_event_id: int, last_event_id: int) -> bytes:
    """The events of a closed range, out of a serialised History that begins with event
    `starts_with`."""
    offsets = entry_offsets(history)
    low = max(first_event_id - starts_with, 0)
    high = min(last_event_id - starts_with + 1, len(offsets) - 1)
    return history[offsets[low] : offsets[high]] if low < high else b""
