"""What operators have set of task queues: read once, written through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from temporalio.api.taskqueue.v1 import TaskQueueConfig

from perdure.server.machines.errors import ResourceExhausted
from perdure.server.store.codec import seal, unseal
from perdure.server.store.ports import QueueKey, Store

CONFIGS_MAX = 10_000
"""Queues of a namespace of which something is set: all are held in memory."""

Change = Callable[[TaskQueueConfig | None], TaskQueueConfig]
"""Makes what is set anew. Raises Rejected."""


class QueueConfigs:
    """The configurations of a shard's queues."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._configs: dict[QueueKey, TaskQueueConfig] = {}
        # One after the other, since each is made of the one before, which must be durable.
        self._turn = asyncio.Lock()

    async def recover(self) -> None:
        """Know again what was set."""
        for key, blob in await self._store.queue_configs():
            self._configs[key] = TaskQueueConfig.FromString(unseal(blob))

    def find(self, key: QueueKey) -> TaskQueueConfig | None:
        """What is set of a queue: read it, never change it."""
        return self._configs.get(key)

    async def change(self, key: QueueKey, change: Change) -> TaskQueueConfig:
        """Set something; it is durable when this returns. Raises Rejected, StoreUnavailable."""
        async with self._turn:
            before = self._configs.get(key)
            config = change(before)
            if config != (before or TaskQueueConfig()):
                if before is None:
                    self._check_room(key.namespace)
                blob = seal(config.SerializeToString(deterministic=True))
                await self._store.put_queue_config(key, blob)
                self._configs[key] = config
            return config

    def _check_room(self, namespace: int) -> None:
        if sum(key.namespace == namespace for key in self._configs) >= CONFIGS_MAX:
            raise ResourceExhausted(
                f"the namespace has the configurations of {CONFIGS_MAX} task queues"
            )
