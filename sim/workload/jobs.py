"""A client of standalone activities: starts, watches, controls, ends and forgets a few of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import ActivityType, Payload, Payloads, RetryPolicy
from temporalio.api.enums.v1 import ActivityIdConflictPolicy, ActivityIdReusePolicy
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import StartActivityExecutionRequest

from perdure.server.machines.activity import retry
from perdure.server.machines.errors import Rejected
from perdure.server.machines.ports import SECOND_NS, Address, Kind
from perdure.server.machines.standalone.inputs import Describe, RequestCancel, Started, Terminate
from perdure.server.machines.standalone_activity import inputs
from perdure.server.machines.wire import duration
from sim.ids import SeededIds
from sim.ledger import Job, Ledger
from sim.network import Unavailable
from sim.witness import Witness
from sim.workload.facts import ACTIVITY_TYPE, MILLISECOND_NS, QUEUE
from sim.workload.plans import random_activity
from sim.workload.service import Service

_REUSE = (
    ActivityIdReusePolicy.ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE,
    ActivityIdReusePolicy.ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE,
    ActivityIdReusePolicy.ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
    ActivityIdReusePolicy.ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE,
)
_CONFLICT = (
    ActivityIdConflictPolicy.ACTIVITY_ID_CONFLICT_POLICY_FAIL,
    ActivityIdConflictPolicy.ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING,
)
IDS = ("job-0", "job-1", "job-2")
PAUSE_SECONDS_MAX = 1.5


class Employer:
    """One client process: a fixed number of requests, with pauses."""

    def __init__(
        self,
        name: str,
        service: Service,
        witness: Witness,
        ledger: Ledger,
        dice: random.Random,
        *,
        requests: int,
    ) -> None:
        self._name = name
        self._service = service
        self._witness = witness
        self._ledger = ledger
        self._dice = dice
        self._ids = SeededIds(dice)
        self._requests = requests
        self._run_ids: dict[str, str] = {}

    async def run(self) -> None:
        """Make all requests. What the service refuses is an answer too."""
        for index in range(self._requests):
            await asyncio.sleep(self._dice.random() ** 2 * PAUSE_SECONDS_MAX)
            activity_id = self._dice.choice(IDS)
            request = self._start if index == 0 else self._choose()
            try:
                await request(activity_id)
            except (Rejected, Unavailable):
                continue

    def _choose(self) -> Callable[[str], Awaitable[None]]:
        return self._dice.choices(
            (
                self._start,
                self._describe,
                self._cancel,
                self._terminate,
                self._pause,
                self._reset,
                self._set_options,
                self._delete,
            ),
            (8, 3, 1, 1, 2, 1, 1, 1),
        )[0]

    async def _start(self, activity_id: str) -> None:
        dice = self._dice
        plan = random_activity(dice)
        request = StartActivityExecutionRequest(
            activity_id=activity_id,
            activity_type=ActivityType(name=ACTIVITY_TYPE),
            task_queue=TaskQueue(name=QUEUE),
            identity=self._name,
            request_id=self._ids.uuid(),
            input=Payloads(payloads=[Payload(data=msgspec.json.encode(plan))]),
            id_reuse_policy=dice.choice(_REUSE),
            id_conflict_policy=dice.choice(_CONFLICT),
            start_to_close_timeout=duration(plan.start_to_close_ms * MILLISECOND_NS),
            retry_policy=RetryPolicy(
                initial_interval=duration(300 * MILLISECOND_NS),
                backoff_coefficient=2.0,
                maximum_attempts=plan.attempts_max,
            ),
        )
        retry.with_defaults(request.retry_policy)
        for field in ("schedule_to_close", "schedule_to_start", "heartbeat"):
            length_ms: int = getattr(plan, f"{field}_ms")
            if length_ms:
                getattr(request, f"{field}_timeout").CopyFrom(duration(length_ms * MILLISECOND_NS))
        if dice.random() < 0.2:
            request.start_delay.CopyFrom(duration(600 * MILLISECOND_NS))
        self._ledger.jobs[request.request_id] = Job(activity_id, plan.attempts_max)
        for _ in range(2 if dice.random() < 0.2 else 1):
            reply = await self._ask(
                "start",
                activity_id,
                lambda: inputs.StartActivity(_copy(request)),
                lambda reply: self._witness.job_started(request.request_id, reply),
            )
            assert isinstance(reply, Started)
            self._run_ids[activity_id] = reply.run_id

    async def _describe(self, activity_id: str) -> None:
        run_id = self._run_id(activity_id)
        await self._ask("describe", activity_id, lambda: Describe(run_id))

    async def _cancel(self, activity_id: str) -> None:
        run_id, request_id = self._run_id(activity_id), self._ids.uuid()
        await self._ask("cancel", activity_id, lambda: RequestCancel(run_id, "", request_id, ""))

    async def _terminate(self, activity_id: str) -> None:
        run_id, request_id = self._run_id(activity_id), self._ids.uuid()
        await self._ask(
            "terminate",
            activity_id,
            lambda: Terminate(run_id, "", request_id, ""),
            lambda reply: self._witness.job_ended(activity_id, run_id),
        )

    async def _pause(self, activity_id: str) -> None:
        """It goes on later, whatever happens."""
        run_id = self._run_id(activity_id)
        request_id = self._ids.uuid()
        try:
            await self._ask("pause", activity_id, lambda: inputs.Pause(run_id, "", request_id, ""))
        finally:
            await asyncio.sleep(self._dice.random())
            delay_ns = round(self._dice.random() * 0.3 * SECOND_NS)
            await self._ask("unpause", activity_id, lambda: inputs.Unpause(run_id, delay_ns))

    async def _reset(self, activity_id: str) -> None:
        run_id, throw = self._run_id(activity_id), self._dice.random()
        self._ledger.controlled_jobs.add(activity_id)
        await self._ask(
            "reset",
            activity_id,
            lambda: inputs.Reset(
                run_id,
                delay_ns=round(throw * 0.3 * SECOND_NS),
                resets_heartbeat=throw < 0.5,
                keeps_paused=False,
                restores_options=throw > 0.7,
            ),
        )

    async def _set_options(self, activity_id: str) -> None:
        run_id = self._run_id(activity_id)
        self._ledger.controlled_jobs.add(activity_id)
        options = ActivityOptions(
            start_to_close_timeout=duration(900 * MILLISECOND_NS),
            retry_policy=RetryPolicy(maximum_attempts=2),
        )
        paths = ("start_to_close_timeout", "retry_policy.maximum_attempts")
        await self._ask(
            "set-options", activity_id, lambda: inputs.SetOptions(run_id, options, paths)
        )

    async def _delete(self, activity_id: str) -> None:
        run_id = self._run_ids.get(activity_id, "")
        if not run_id:
            return
        self._ledger.deleted.setdefault(run_id, False)
        await self._service.delete(activity_id, run_id, kind=Kind.ACTIVITY)

    def _run_id(self, activity_id: str) -> str:
        """A run that this client knows, or whichever is current."""
        return self._run_ids.get(activity_id, "") if self._dice.random() < 0.5 else ""

    async def _ask(
        self,
        what: str,
        activity_id: str,
        message: Callable[[], object],
        answered: Callable[[object], None] | None = None,
    ) -> object:
        whom = Address(Kind.ACTIVITY, activity_id)
        return await self._service.ask(f"{what} {activity_id}", whom, message, answered)


def _copy(request: StartActivityExecutionRequest) -> StartActivityExecutionRequest:
    copy = StartActivityExecutionRequest()
    copy.CopyFrom(request)
    return copy
