"""The stores that must all behave alike. A new one joins by a row in HOMES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from perdure.server.store.faulty import FaultyStore
from perdure.server.store.memory import MemoryStore
from perdure.server.store.ports import Fence, Store
from perdure.server.store.sqlite import open_sqlite
from tests.store.rows import SHARD

Opener = Callable[[], Store]


def _memory(_folder: Path) -> Opener:
    store = MemoryStore()
    return lambda: store


def _faulty(folder: Path) -> Opener:
    open_memory = _memory(folder)
    return lambda: FaultyStore(open_memory())


def _sqlite(folder: Path) -> Opener:
    return lambda: open_sqlite(folder / "perdure.db")


HOMES: dict[str, Callable[[Path], Opener]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "faulty": _faulty,
}


class Home:
    """A place where one store at a time is open; what was stored stays there."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self.store = opener()

    async def reopen(self) -> Store:
        """Close the store and open it again, as a process that is started again does."""
        await self.store.close()
        self.store = self._opener()
        return self.store


@pytest.fixture(params=HOMES)
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Home]:
    """An empty place."""
    home = Home(HOMES[request.param](tmp_path))
    yield home
    await home.store.close()


@pytest.fixture
def store(home: Home) -> Store:
    """An empty store."""
    return home.store


@pytest.fixture
async def fence(store: Store) -> Fence:
    """Ownership of the shard that tests write to."""
    return await store.acquire(SHARD)
