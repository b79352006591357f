"""Reading history: from memory when it is there, else from the store."""

from __future__ import annotations

from perdure.server.engine.api import EngineUnavailable
from perdure.server.engine.history import HistoryTail, cut
from perdure.server.machines.errors import InvariantViolation, NotFound
from perdure.server.machines.wire import event_of
from perdure.server.store.codec import unseal
from perdure.server.store.ports import RunNumber, Store, StoreUnavailable

PAGE_BYTES_MAX = 4 * 1024 * 1024
"""What one page may have at most, beyond its first batch: an answer must not become as large as a
history."""
DELETED = "the workflow execution was deleted while it was read"


class HistoryReader:
    """Events of runs as serialised Histories."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read_page(
        self, run: RunNumber, tail: HistoryTail | None, first_event_id: int, last_event_id: int
    ) -> tuple[bytes, int]:
        """The first events of a closed range, all of which are durable, and the id of the one that
        comes next: as many as fit a page, and at least one."""
        if first_event_id > last_event_id:
            return b"", first_event_id
        if tail is not None:
            found = tail.read(first_event_id, last_event_id)
            if found is not None:
                return found, last_event_id + 1
        return await self._read_stored(run, first_event_id, last_event_id)

    async def read(
        self, run: RunNumber, tail: HistoryTail | None, first_event_id: int, last_event_id: int
    ) -> bytes:
        """The events of a closed range, all of which are durable."""
        parts: list[bytes] = []
        wanted = first_event_id
        while wanted <= last_event_id:
            page, wanted = await self.read_page(run, tail, wanted, last_event_id)
            parts.append(page)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _read_stored(
        self, run: RunNumber, first_event_id: int, last_event_id: int
    ) -> tuple[bytes, int]:
        try:
            batches = await self._store.read_history(
                run, first_event_id, last_event_id, PAGE_BYTES_MAX
            )
            is_missing = not batches or batches[0].first_event_id > first_event_id
            if is_missing and not await self._store.run_versions([run]):
                raise NotFound(DELETED)
        except StoreUnavailable as error:
            raise EngineUnavailable(str(error)) from error
        if is_missing:
            raise InvariantViolation(f"event {first_event_id} of run {run} is not stored")
        parts = [
            cut(unseal(batch.blob), batch.first_event_id, first_event_id, last_event_id)
            for batch in batches
        ]
        return b"".join(parts), min(batches[-1].last_event_id, last_event_id) + 1

    async def read_event(self, run: RunNumber, tail: HistoryTail | None, event_id: int) -> bytes:
        """One serialised HistoryEvent."""
        return event_of(await self.read(run, tail, event_id, event_id))
