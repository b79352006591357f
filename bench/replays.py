"""What a replay from cold costs, and what a cached workflow holds: our SDK's core, with no server.

    python -m bench.replays

Prints one JSON object. The history is that of a workflow of 2,000 activities, one after the other:
12,005 events, read from bytes as they come from a server.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import psutil
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History

from bench.goals import Goal
from perdure import workflow
from perdure._definitions import workflow_definition_of
from perdure._replay.api import RunnerOptions, WorkflowActivation
from perdure._replay.runner import WorkflowRunner
from perdure.client import WorkflowHistory
from perdure.converter import DataConverter
from perdure.worker import Replayer

ACTIVITIES: Final = 2_000
REPLAYS: Final = 5
CACHED: Final = 10_000
TIMEOUT: Final = timedelta(minutes=5)
EVENT_NS: Final = 1_000_000


@dataclass(frozen=True)
class ReplayResult:
    """What was found."""

    events: int
    replay_ms: float
    """CPU of the best of several replays, parsing included."""
    cached_workflows: int
    cached_bytes: int
    """Memory that they hold, each waiting for an activity."""


def replay_goals(result: ReplayResult | None) -> list[Goal]:
    """How they stand to their goals."""
    cached = None if result is None else result.cached_bytes / 1e6
    return [
        Goal(
            "replay of 2,000 activities from cold, CPU",
            200.0,
            "ms",
            None if result is None else result.replay_ms,
        ),
        Goal("memory of 10,000 cached workflows", 250.0, "MB", cached),
    ]


def measure_replays() -> ReplayResult:
    """Measure in a process of its own, so that nothing else is in its memory."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.replays"], check=True, capture_output=True, text=True
    )
    return ReplayResult(**json.loads(done.stdout))


def main() -> None:
    """Measure in this process, and print."""
    content = history(ACTIVITIES)
    events, replay_ms = replay(content)
    cached = cached_bytes(CACHED)
    print(
        json.dumps(
            {
                "events": events,
                "replay_ms": replay_ms,
                "cached_workflows": CACHED,
                "cached_bytes": cached,
            }
        )
    )


def history(activities: int) -> bytes:
    """The history of a run that is over, as bytes."""
    number = Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=b"1")])
    count = Payload(metadata={"encoding": b"json/plain"}, data=str(activities).encode())
    events = _Events()
    events.add(
        "WORKFLOW_EXECUTION_STARTED",
        workflow_type={"name": "Adds"},
        original_execution_run_id="run",
        first_execution_run_id="run",
        input=Payloads(payloads=[count]),
        task_queue={"name": "bench"},
        attempt=1,
    )
    completed = events.add_task()
    for step in range(1, activities + 1):
        scheduled = events.add(
            "ACTIVITY_TASK_SCHEDULED",
            activity_id=str(step),
            activity_type={"name": "add"},
            task_queue={"name": "bench"},
            input=number,
            workflow_task_completed_event_id=completed,
        )
        started = events.add("ACTIVITY_TASK_STARTED", scheduled_event_id=scheduled, attempt=1)
        events.add(
            "ACTIVITY_TASK_COMPLETED",
            scheduled_event_id=scheduled,
            started_event_id=started,
            result=number,
        )
        completed = events.add_task()
    events.add(
        "WORKFLOW_EXECUTION_COMPLETED", result=number, workflow_task_completed_event_id=completed
    )
    content: bytes = events.history.SerializeToString()
    return content


class _Events:
    """A history as it grows."""

    def __init__(self) -> None:
        self.history = History()

    def add(self, kind: str, **attributes: Any) -> int:
        event = self.history.events.add(
            event_id=len(self.history.events) + 1,
            event_type=EventType.Value(f"EVENT_TYPE_{kind}"),
            **{f"{kind.lower()}_event_attributes": attributes},
        )
        event.event_time.FromNanoseconds(event.event_id * EVENT_NS)
        return int(event.event_id)

    def add_task(self) -> int:
        scheduled = self.add("WORKFLOW_TASK_SCHEDULED", task_queue={"name": "bench"})
        started = self.add("WORKFLOW_TASK_STARTED", scheduled_event_id=scheduled)
        return self.add(
            "WORKFLOW_TASK_COMPLETED",
            scheduled_event_id=scheduled,
            started_event_id=started,
            sdk_metadata={"core_used_flags": [1, 2, 3], "lang_used_flags": [1]},
        )


@workflow.defn
class Adds:
    """As many activities as it is told."""

    @workflow.run
    async def run(self, count: int) -> int:
        """Their sum."""
        total = 0
        for _ in range(count):
            total += await workflow.execute_activity(
                "add", 1, start_to_close_timeout=TIMEOUT, result_type=int
            )
        return total


def replay(content: bytes) -> tuple[int, float]:
    """How many events, and the CPU in ms of the best replay. Raises what a replay raises."""
    replayer = Replayer(workflows=[Adds])
    best, count = float("inf"), 0
    for _ in range(REPLAYS):
        gc.collect()
        began = time.process_time()
        events = list(History.FromString(content).events)
        asyncio.run(replayer.replay_workflow(WorkflowHistory("bench", events)))
        best, count = min(best, time.process_time() - began), len(events)
    return count, round(best * 1_000, 1)


def cached_bytes(workflows: int) -> int:
    """The memory of so many runs, each waiting for its first activity."""
    definition = workflow_definition_of(Adds)
    options = RunnerOptions(
        definitions=lambda _: definition,
        registered=lambda: ["Adds"],
        payload_converter=DataConverter.default.payload_converter,
        failure_converter=DataConverter.default.failure_converter,
        namespace="default",
        task_queue="bench",
    )
    first_task = list(History.FromString(history(1)).events)[:3]
    content = History(events=first_task).SerializeToString()
    gc.collect()
    before = psutil.Process().memory_info().rss
    kept = []
    for number in range(workflows):
        task = WorkflowActivation(
            run_id=f"run-{number}",
            workflow_id=f"workflow-{number}",
            workflow_type="Adds",
            events=list(History.FromString(content).events),
            previous_started_event_id=0,
            started_event_id=3,
        )
        runner = WorkflowRunner(options, task)
        runner.activate(task)
        kept.append(runner)
    gc.collect()
    held = psutil.Process().memory_info().rss - before
    for runner in kept:
        runner.evict()
    return held


if __name__ == "__main__":
    main()
