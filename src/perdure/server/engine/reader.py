"""Reading history: from memory when it is there, else from the store."""

from __future__ import annotations

from perdure.server.engine.api import EngineUnavailable
from perdure.server.engine.history import HistoryTail, cut
from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.wire import event_of
from perdure.server.store.codec import unseal
from perdure.server.store.ports import RunNumber, Store, StoreUnavailable

PAGE_BYTES_MAX = 4 * 1024 * 1024
"""What one read of the store may bring at most, beyond its first batch."""


class HistoryReader:
    """Events of runs as serialised Histories."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(
        self, run: RunNumber, tail: HistoryTail | None, first_event_id: int, last_event_id: int
    ) -> bytes:
        """The events of a closed range, all of which are durable."""
        if first_event_id > last_event_id:
            return b""
        if tail is not None:
            found = tail.read(first_event_id, last_event_id)
            if found is not None:
                return found
        parts: list[bytes] = []
        wanted = first_event_id
        while wanted <= last_event_id:
            try:
                batches = await self._store.read_history(run, wanted, last_event_id, PAGE_BYTES_MAX)
            except StoreUnavailable as error:
                raise EngineUnavailable(str(error)) from error
            if not batches or batches[0].first_event_id > wanted:
                raise InvariantViolation(f"event {wanted} of run {run} is not stored")
            for batch in batches:
                entries = unseal(batch.blob)
                parts.append(cut(entries, batch.first_event_id, wanted, last_event_id))
                wanted = batch.last_event_id + 1
        return b"".join(parts)

    async def read_event(self, run: RunNumber, tail: HistoryTail | None, event_id: int) -> bytes:
        """One serialised HistoryEvent."""
        return event_of(await self.read(run, tail, event_id, event_id))
