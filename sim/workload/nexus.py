"""Stages that call Nexus operations, and what their handler makes of each."""

from __future__ import annotations

import msgspec
from temporalio.api.command.v1 import (
    Command,
    RequestCancelNexusOperationCommandAttributes,
    ScheduleNexusOperationCommandAttributes,
)
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import CommandType

from perdure.server.machines.wire import duration
from sim.workload.facts import MILLISECOND_NS, Facts, Stage
from sim.workload.timers import cancel_timer, run_timer

ENDPOINT = "endpoint"
ENDPOINTS = {ENDPOINT: "endpoint-id"}


def operation(name: str, stage: Stage, found: Facts, wanted: list[Command], signals: int) -> bool:
    """Call an operation and wait for its end; after a while it is asked to end."""
    event_id = found.operations.get(name)
    is_timer_over = run_timer(name, stage.timer_ms, found, wanted)
    if event_id is None:
        wanted.append(_schedule(name, stage))
        return False
    is_over = event_id in found.operations_over
    if is_over and not is_timer_over:
        cancel_timer(name, found, wanted)
    elif is_timer_over and not is_over and event_id not in found.operations_cancelled:
        wanted.append(_cancel(event_id))
    return is_over


def _schedule(name: str, stage: Stage) -> Command:
    plan = stage.operation
    assert plan is not None, "such a stage has a plan for its operation"
    attributes = ScheduleNexusOperationCommandAttributes(
        endpoint=ENDPOINT,
        service="service",
        operation=name,
        input=Payload(data=msgspec.json.encode(plan)),
        schedule_to_close_timeout=duration(plan.schedule_to_close_ms * MILLISECOND_NS),
    )
    for field in ("schedule_to_start", "start_to_close"):
        length_ms: int = getattr(plan, f"{field}_ms")
        if length_ms:
            getattr(attributes, f"{field}_timeout").CopyFrom(duration(length_ms * MILLISECOND_NS))
    return Command(
        command_type=CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION,
        schedule_nexus_operation_command_attributes=attributes,
    )


def _cancel(event_id: int) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION,
        request_cancel_nexus_operation_command_attributes=(
            RequestCancelNexusOperationCommandAttributes(scheduled_event_id=event_id)
        ),
    )
