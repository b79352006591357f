"""Activities that the service begins at once, with its answer to the workflow task that asks for
them: a worker that asks has kept places for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    RespondWorkflowTaskCompletedResponse,
)

_SCHEDULE_ACTIVITY = CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK


class EagerPlaces(Protocol):
    """Places for activities that come along with the answer to a workflow task."""

    def try_reserve(self) -> bool:
        """Takes a place, if one is free."""
        ...

    def release(self) -> None:
        """Gives a reserved place back."""
        ...

    def accept(self, task: PollActivityTaskQueueResponse) -> None:
        """Begins the activity, in a reserved place."""
        ...


class EagerActivities:
    """Asks for activities of one task queue, so many at most with each answer."""

    def __init__(self, places: EagerPlaces | None, *, task_queue: str, count_max: int) -> None:
        """Without places it asks for none."""
        self._places = places
        self._task_queue = task_queue
        self._count_max = count_max
        self._asks = places is not None
        self._begins = True
        self._under_way: set[asyncio.Future[None]] = set()

    async def along_with(
        self,
        commands: Sequence[Command],
        answer: Callable[[], Awaitable[RespondWorkflowTaskCompletedResponse]],
    ) -> RespondWorkflowTaskCompletedResponse:
        """What the service says to an answer with these commands, which are marked; it has begun
        what came along."""
        reserved = self._reserve_for(commands)
        if not reserved or self._places is None:
            return await answer()
        heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.add(heard)
        begun = 0
        try:
            response = await answer()
            if self._begins:
                for activity in response.activity_tasks[:reserved]:
                    self._places.accept(activity)
                    begun += 1
        finally:
            for _ in range(reserved - begun):
                self._places.release()
            self._under_way.discard(heard)
            heard.set_result(None)
        return response

    async def stop(self, within_seconds: float) -> None:
        """Asks for no more, and waits for those that were asked for. What comes later is begun by
        nobody, and times out."""
        self._asks = False
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=within_seconds)
        self._begins = False

    def _reserve_for(self, commands: Sequence[Command]) -> int:
        """Places for the activities that the service may start at once, and marks those."""
        reserved = 0
        for command in commands:
            if command.command_type != _SCHEDULE_ACTIVITY:
                continue
            attributes = command.schedule_activity_task_command_attributes
            if not attributes.request_eager_execution:
                continue
            if (
                self._asks
                and self._places is not None
                and reserved < self._count_max
                and attributes.task_queue.name == self._task_queue
                and self._places.try_reserve()
            ):
                reserved += 1
            else:
                attributes.request_eager_execution = False
        return reserved
