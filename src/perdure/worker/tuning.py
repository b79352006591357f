"""Tuners: what decides how many tasks of each kind a worker works on at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, Self, TypeAlias

from perdure.common import WorkerDeploymentVersion

SLOTS_DEFAULT: Final = 100
"""Of each kind, unless the worker is told otherwise."""
SLOTS_MAX_BY_RESOURCES: Final = 500
"""The most that a resource-based supplier gives out, unless told otherwise."""

SlotKind: TypeAlias = Literal["workflow", "activity", "local-activity", "nexus"]


@dataclass(frozen=True)
class FixedSizeSlotSupplier:
    """A number of slots."""

    num_slots: int


@dataclass(frozen=True)
class ResourceBasedTunerConfig:
    """How much of the machine may be used, as shares between 0 and 1."""

    target_memory_usage: float
    target_cpu_usage: float


@dataclass(frozen=True)
class ResourceBasedSlotConfig:
    """The bounds within which the load of the machine decides.

    `minimum_slots` (5 for workflows, else 1) are given out whatever the load is, `maximum_slots`
    (500) at most. Between two beyond the minimum, `ramp_throttle` (50 ms, none for workflows) must
    pass, so that it is seen what the one before takes.
    """

    minimum_slots: int | None = None
    maximum_slots: int | None = None
    ramp_throttle: timedelta | None = None


@dataclass(frozen=True)
class ResourceBasedSlotSupplier:
    """As many slots as the load of the machine allows."""

    slot_config: ResourceBasedSlotConfig
    tuner_config: ResourceBasedTunerConfig


class SlotPermit:
    """The right to work on a task. Subclasses may carry what their supplier wants to know."""


@dataclass(frozen=True, kw_only=True)
class SlotReserveContext:
    """Who asks for a slot."""

    slot_type: SlotKind
    task_queue: str
    worker_identity: str
    worker_build_id: str
    worker_deployment_version: WorkerDeploymentVersion | None
    is_sticky: bool
    """Whether the worker's own queue is to be polled, where workflows go on that it keeps."""


@dataclass(frozen=True)
class WorkflowSlotInfo:
    """A workflow task."""

    workflow_type: str
    is_sticky: bool


@dataclass(frozen=True)
class ActivitySlotInfo:
    """An activity."""

    activity_type: str


@dataclass(frozen=True)
class LocalActivitySlotInfo:
    """A local activity."""

    activity_type: str


@dataclass(frozen=True)
class NexusSlotInfo:
    """A Nexus task."""

    service: str
    operation: str


SlotInfo: TypeAlias = WorkflowSlotInfo | ActivitySlotInfo | LocalActivitySlotInfo | NexusSlotInfo


@dataclass(frozen=True)
class SlotMarkUsedContext:
    """A slot is used from now on."""

    slot_info: SlotInfo
    permit: SlotPermit


@dataclass(frozen=True)
class SlotReleaseContext:
    """A slot is not needed any more; it was never used if there is no info."""

    slot_info: SlotInfo | None
    permit: SlotPermit


class CustomSlotSupplier(ABC):
    """Slots as the user's code gives them out. All is called on the worker's event loop.

    What it raises is logged: a reservation is then tried again a little later.
    """

    @abstractmethod
    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        """Waits for a slot. May be cancelled."""

    @abstractmethod
    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        """A slot, if there is one at once."""

    @abstractmethod
    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        """There is a task in the slot."""

    @abstractmethod
    def release_slot(self, ctx: SlotReleaseContext) -> None:
        """The task is done, or there was none."""


SlotSupplier: TypeAlias = FixedSizeSlotSupplier | ResourceBasedSlotSupplier | CustomSlotSupplier


@dataclass(frozen=True)
class WorkerTuner:
    """A supplier for each kind of task."""

    _workflow: SlotSupplier
    _activity: SlotSupplier
    _local_activity: SlotSupplier
    _nexus: SlotSupplier

    @classmethod
    def create_fixed(
        cls,
        *,
        workflow_slots: int | None = None,
        activity_slots: int | None = None,
        local_activity_slots: int | None = None,
        nexus_slots: int | None = None,
    ) -> Self:
        """Numbers of slots; 100 where there is none."""
        counts = (workflow_slots, activity_slots, local_activity_slots, nexus_slots)
        return cls(*(FixedSizeSlotSupplier(count or SLOTS_DEFAULT) for count in counts))

    @classmethod
    def create_resource_based(
        cls,
        *,
        target_memory_usage: float,
        target_cpu_usage: float,
        workflow_config: ResourceBasedSlotConfig | None = None,
        activity_config: ResourceBasedSlotConfig | None = None,
        local_activity_config: ResourceBasedSlotConfig | None = None,
        nexus_config: ResourceBasedSlotConfig | None = None,
    ) -> Self:
        """As many slots as the load of the machine allows."""
        targets = ResourceBasedTunerConfig(target_memory_usage, target_cpu_usage)
        configs = (workflow_config, activity_config, local_activity_config, nexus_config)
        return cls(
            *(
                ResourceBasedSlotSupplier(config or ResourceBasedSlotConfig(), targets)
                for config in configs
            )
        )

    @classmethod
    def create_composite(
        cls,
        *,
        workflow_supplier: SlotSupplier,
        activity_supplier: SlotSupplier,
        local_activity_supplier: SlotSupplier,
        nexus_supplier: SlotSupplier,
    ) -> Self:
        """A supplier of its own for each kind."""
        return cls(workflow_supplier, activity_supplier, local_activity_supplier, nexus_supplier)


def slots_max(supplier: SlotSupplier) -> int | None:
    """The most slots that there can be; None when only the user's code knows."""
    match supplier:
        case FixedSizeSlotSupplier():
            return supplier.num_slots
        case ResourceBasedSlotSupplier():
            return supplier.slot_config.maximum_slots or SLOTS_MAX_BY_RESOURCES
        case _:
            return None
