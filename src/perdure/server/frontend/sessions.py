"""What the service keeps for the peer of a session: the tasks that its workers hold, and the sticky
queues that they poll.

When the session ends, its workers are gone. Their workflow tasks are on offer again at once (their
attempts do not count), and so are the queries that they were asked; what waits on their sticky
queues moves to the normal ones, and after a short grace, in which a worker that only lost its
connection may still answer, their activities are given up: the next attempt need not wait for a
timeout.
"""

from __future__ import annotations

import asyncio
import logging

from perdure.server.engine.api import EngineStopped, EngineUnavailable, NamespaceRef
from perdure.server.frontend.services import Services
from perdure.server.machines.errors import Rejected
from perdure.server.machines.ports import Address, Kind
from perdure.server.machines.workflow.inputs import (
    Input,
    LoseActivityTask,
    StartedActivityTask,
    StartedWorkflowTask,
    TaskToken,
    WorkflowTaskUndelivered,
)

logger = logging.getLogger(__name__)

ACTIVITY_GRACE_SECONDS = 5.0
"""How long a worker may be gone before its activities are."""


class HeldTasks:
    """The tasks and sticky queues of one session."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._workflow_tasks: dict[TaskToken, NamespaceRef] = {}
        self._activity_tasks: dict[TaskToken, NamespaceRef] = {}
        self._queries: set[str] = set()
        self._sticky_queues: dict[tuple[str, str], NamespaceRef] = {}

    def polls_sticky(self, namespace: NamespaceRef, queue: str) -> None:
        """A worker of the session has a sticky queue."""
        self._sticky_queues[namespace.id, queue] = namespace

    def hold(
        self, namespace: NamespaceRef, task: StartedWorkflowTask | StartedActivityTask
    ) -> None:
        """A task goes to a worker of the session."""
        if isinstance(task, StartedWorkflowTask):
            self._workflow_tasks[task.token] = namespace
        else:
            self._activity_tasks[task.token] = namespace

    def hold_query(self, task_id: str) -> None:
        """A query goes to a worker of the session."""
        self._queries.add(task_id)

    def release_query(self, task_id: str) -> None:
        """A worker of the session has answered a query."""
        self._queries.discard(task_id)

    def release(self, token: TaskToken) -> None:
        """A worker of the session has answered for a task."""
        self._workflow_tasks.pop(token, None)
        self._activity_tasks.pop(token, None)

    async def close(self) -> None:
        """The session is over."""
        engine = self._services.engine
        for (_, queue), namespace in self._sticky_queues.items():
            engine.cancel_polls(namespace, "", queue)
        for task_id in self._queries:
            engine.lose_query(task_id)
        lost = [
            self._lose(
                namespace,
                token,
                WorkflowTaskUndelivered(token.run_id, token.stamp, token.start_id),
            )
            for token, namespace in self._workflow_tasks.items()
        ]
        await asyncio.gather(*lost)
        if self._activity_tasks:
            self._services.spawn(self._lose_activities())

    async def _lose_activities(self) -> None:
        await asyncio.sleep(ACTIVITY_GRACE_SECONDS)
        lost = [
            self._lose(
                namespace,
                token,
                LoseActivityTask(token.run_id, token.scheduled_event_id, token.stamp),
            )
            for token, namespace in self._activity_tasks.items()
        ]
        await asyncio.gather(*lost)

    async def _lose(self, namespace: NamespaceRef, token: TaskToken, message: Input) -> None:
        try:
            whom = Address(Kind(token.kind), token.workflow_id)
            await self._services.engine.ask(namespace, whom, message)
        except Rejected:
            return  # The task was answered, or timed out, by another way.
        except (EngineUnavailable, EngineStopped) as error:
            logger.warning("a task of a lost worker waits for its timeout: %s", error)


def held_by(session: object | None) -> HeldTasks | None:
    """What the service keeps for a caller's session."""
    return session if isinstance(session, HeldTasks) else None
