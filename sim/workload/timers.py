"""The timers of a program: what is wanted of them, by what a history says."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    CancelTimerCommandAttributes,
    Command,
    StartTimerCommandAttributes,
)
from temporalio.api.enums.v1 import CommandType

from perdure.server.machines.wire import duration
from sim.workload.facts import MILLISECOND_NS, Facts


def run_timer(name: str, length_ms: int, found: Facts, wanted: list[Command]) -> bool:
    """Start a timer once; whether it is over."""
    if name not in found.timers:
        wanted.append(
            Command(
                command_type=CommandType.COMMAND_TYPE_START_TIMER,
                start_timer_command_attributes=StartTimerCommandAttributes(
                    timer_id=name,
                    start_to_fire_timeout=duration(length_ms * MILLISECOND_NS),
                ),
            )
        )
    return name in found.timers_fired or name in found.timers_cancelled


def cancel_timer(name: str, found: Facts, wanted: list[Command]) -> None:
    if name in found.timers and name not in found.timers_fired | found.timers_cancelled:
        wanted.append(
            Command(
                command_type=CommandType.COMMAND_TYPE_CANCEL_TIMER,
                cancel_timer_command_attributes=CancelTimerCommandAttributes(timer_id=name),
            )
        )
