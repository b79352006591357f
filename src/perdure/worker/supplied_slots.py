"""Places that a supplier gives out, by permits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from perdure.worker.host import HostLoad
from perdure.worker.slots import Slots, TaskSlots
from perdure.worker.tuning import (
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    ResourceBasedSlotSupplier,
    SlotInfo,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    SlotSupplier,
    slots_max,
)

_log = logging.getLogger("perdure.worker")

PAUSE_SECONDS: Final = 1.0
"""After a supplier has raised something."""
LOOK_SECONDS: Final = 0.05
"""How often it is looked whether the machine has become less busy."""
_MINIMUM_OF_WORKFLOWS: Final = 5
_THROTTLE_SECONDS: Final = 0.05


def slots_of(
    supplier: SlotSupplier,
    who: SlotReserveContext,
    info: Callable[[Any], SlotInfo],
    *,
    is_sticky: Callable[[], bool] | None = None,
) -> TaskSlots:
    """The places of one kind of task. `info` says what the supplier is told of a task, `is_sticky`
    whether the next place is for the worker's own queue.

    Raises TypeError for what is no supplier.
    """
    match supplier:
        case FixedSizeSlotSupplier():
            return Slots(supplier.num_slots)
        case ResourceBasedSlotSupplier():
            permits = ResourcePermits(supplier, is_workflow=who.slot_type == "workflow")
            return SuppliedSlots(permits, who, info, kind="ResourceBased", is_sticky=is_sticky)
        case CustomSlotSupplier():
            kind = type(supplier).__name__
            return SuppliedSlots(supplier, who, info, kind=kind, is_sticky=is_sticky)
    raise TypeError(f"Unknown slot supplier type: {supplier}")


class SuppliedSlots:
    """Places that a supplier gives out. Those that are not used yet are all alike."""

    def __init__(
        self,
        supplier: CustomSlotSupplier,
        who: SlotReserveContext,
        info: Callable[[Any], SlotInfo],
        *,
        kind: str,
        is_sticky: Callable[[], bool] | None = None,
    ) -> None:
        self._supplier = supplier
        self._who = who
        self._info = info
        self._is_sticky = is_sticky
        self._taken: list[SlotPermit] = []
        self._in_use: dict[int, tuple[SlotInfo, SlotPermit]] = {}
        self.kind = kind
        self.used = 0
        self.processed = 0
        self.failed = 0

    @property
    def available(self) -> int:
        """Only the supplier knows: nothing is told."""
        return 0

    def try_take(self) -> bool:
        """Takes a place if the supplier has one at once."""
        try:
            permit = self._supplier.try_reserve_slot(self._who)
        except Exception:  # a named boundary: the user's supplier
            _log.warning("Error in custom slot supplier `try_reserve_slot`", exc_info=True)
            return False
        if permit is not None:
            self._taken.append(permit)
        return permit is not None

    async def take(self) -> None:
        """Waits for a place."""
        while True:
            sticky = self._is_sticky is not None and self._is_sticky()
            who = replace(self._who, is_sticky=True) if sticky else self._who
            try:
                self._taken.append(await self._supplier.reserve_slot(who))
                return
            except Exception:  # a named boundary: the user's supplier
                _log.warning("Error in custom slot supplier `reserve_slot`", exc_info=True)
            await asyncio.sleep(PAUSE_SECONDS)

    def use(self, task: Any) -> None:
        """The task is worked on in a place that was taken."""
        info, permit = self._info(task), self._taken.pop()
        self._in_use[id(task)] = info, permit
        self.used += 1
        try:
            self._supplier.mark_slot_used(SlotMarkUsedContext(info, permit))
        except Exception:  # a named boundary: the user's supplier
            _log.warning("Error in custom slot supplier `mark_slot_used`", exc_info=True)

    def give_back(self, task: Any = None) -> None:
        """Frees the place of a task that is done, or one for which there was no task."""
        if task is None:
            released = SlotReleaseContext(None, self._taken.pop())
        else:
            released = SlotReleaseContext(*self._in_use.pop(id(task)))
            self.used -= 1
            self.processed += 1
        try:
            self._supplier.release_slot(released)
        except Exception:  # a named boundary: the user's supplier
            _log.warning("Error in custom slot supplier `release_slot`", exc_info=True)


class ResourcePermits(CustomSlotSupplier):
    """Gives out permits while the machine is not too busy."""

    def __init__(
        self,
        supplier: ResourceBasedSlotSupplier,
        *,
        is_workflow: bool,
        load: Callable[[], tuple[float, float]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        bounds = supplier.slot_config
        self._targets = supplier.tuner_config
        self._minimum = bounds.minimum_slots
        if self._minimum is None:
            self._minimum = _MINIMUM_OF_WORKFLOWS if is_workflow else 1
        self._maximum = slots_max(supplier) or self._minimum
        self._throttle_seconds = 0.0 if is_workflow else _THROTTLE_SECONDS
        if bounds.ramp_throttle is not None:
            self._throttle_seconds = bounds.ramp_throttle.total_seconds()
        self._load = load or HostLoad().usage
        self._clock = clock
        self._given = 0
        self._last_seconds = float("-inf")

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        """Waits until the machine is less busy."""
        while True:
            permit = self.try_reserve_slot(ctx)
            if permit is not None:
                return permit
            await asyncio.sleep(LOOK_SECONDS)

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        """A permit, if the machine allows for one more task."""
        del ctx
        assert self._minimum is not None
        now = self._clock()
        if self._given >= self._minimum:
            if self._given >= self._maximum or now < self._last_seconds + self._throttle_seconds:
                return None
            cpu, memory = self._load()
            targets = self._targets
            if cpu > targets.target_cpu_usage or memory > targets.target_memory_usage:
                return None
        self._given += 1
        self._last_seconds = now
        return SlotPermit()

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        """Changes nothing."""

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        """One task less."""
        self._given -= 1
