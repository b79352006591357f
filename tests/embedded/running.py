"""Short ways to run the programs of these tests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from perdure.client import Client, WorkflowHandle
from perdure.worker import Worker
from tests.embedded import programs

SOON_SECONDS = 1.0
"""What a lost worker held goes on within this time."""

TIMEOUTS = frozenset(
    {
        EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
    }
)


def worker(client: Client, **options: Any) -> Worker:
    """A worker of all that there is."""
    return Worker(
        client,
        **{
            "task_queue": programs.QUEUE,
            "workflows": programs.WORKFLOWS,
            "activities": programs.ACTIVITIES,
            "activity_executor": ThreadPoolExecutor(100),
            **options,
        },
    )


async def greet(client: Client, workflow_id: str, name: str = "world") -> str:
    """Run a greeting to its end."""
    return await client.execute_workflow(
        programs.Greeting.run, name, id=workflow_id, task_queue=programs.QUEUE
    )


async def greet_with_worker(client: Client, workflow_id: str) -> str:
    """The same, with a worker for it alone."""
    async with worker(client):
        return await greet(client, workflow_id)


def child_command(*arguments: str) -> list[str]:
    """The program that is killed."""
    return [sys.executable, "-m", "tests.embedded.child", *arguments]


async def events_of(handle: WorkflowHandle[Any, Any]) -> list[HistoryEvent]:
    """The history."""
    return [event async for event in handle.fetch_history_events()]


def timeouts(events: Sequence[HistoryEvent]) -> list[str]:
    """The events that tell of work which was not done in time."""
    return [EventType.Name(event.event_type) for event in events if event.event_type in TIMEOUTS]


def workflow_task_attempts(events: Sequence[HistoryEvent]) -> set[int]:
    """The attempts of all workflow tasks."""
    return {
        event.workflow_task_scheduled_event_attributes.attempt
        for event in events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
    }


def activity_attempts(events: Sequence[HistoryEvent]) -> list[int]:
    """The attempts that ended activities."""
    return [
        event.activity_task_started_event_attributes.attempt
        for event in events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED
    ]
