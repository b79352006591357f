"""Names of runs: what a number of the store means to the rest of the world."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from typing import NamedTuple

from perdure.server.machines.ports import Kind
from perdure.server.store.ports import RunNumber, Store

NAMES_MAX = 50_000
"""Names kept in memory; others are read from the store."""


class RunNames(NamedTuple):
    """The number of its namespace, the id and the kind of its subject, and its own id."""

    namespace: int
    id: str
    kind: Kind
    run_id: str


class RunDirectory:
    """From run numbers to names, for those who find only numbers: wake-ups and backlogs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: OrderedDict[RunNumber, RunNames] = OrderedDict()

    def remember(
        self, run: RunNumber, namespace: int, subject_id: str, kind: Kind, run_id: str
    ) -> None:
        """Keep the names of a run that will be looked up soon."""
        self._names[run] = RunNames(namespace, subject_id, kind, run_id)
        if len(self._names) > NAMES_MAX:
            self._names.popitem(last=False)

    async def find(self, run: RunNumber) -> RunNames | None:
        """The names of a run; None when there is none. Raises StoreUnavailable."""
        known = self._names.get(run)
        if known is not None:
            return known
        loaded = await self._store.load_number(run)
        if loaded is None:
            return None
        identity = loaded.identity
        return RunNames(
            identity.namespace,
            identity.workflow_id,
            Kind(identity.kind),
            str(uuid.UUID(bytes=identity.run_id)),
        )
