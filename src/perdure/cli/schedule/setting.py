"""`perdure schedule create` and `update`: the same options; an update replaces all they say."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.calling import Target, call
from perdure.cli.parameters import (
    DEFAULT_ADDRESS,
    AddressOption,
    InputFileOption,
    InputOption,
    JsonOption,
    NamespaceOption,
    duration,
    duration_option,
    inputs_from,
    json_from,
)
from perdure.cli.schedule.acting import tell
from perdure.cli.schedule.parameters import (
    OverlapOption,
    ScheduleIdOption,
    pairs_from,
    payloads_from,
    seconds_of,
    time_option,
    timestamp_of,
)

if TYPE_CHECKING:
    from temporalio.api.schedule.v1 import CalendarSpec, IntervalSpec, Schedule, ScheduleSpec

    from perdure.client import Client


def _repeated(name: str, metavar: str, help_text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=f"{help_text} (may be repeated).")


_TypeOption = Annotated[str, typer.Option("--type", help="Which workflow, by its name.")]
_QueueOption = Annotated[
    str, typer.Option("--task-queue", "-t", help="Whose workers shall run it.")
]
_WorkflowIdOption = Annotated[
    str, typer.Option("--workflow-id", "-w", help="What its ids begin with; made up, unless given.")
]
_CalendarOption = Annotated[
    list[str],
    _repeated("--calendar", "JSON", 'Times, such as {"dayOfWeek":"Fri","hour":"17"}'),
]
_CronOption = Annotated[list[str], _repeated("--cron", "CRON", "Times as cron has them")]
_IntervalOption = Annotated[
    list[str], _repeated("--interval", "DURATION[/PHASE]", "Every so often, such as 90m or 1h/15m")
]
_ZoneOption = Annotated[
    str, typer.Option("--time-zone", help="Of the calendars, as Europe/Berlin.")
]
_StartOption = Annotated[datetime | None, time_option("Not before.")]
_EndOption = Annotated[datetime | None, time_option("Not after.")]
_JitterOption = Annotated[
    timedelta | None, duration_option("Each time may be so much later, by chance.")
]
_CatchupOption = Annotated[
    timedelta | None, duration_option("How far back to catch up when the server was down.")
]
_PauseOnFailureOption = Annotated[
    bool, typer.Option("--pause-on-failure", help="Pause when a workflow fails or times out.")
]
_RemainingOption = Annotated[
    int, typer.Option("--remaining-actions", min=0, help="So many actions at most; 0: no limit.")
]
_NotesOption = Annotated[str, typer.Option("--notes", help="Notes, for people.")]
_PausedOption = Annotated[bool, typer.Option("--paused", help="Begin paused.")]
_MemoOption = Annotated[list[str], _repeated("--memo", "KEY=JSON", "A note of each workflow")]
_AttributeOption = Annotated[
    list[str],
    _repeated("--search-attribute", "KEY=JSON", "A search attribute of each workflow"),
]
_ScheduleMemoOption = Annotated[
    list[str], _repeated("--schedule-memo", "KEY=JSON", "A note of the schedule")
]
_ScheduleAttributeOption = Annotated[
    list[str],
    _repeated("--schedule-search-attribute", "KEY=JSON", "A search attribute of the schedule"),
]
_ExecutionTimeout = Annotated[
    timedelta | None, duration_option("How long a workflow may take, with all its runs.")
]
_RunTimeout = Annotated[timedelta | None, duration_option("How long a run may take.")]
_TaskTimeout = Annotated[timedelta | None, duration_option("How long a workflow task may take.")]


def create(
    *,
    schedule_id: ScheduleIdOption,
    workflow_type: _TypeOption,
    task_queue: _QueueOption,
    workflow_id: _WorkflowIdOption = "",
    calendars: _CalendarOption = [],  # noqa: B006 -- typer copies it
    crons: _CronOption = [],  # noqa: B006
    intervals: _IntervalOption = [],  # noqa: B006
    time_zone: _ZoneOption = "",
    start_time: _StartOption = None,
    end_time: _EndOption = None,
    jitter: _JitterOption = None,
    inputs: InputOption = [],  # noqa: B006
    input_files: InputFileOption = [],  # noqa: B006
    execution_timeout: _ExecutionTimeout = None,
    run_timeout: _RunTimeout = None,
    task_timeout: _TaskTimeout = None,
    overlap_policy: OverlapOption = None,
    catchup_window: _CatchupOption = None,
    pause_on_failure: _PauseOnFailureOption = False,
    remaining_actions: _RemainingOption = 0,
    notes: _NotesOption = "",
    paused: _PausedOption = False,
    memo: _MemoOption = [],  # noqa: B006
    search_attributes: _AttributeOption = [],  # noqa: B006
    schedule_memo: _ScheduleMemoOption = [],  # noqa: B006
    schedule_search_attributes: _ScheduleAttributeOption = [],  # noqa: B006
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Begin a schedule."""
    from temporalio.api.workflowservice.v1 import CreateScheduleRequest

    given = dict(locals())
    request = CreateScheduleRequest(
        namespace=namespace, schedule_id=schedule_id, request_id=str(uuid.uuid4())
    )
    request.schedule.CopyFrom(_schedule(given))

    async def begin(client: Client) -> None:
        await _fill_in(client, request.schedule, given)
        memo = await payloads_from(client, pairs_from(schedule_memo, "--schedule-memo"))
        for name, payload in memo.items():
            request.memo.fields[name].CopyFrom(payload)
        values = pairs_from(schedule_search_attributes, "--schedule-search-attribute")
        for name, payload in (await payloads_from(client, values)).items():
            request.search_attributes.indexed_fields[name].CopyFrom(payload)
        await client.workflow_service.create_schedule(request)

    call(Target(address, namespace), begin)
    tell(schedule_id, "created", as_json=as_json)


