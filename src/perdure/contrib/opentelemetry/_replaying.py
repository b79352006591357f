"""Whether workflow code only repeats what it has done before."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from perdure import workflow


def repeats() -> bool:
    """Whether what is told now was told before. Queries and validators of updates are asked once,
    and what is outside workflows never repeats."""
    return workflow.in_workflow() and workflow.unsafe.is_replaying_history_events()


def outside_guard() -> AbstractContextManager[None]:
    """Providers look at clocks and take locks, and what they hand data to may do what it likes."""
    return workflow.unsafe.sandbox_unrestricted() if workflow.in_workflow() else nullcontext()
