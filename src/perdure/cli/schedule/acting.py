"""`perdure schedule trigger`, `backfill`, `toggle` and `delete`."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.calling import Target, call
from perdure.cli.parameters import DEFAULT_ADDRESS, AddressOption, JsonOption, NamespaceOption
from perdure.cli.saying import say
from perdure.cli.schedule.parameters import (
    OverlapOption,
    ScheduleIdOption,
    time_option,
    timestamp_of,
)

if TYPE_CHECKING:
    from temporalio.api.schedule.v1 import SchedulePatch

    from perdure.client import Client


def trigger(
    *,
    schedule_id: ScheduleIdOption,
    overlap_policy: OverlapOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Let a schedule act now."""
    from temporalio.api.schedule.v1 import SchedulePatch, TriggerImmediatelyRequest

    request = TriggerImmediatelyRequest(
        overlap_policy=overlap_policy.number if overlap_policy else 0  # type: ignore[arg-type]
    )
    _patch(Target(address, namespace), schedule_id, SchedulePatch(trigger_immediately=request))
    tell(schedule_id, "triggered", as_json=as_json)


def backfill(
    *,
    schedule_id: ScheduleIdOption,
    start_time: Annotated[datetime, time_option("From this time on.")],
    end_time: Annotated[datetime, time_option("Up to this time.")],
    overlap_policy: OverlapOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Let a schedule act for its times of the past."""
    from temporalio.api.schedule.v1 import BackfillRequest, SchedulePatch

    if end_time < start_time:
        raise typer.BadParameter("is before --start-time", param_hint="--end-time")
    request = BackfillRequest(
        start_time=timestamp_of(start_time),
        end_time=timestamp_of(end_time),
        overlap_policy=overlap_policy.number if overlap_policy else 0,  # type: ignore[arg-type]
    )
    _patch(Target(address, namespace), schedule_id, SchedulePatch(backfill_request=[request]))
    tell(schedule_id, "backfilling", as_json=as_json)


def toggle(
    *,
    schedule_id: ScheduleIdOption,
    pause: Annotated[bool, typer.Option("--pause", help="Let it act no more.")] = False,
    unpause: Annotated[bool, typer.Option("--unpause", help="Let it act again.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Notes, for people.")] = "(no reason)",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Pause or unpause a schedule."""
    from temporalio.api.schedule.v1 import SchedulePatch

    if pause == unpause:
        raise typer.BadParameter("say one of --pause and --unpause")
    patch = SchedulePatch(pause=reason) if pause else SchedulePatch(unpause=reason)
    _patch(Target(address, namespace), schedule_id, patch)
    tell(schedule_id, "paused" if pause else "unpaused", as_json=as_json)


def delete(
    *,
    schedule_id: ScheduleIdOption,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Forget a schedule; what it has started goes on."""
    from temporalio.api.workflowservice.v1 import DeleteScheduleRequest

    async def forget(client: Client) -> None:
        await client.workflow_service.delete_schedule(
            DeleteScheduleRequest(namespace=namespace, schedule_id=schedule_id)
        )

    call(Target(address, namespace), forget)
    tell(schedule_id, "deleted", as_json=as_json)


def tell(schedule_id: str, done: str, *, as_json: bool) -> None:
    """Say what was done with a schedule."""
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"scheduleId": schedule_id, "done": done})
    else:
        say(f"{done} schedule {schedule_id}")


def _patch(target: Target, schedule_id: str, patch: SchedulePatch) -> None:
    from temporalio.api.workflowservice.v1 import PatchScheduleRequest

    async def send(client: Client) -> None:
        await client.workflow_service.patch_schedule(
            PatchScheduleRequest(
                namespace=target.namespace,
                schedule_id=schedule_id,
                request_id=str(uuid.uuid4()),
                patch=patch,
            )
        )

    call(target, send)
