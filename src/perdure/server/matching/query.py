"""A query on its way to a worker."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

from perdure.server.store.ports import QueueKey

NamespaceT = TypeVar("NamespaceT")


class QueryTask(Generic[NamespaceT]):
    """One query that a worker is asked directly, compared by identity. It is stored nowhere: its
    caller waits for `result`, which is set once."""

    __slots__ = (
        "directive",
        "is_taken",
        "key",
        "namespace",
        "priority",
        "query",
        "result",
        "run_id",
        "task_id",
        "workflow_id",
    )

    def __init__(
        self,
        namespace: NamespaceT,
        workflow_id: str,
        run_id: str,
        *,
        task_id: str,
        query: bytes,
        priority: int,
        key: QueueKey,
        result: asyncio.Future[Any],
        directive: bytes = b"",
    ) -> None:
        self.namespace = namespace
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.task_id = task_id
        self.query = query
        self.priority = priority
        self.key = key
        """The queue that it is on offer on, or the part of it."""
        self.directive = directive
        """What says for workers of which version it is."""
        self.result = result
        self.is_taken = False
        """A worker has it."""