def update(
    *,
    schedule_id: ScheduleIdOption,
    workflow_type: _TypeOption,
    task_queue: _QueueOption,
    workflow_id: _WorkflowIdOption = "",
    calendars: _CalendarOption = [],  # noqa: B006
    crons: _CronOption = [],  # noqa: B006
    intervals: _IntervalOption = [],  # noqa: B006
    time_zone: _ZoneOption = "",
    start_time: _StartOption = None,
    end_time: _EndOption = None,
    jitter: _JitterOption = None,
    inputs: InputOption = [],  # noqa: B006
    input_files: InputFileOption = [],  # noqa: B006
    execution_timeout: _ExecutionTimeout = None,
    run_timeout: _RunTimeout = None,
    task_timeout: _TaskTimeout = None,
    overlap_policy: OverlapOption = None,
    catchup_window: _CatchupOption = None,
    pause_on_failure: _PauseOnFailureOption = False,
    remaining_actions: _RemainingOption = 0,
    notes: _NotesOption = "",
    paused: _PausedOption = False,
    memo: _MemoOption = [],  # noqa: B006
    search_attributes: _AttributeOption = [],  # noqa: B006
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Replace what a schedule does; what is not said is as for a new one."""
    from temporalio.api.workflowservice.v1 import DescribeScheduleRequest, UpdateScheduleRequest

    given = dict(locals())
    schedule = _schedule(given)

    async def replace(client: Client) -> None:
        await _fill_in(client, schedule, given)
        described = await client.workflow_service.describe_schedule(
            DescribeScheduleRequest(namespace=namespace, schedule_id=schedule_id)
        )
        await client.workflow_service.update_schedule(
            UpdateScheduleRequest(
                namespace=namespace,
                schedule_id=schedule_id,
                request_id=str(uuid.uuid4()),
                schedule=schedule,
                conflict_token=described.conflict_token,
            )
        )

    call(Target(address, namespace), replace)
    tell(schedule_id, "updated", as_json=as_json)


def _schedule(given: dict[str, Any]) -> Schedule:
    from temporalio.api.schedule.v1 import Schedule

    schedule = Schedule()
    schedule.spec.CopyFrom(_spec(given))
    action = schedule.action.start_workflow
    action.workflow_type.name = given["workflow_type"]
    action.task_queue.name = given["task_queue"]
    action.workflow_id = given["workflow_id"] or f"{given['workflow_type']}-{given['schedule_id']}"
    for name in ("execution_timeout", "run_timeout", "task_timeout"):
        if given[name] is not None:
            getattr(action, f"workflow_{name}").CopyFrom(seconds_of(given[name]))
    policies = schedule.policies
    if given["overlap_policy"] is not None:
        policies.overlap_policy = given["overlap_policy"].number
    if given["catchup_window"] is not None:
        policies.catchup_window.CopyFrom(seconds_of(given["catchup_window"]))
    policies.pause_on_failure = given["pause_on_failure"]
    schedule.state.notes, schedule.state.paused = given["notes"], given["paused"]
    schedule.state.limited_actions = given["remaining_actions"] > 0
    schedule.state.remaining_actions = given["remaining_actions"]
    return schedule


async def _fill_in(client: Client, schedule: Schedule, given: dict[str, Any]) -> None:
    """Add what the client's converter makes payloads of."""
    action = schedule.action.start_workflow
    args = inputs_from(given["inputs"], given["input_files"])
    if args:
        action.input.payloads.extend(await client.data_converter.encode(args))
    memo = await payloads_from(client, pairs_from(given["memo"], "--memo"))
    for name, payload in memo.items():
        action.memo.fields[name].CopyFrom(payload)
    values = pairs_from(given["search_attributes"], "--search-attribute")
    for name, payload in (await payloads_from(client, values)).items():
        action.search_attributes.indexed_fields[name].CopyFrom(payload)


def _spec(given: dict[str, Any]) -> ScheduleSpec:
    from temporalio.api.schedule.v1 import ScheduleSpec

    spec = ScheduleSpec(
        calendar=map(_calendar, given["calendars"]),
        cron_string=given["crons"],
        interval=map(_interval, given["intervals"]),
        timezone_name=given["time_zone"],
    )
    for name in ("start_time", "end_time"):
        if given[name] is not None:
            getattr(spec, name).CopyFrom(timestamp_of(given[name]))
    if given["jitter"] is not None:
        spec.jitter.CopyFrom(seconds_of(given["jitter"]))
    return spec


def _calendar(text: str) -> CalendarSpec:
    from google.protobuf.json_format import ParseDict, ParseError
    from temporalio.api.schedule.v1 import CalendarSpec

    try:
        return ParseDict(json_from(text, "--calendar"), CalendarSpec())
    except ParseError as error:
        raise typer.BadParameter(str(error), param_hint="--calendar") from None


def _interval(text: str) -> IntervalSpec:
    from temporalio.api.schedule.v1 import IntervalSpec

    length, _, phase = text.partition("/")
    return IntervalSpec(
        interval=seconds_of(duration(length)), phase=seconds_of(duration(phase)) if phase else None
    )
