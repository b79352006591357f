"""What a converter may know of where a value is going: its serialisation context."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self


class SerializationContext(ABC):  # noqa: B024 -- a closed family of records, without behaviour
    """Where a value comes from or goes to."""


@dataclass(frozen=True)
class WorkflowSerializationContext(SerializationContext):
    """The value belongs to a workflow."""

    namespace: str
    workflow_id: str


@dataclass(frozen=True)
class ActivitySerializationContext(SerializationContext):
    """The value belongs to an activity; what is not known at the time is None."""

    namespace: str
    activity_id: str | None
    activity_type: str | None
    activity_task_queue: str | None
    workflow_id: str | None
    workflow_type: str | None
    is_local: bool


@dataclass(frozen=True)
class NexusSerializationContext(SerializationContext):
    """The value belongs to a Nexus operation."""

    endpoint: str
    service: str
    operation: str


class WithSerializationContext(ABC):
    """A converter or codec that wants to know the context."""

    @abstractmethod
    def with_context(self, context: SerializationContext) -> Self:
        """The one to use for values of this context; `self` stays as it is."""


def in_context(component: Any, context: SerializationContext) -> Any:
    """The component for a context: itself, unless it wants to know the context."""
    if isinstance(component, WithSerializationContext):
        return component.with_context(context)
    return component
