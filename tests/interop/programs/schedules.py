"""Schedules: what is refused, how specifications are read, who starts when, and what is listed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Memo, Payload, SearchAttributes, WorkflowType
from temporalio.api.enums.v1 import ScheduleOverlapPolicy
from temporalio.api.schedule.v1 import (
    BackfillRequest,
    CalendarSpec,
    IntervalSpec,
    Range,
    Schedule,
    ScheduleAction,
    SchedulePatch,
    SchedulePolicies,
    ScheduleSpec,
    ScheduleState,
    StructuredCalendarSpec,
    TriggerImmediatelyRequest,
)
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    CountSchedulesRequest,
    CreateScheduleRequest,
    DeleteScheduleRequest,
    DescribeScheduleRequest,
    DescribeScheduleResponse,
    ListScheduleMatchingTimesRequest,
    ListSchedulesRequest,
    PatchScheduleRequest,
    TerminateWorkflowExecutionRequest,
    UpdateScheduleRequest,
)

from tests.interop.stage import WAIT_SECONDS, Stage

HOURLY = ScheduleSpec(
    interval=[IntervalSpec(interval=Duration(seconds=3600), phase=Duration(seconds=60))]
)
PAUSED = ScheduleState(paused=True)
FIRST, LAST = "2026-01-01T00:00:00", "2026-01-01T02:01:00"
"""Three of the times of `HOURLY` lie in this range."""


def _time(text: str) -> Timestamp:
    time = Timestamp()
    time.FromDatetime(datetime.fromisoformat(text + "+00:00"))
    return time


class _Schedules:
    """The calls, on one schedule id at a time."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._patches = 0

    def name(self, name: str) -> str:
        """The same for every server but for the nonce."""
        return self._stage.workflow_id(name)

    def schedule(self, name: str = "workflow", **fields: Any) -> Schedule:
        """One that starts a workflow of its own."""
        action = ScheduleAction(start_workflow=self.action(name))
        return Schedule(**{"spec": HOURLY, "action": action, "state": PAUSED, **fields})

    def action(self, name: str = "workflow", **fields: Any) -> NewWorkflowExecutionInfo:
        """A workflow that nobody runs."""
        default = {
            "workflow_id": self.name(name),
            "workflow_type": WorkflowType(name="Job"),
            "task_queue": self._stage.task_queue(),
        }
        return NewWorkflowExecutionInfo(**{**default, **fields})

    def create(self, name: str, **fields: Any) -> Any:
        """CreateSchedule."""
        default = {
            "namespace": self._stage.namespace,
            "schedule_id": self.name(name),
            "request_id": "create",
            "schedule": self.schedule(),
        }
        return self._stage.service.create_schedule(CreateScheduleRequest(**{**default, **fields}))

    async def describe(self, name: str) -> DescribeScheduleResponse:
        """DescribeSchedule."""
        return await self._stage.service.describe_schedule(
            DescribeScheduleRequest(namespace=self._stage.namespace, schedule_id=self.name(name))
        )

    async def until(
        self, name: str, holds: Callable[[DescribeScheduleResponse], bool]
    ) -> DescribeScheduleResponse:
        """The description, once something holds: the real server acts in the background."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                described = await self.describe(name)
                if holds(described):
                    return described
                await asyncio.sleep(0.05)

    async def patch(self, name: str, **fields: Any) -> None:
        """PatchSchedule."""
        self._patches += 1
        await self._stage.service.patch_schedule(
            PatchScheduleRequest(
                namespace=self._stage.namespace,
                schedule_id=self.name(name),
                request_id=f"patch-{self._patches}",
                patch=SchedulePatch(**fields),
            )
        )

    async def terminate(self, described: DescribeScheduleResponse) -> None:
        """End the workflows that go on."""
        for running in described.info.running_workflows:
            await self._stage.service.terminate_workflow_execution(
                TerminateWorkflowExecutionRequest(
                    namespace=self._stage.namespace, workflow_execution=running
                )
            )


async def schedule_refusals(stage: Stage) -> None:
    """What CreateSchedule and its relatives refuse, and how."""
    calls = _Schedules(stage)
    long = "x" * 1001
    fields: dict[str, dict[str, Any]] = {
        "no namespace": {"namespace": ""},
        "another namespace": {"namespace": "nope"},
        "no request id": {"request_id": ""},
        "no id": {"schedule_id": ""},
        "a long id": {"schedule_id": long},
        "a long request id": {"request_id": long},
        "an unknown attribute": {
            "search_attributes": SearchAttributes(indexed_fields={"Nope": _payload(b'"a"')})
        },
    }
    actions: dict[str, dict[str, Any]] = {
        "no type": {"workflow_type": None},
        "no queue": {"task_queue": None},
        "a cron schedule": {"cron_schedule": "* * * * *"},
        "a reuse policy": {"workflow_id_reuse_policy": 2},
        "a long workflow id": {"workflow_id": "w" * 980},
        "a negative timeout": {"workflow_run_timeout": Duration(seconds=-1)},
    }
    for label, one in actions.items():
        given = Schedule(spec=HOURLY, action=ScheduleAction(start_workflow=calls.action(**one)))
        fields[label] = {"schedule": given}
    for index, spec in enumerate(_REFUSED_SPECS):
        fields[f"spec {index}"] = {"schedule": calls.schedule(spec=spec)}
    for label, one in fields.items():
        await stage.outcome(f"create: {label}", calls.create(f"refused {label}"[:20], **one))
    await _missing(stage, calls)
    await stage.outcome("create", calls.create("here"))
    await stage.outcome("create once more", calls.create("here"))
    await stage.outcome("create another", calls.create("here", request_id="another"))


def _payload(data: bytes) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=data)


_REFUSED_SPECS = (
    ScheduleSpec(calendar=[CalendarSpec(hour="25")]),
    ScheduleSpec(calendar=[CalendarSpec(month="foo")]),
    ScheduleSpec(calendar=[CalendarSpec(minute="5-3")]),
    ScheduleSpec(calendar=[CalendarSpec(minute="*/0")]),
    ScheduleSpec(calendar=[CalendarSpec(minute="1/2/3")]),
    ScheduleSpec(calendar=[CalendarSpec(minute="1-2-3")]),
    ScheduleSpec(calendar=[CalendarSpec(year="1999")]),
    ScheduleSpec(cron_string=["bad"]),
    ScheduleSpec(cron_string=["@every xx"]),
    ScheduleSpec(cron_string=["@every 0s"]),
    ScheduleSpec(cron_string=["@every 1h/2h"]),
    ScheduleSpec(cron_string=["CRON_TZ=No/Where 0 * * * *"]),
    ScheduleSpec(cron_string=["CRON_TZ=Asia/Tokyo"]),
    ScheduleSpec(cron_string=["CRON_TZ=Asia/Tokyo 0 * * * *", "0 1 * * *"]),
    ScheduleSpec(timezone_name="No/Where"),
    ScheduleSpec(interval=[IntervalSpec()]),
    ScheduleSpec(interval=[IntervalSpec(interval=Duration(seconds=5), phase=Duration(seconds=6))]),
    ScheduleSpec(interval=[IntervalSpec(interval=Duration(seconds=5), phase=Duration(seconds=-6))]),
    ScheduleSpec(structured_calendar=[StructuredCalendarSpec(hour=[Range(start=25)])]),
    ScheduleSpec(structured_calendar=[StructuredCalendarSpec(hour=[Range(start=5, end=3)])]),
    ScheduleSpec(
        structured_calendar=[StructuredCalendarSpec(hour=[Range(start=5, end=8, step=-1)])]
    ),
    ScheduleSpec(structured_calendar=[StructuredCalendarSpec(comment="x" * 300)]),
)


async def _missing(stage: Stage, calls: _Schedules) -> None:
    """Every other call, on a schedule that is not there, without an id, and without what it is
    about."""
    service, given = stage.service, calls.schedule()
    for label, schedule_id in (("missing", calls.name("missing")), ("no id", "")):
        names: dict[str, Any] = {"namespace": stage.namespace, "schedule_id": schedule_id}
        rows = {
            "describe": service.describe_schedule(DescribeScheduleRequest(**names)),
            "update": service.update_schedule(UpdateScheduleRequest(**names, schedule=given)),
            "patch": service.patch_schedule(
                PatchScheduleRequest(**names, patch=SchedulePatch(pause="x"))
            ),
            "delete": service.delete_schedule(DeleteScheduleRequest(**names)),
            "times": service.list_schedule_matching_times(
                ListScheduleMatchingTimesRequest(
                    **names, start_time=_time(FIRST), end_time=_time(LAST)
                )
            ),
        }
        for call, answer in rows.items():
            await stage.outcome(f"{call}: {label}", answer)
    names = {"namespace": stage.namespace, "schedule_id": calls.name("missing")}
    await stage.outcome("no patch", service.patch_schedule(PatchScheduleRequest(**names)))
    await stage.outcome("no schedule", service.update_schedule(UpdateScheduleRequest(**names)))


_SPECS = (
    ScheduleSpec(
        cron_string=["CRON_TZ=US/Eastern 0 12 * * MON-FRI # lunch", "TZ=US/Eastern @daily"]
    ),
    ScheduleSpec(cron_string=["@weekly", "@yearly", "@hourly", "@every 1d/90m"]),
    ScheduleSpec(cron_string=["15 0 12 1-5/2,8 * sun 2030", "15 0 12 * * 2030", "0 0 * * 5-7"]),
    ScheduleSpec(cron_string=["5/15 3 * janu tues-sat", "*,5 */2 */10 * *", "0 0 29 2 *"]),
    ScheduleSpec(
        calendar=[
            CalendarSpec(hour="3", comment="night"),
            CalendarSpec(minute="*/7", day_of_week="Monday", month="January-March", year="2028"),
        ],
        timezone_name="Asia/Tokyo",
        jitter=Duration(seconds=5),
        start_time=_time(FIRST),
    ),
    ScheduleSpec(
        structured_calendar=[
            StructuredCalendarSpec(hour=[Range(start=3, end=9, step=2), Range(start=5)])
        ],
        exclude_calendar=[CalendarSpec(hour="3")],
    ),
)
_RANGES = (
    (ScheduleSpec(cron_string=["30 1 * * *"], timezone_name="US/Eastern"), "2026-11-01T02:00:00"),
    (ScheduleSpec(cron_string=["0 */2 * * *"], timezone_name="US/Eastern"), "2026-03-08T03:00:00"),
    (
        ScheduleSpec(cron_string=["15 0-3 * * *"], timezone_name="Europe/Berlin"),
        "2026-03-28T20:00:00",
    ),
    (
        ScheduleSpec(cron_string=["0 0 * * *"], timezone_name="America/Sao_Paulo"),
        "2018-11-03T20:00:00",
    ),
    (
        ScheduleSpec(
            interval=[
                IntervalSpec(interval=Duration(seconds=7 * 3600), phase=Duration(seconds=300))
            ],
            exclude_calendar=[CalendarSpec(minute="5", hour="14")],
        ),
        "2026-01-01T00:00:00",
    ),
    (ScheduleSpec(cron_string=["0 0 29 2 *", "0 0 31 * *"]), "2028-02-28T12:00:00"),
)


async def schedule_specs(stage: Stage) -> None:
    """Specifications as they are read, and when they match."""
    calls = _Schedules(stage)
    for index, spec in enumerate(_SPECS):
        await calls.create(f"spec {index}", schedule=calls.schedule(spec=spec))
        described = await calls.describe(f"spec {index}")
        stage.message(f"spec {index}", described.schedule)
    for index, (spec, begin) in enumerate(_RANGES):
        await calls.create(f"range {index}", schedule=calls.schedule(spec=spec))
        end = _time(begin)
        end.seconds += 40 * 3600
        found = await stage.service.list_schedule_matching_times(
            ListScheduleMatchingTimesRequest(
                namespace=stage.namespace,
                schedule_id=calls.name(f"range {index}"),
                start_time=_time(begin),
                end_time=end,
            )
        )
        stage.observe(f"times {index}", [time.ToJsonString() for time in found.start_time])


async def schedule_overlaps(stage: Stage) -> None:
    """Three times come while a workflow goes on, under each policy."""
    calls = _Schedules(stage)
    await asyncio.gather(*(_overlap(stage, calls, policy) for policy in range(1, 7)))


async def _overlap(
    stage: Stage, calls: _Schedules, policy: ScheduleOverlapPolicy.ValueType | int
) -> None:
    name = f"policy {policy}"
    policies = SchedulePolicies(overlap_policy=policy)  # type: ignore[arg-type]
    await calls.create(name, schedule=calls.schedule(name, policies=policies))
    await calls.patch(
        name,
        trigger_immediately=TriggerImmediatelyRequest(),
    )
    await calls.until(name, lambda described: described.info.action_count == 1)
    await calls.patch(
        name, backfill_request=[BackfillRequest(start_time=_time(FIRST), end_time=_time(LAST))]
    )

    def has_come(described: DescribeScheduleResponse) -> bool:
        info = described.info
        return info.overlap_skipped + info.buffer_size + info.action_count > 1

    described = await calls.until(name, has_come)
    if policy == ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER:
        described = await calls.until(name, lambda one: one.info.action_count == 2)
    info = described.info
    stage.observe(f"{name}: at first", [info.overlap_skipped, info.buffer_size])
    for _ in range(5):
        await calls.terminate(described)
        ended = {running.workflow_id for running in described.info.running_workflows}
        described = await calls.until(
            name,
            lambda one, ended=ended: (  # type: ignore[misc]
                not ended & {running.workflow_id for running in one.info.running_workflows}
                and (bool(one.info.running_workflows) or not one.info.buffer_size)
            ),
        )
    started = [action.start_workflow_result.workflow_id for action in described.info.recent_actions]
    stage.observe(
        f"{name}: started", [one.removesuffix("Z").rpartition("-")[2] for one in started[1:]]
    )
    info = described.info
    stage.observe(f"{name}: counted", [info.action_count, info.overlap_skipped, info.buffer_size])


async def schedule_starts(stage: Stage) -> None:
    """What a workflow that is started by a schedule begins with, and how both are described."""
    calls = _Schedules(stage)
    action = calls.action(
        memo=Memo(fields={"key": _payload(b"1")}),
        workflow_task_timeout=Duration(seconds=7),
        search_attributes=SearchAttributes(indexed_fields={"BuildIds": _payload(b'["one"]')}),
    )
    action.user_metadata.summary.CopyFrom(_payload(b'"summary"'))
    action.header.fields["header"].CopyFrom(_payload(b"2"))
    action.priority.priority_key = 2
    given = calls.schedule(action=ScheduleAction(start_workflow=action))
    await calls.create("start", schedule=given, memo=Memo(fields={"note": _payload(b"3")}))
    await calls.patch(
        "start",
        backfill_request=[
            BackfillRequest(start_time=_time("2026-01-01T00:01:00"), end_time=_time(FIRST))
        ],
    )
    await calls.patch(
        "start",
        backfill_request=[
            BackfillRequest(start_time=_time(FIRST), end_time=_time("2026-01-01T00:01:00"))
        ],
    )
    described = await calls.until("start", lambda one: bool(one.info.running_workflows))
    stage.message("schedule", described.schedule)
    stage.message("memo", described.memo)
    stage.message("action", described.info.recent_actions[0])
    (running,) = described.info.running_workflows
    stage.message("running", running)
    events = await stage.fetch(running)
    stage.message("started", events[0])
    await calls.terminate(described)
    await calls.until("start", lambda one: not one.info.running_workflows)


async def schedule_pauses(stage: Stage) -> None:
    """Notes and pauses, and how often the conflict token changes."""
    calls = _Schedules(stage)
    await calls.create("pauses", schedule=calls.schedule(state=None))

    async def token() -> int:
        return int.from_bytes((await calls.describe("pauses")).conflict_token, "big")

    stage.observe("token at first", await token())
    await calls.patch("pauses", pause="stop")
    described = await calls.until("pauses", lambda one: one.schedule.state.paused)
    stage.message("paused", described.schedule.state)
    stage.observe("token when paused", await token())
    await calls.patch("pauses", unpause="go on")
    described = await calls.until("pauses", lambda one: not one.schedule.state.paused)
    stage.message("unpaused", described.schedule.state)
    stage.observe("token when unpaused", await token())
    update = UpdateScheduleRequest(
        namespace=stage.namespace,
        schedule_id=calls.name("pauses"),
        schedule=calls.schedule(state=ScheduleState(notes="new", limited_actions=True)),
        conflict_token=described.conflict_token,
        request_id="update",
    )
    stage.message("update", await stage.service.update_schedule(update))
    described = await calls.until("pauses", lambda one: one.schedule.state.notes == "new")
    stage.message("updated", described.schedule)
    stage.observe("token when updated", await token())
    stage.observe("no more times", len(described.info.future_action_times))
    names = {"namespace": stage.namespace, "schedule_id": calls.name("pauses")}
    deletion = DeleteScheduleRequest(**names)
    stage.message("delete", await stage.service.delete_schedule(deletion))


async def schedule_listing(stage: Stage) -> None:
    """Lists and counts by queries, and queries that are refused."""
    calls = _Schedules(stage)
    name = calls.name("listed")
    await calls.create("listed", memo=Memo(fields={"note": _payload(b"3")}))
    list_schedules = stage.service.list_schedules
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            request = ListSchedulesRequest(
                namespace=stage.namespace,
                query=f"ScheduleId = '{name}' AND TemporalSchedulePaused = true",
            )
            found = await list_schedules(request)
            if found.schedules:
                break
            await asyncio.sleep(0.05)
    stage.message("found", found)
    for label, query in {
        "by workflow id": f"WorkflowId = '{name}'",
        "by status": "ExecutionStatus = 'Running'",
        "by type": "WorkflowType = 'x'",
        "by an unknown name": "Nope = 1",
        "by nonsense": "x y z",
        "not paused": f"ScheduleId = '{name}' AND TemporalSchedulePaused = false",
        "by a prefix": f"ScheduleId STARTS_WITH '{name[:-2]}'",
    }.items():
        await stage.outcome(
            f"list {label}",
            list_schedules(ListSchedulesRequest(namespace=stage.namespace, query=query)),
        )
        await stage.outcome(
            f"count {label}",
            stage.service.count_schedules(
                CountSchedulesRequest(namespace=stage.namespace, query=query)
            ),
        )
