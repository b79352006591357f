"""A planner: keeps one schedule for a while, changes it, and deletes it in the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from temporalio.api.common.v1 import WorkflowType
from temporalio.api.schedule.v1 import (
    IntervalSpec,
    Schedule,
    ScheduleAction,
    SchedulePolicies,
    ScheduleSpec,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo

from perdure.server.frontend.schedule_checks import settings_of
from perdure.server.machines.errors import Rejected
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS, Address, Kind
from perdure.server.machines.schedule import inputs
from perdure.server.machines.schedule.state import Overlap
from perdure.server.machines.wire import duration
from sim.ids import SeededIds
from sim.ledger import Ledger, Planned
from sim.namespace import NAMESPACE
from sim.network import Unavailable
from sim.workload.facts import QUEUE, encode
from sim.workload.plans import random_program
from sim.workload.service import Service

OPERATIONS_MAX = 5
PAUSE_SECONDS_MAX = 2.5
_OVERLAPS = tuple(each for each in Overlap if each is not Overlap.UNSPECIFIED)


class Planner:
    """One process with one schedule."""

    def __init__(
        self, schedule_id: str, service: Service, ledger: Ledger, dice: random.Random
    ) -> None:
        self._id = schedule_id
        self._service = service
        self._dice = dice
        self._ids = SeededIds(dice)
        self._interval_ns = dice.choice((1, 2, 3)) * SECOND_NS
        self._planned = Planned(
            workflow_id=f"planned-{schedule_id}",
            interval_ns=self._interval_ns,
            overlap=dice.choice(_OVERLAPS),
        )
        ledger.schedules[schedule_id] = self._planned

    async def run(self) -> None:
        """From its creation to its deletion."""
        settings, blobs = settings_of(self._schedule(), NAMESPACE, DEFAULT_LIMITS)
        create = inputs.CreateSchedule(self._ids.uuid(), settings, blobs)
        await self._ask("create", create)
        self._planned.is_created = True
        for _ in range(self._dice.randint(1, OPERATIONS_MAX)):
            await asyncio.sleep(self._dice.random() * PAUSE_SECONDS_MAX)
            await self._dice.choice(self._operations())()
        self._planned.is_deleting = True
        await self._ask("delete", inputs.DeleteSchedule())
        self._planned.is_deleted = True

    def _operations(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        return [self._describe, self._describe, self._trigger, self._pause, self._update]

    def _schedule(self) -> Schedule:
        return Schedule(
            spec=ScheduleSpec(interval=[IntervalSpec(interval=duration(self._interval_ns))]),
            action=ScheduleAction(
                start_workflow=NewWorkflowExecutionInfo(
                    workflow_id=self._planned.workflow_id,
                    workflow_type=WorkflowType(name="program"),
                    task_queue=TaskQueue(name=QUEUE),
                    input=encode(random_program(self._dice, [])),
                    workflow_run_timeout=duration(6 * SECOND_NS),
                )
            ),
            policies=SchedulePolicies(
                overlap_policy=int(self._planned.overlap),  # type: ignore[arg-type]
                pause_on_failure=self._dice.random() < 0.2,
            ),
        )

    async def _describe(self) -> None:
        await self._ask("describe", inputs.DescribeSchedule(3))

    async def _trigger(self) -> None:
        self._planned.is_triggered = True
        patch = inputs.Patch(trigger=Overlap.UNSPECIFIED)
        await self._ask("trigger", inputs.PatchSchedule(self._ids.uuid(), patch))

    async def _pause(self) -> None:
        await self._ask(
            "pause", inputs.PatchSchedule(self._ids.uuid(), inputs.Patch(pause="a break"))
        )
        await asyncio.sleep(self._dice.random())
        await self._ask(
            "unpause", inputs.PatchSchedule(self._ids.uuid(), inputs.Patch(unpause="go on"))
        )

    async def _update(self) -> None:
        settings, blobs = settings_of(self._schedule(), NAMESPACE, DEFAULT_LIMITS)
        await self._ask("update", inputs.UpdateSchedule(self._ids.uuid(), settings, blobs))

    async def _ask(self, what: str, message: inputs.Input) -> None:
        try:
            await self._service.ask(
                f"{what} {self._id}", Address(Kind.SCHEDULE, self._id), lambda: message
            )
        except Rejected:
            # Only the deletion may have been done before: its answer was lost.
            if not isinstance(message, inputs.DeleteSchedule):
                raise
        except Unavailable:
            raise AssertionError("who insists is answered") from None
