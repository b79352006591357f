"""Which of the tasks that wait in a queue is handed out first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from temporalio.api.common.v1 import Priority as PriorityMessage


@dataclass(frozen=True)
class Priority:
    """Lower keys go first; among equals, fairness keys share by weight.

    What is None is inherited from the workflow that starts this one, or is the service's default
    (key 3 of 1 to 5, fairness key "", weight 1). A fairness key has at most 64 bytes; weights are
    clamped to 0.001 to 1000.
    """

    priority_key: int | None = None
    fairness_key: str | None = None
    fairness_weight: float | None = None

    default: ClassVar[Priority]
    """Everything inherited."""

    def __post_init__(self) -> None:
        key: object = self.priority_key  # callers without a type checker pass anything
        if key is None:
            return
        if not isinstance(key, int):
            raise TypeError("priority_key must be an integer")
        if key < 1:
            raise ValueError("priority_key must be a positive integer")

    @staticmethod
    def from_proto(proto: PriorityMessage) -> Priority:
        """The priority that a message describes; a field's zero value means inherited."""
        return Priority(
            priority_key=proto.priority_key or None,
            fairness_key=proto.fairness_key or None,
            fairness_weight=proto.fairness_weight or None,
        )

    def apply_to_proto(self, proto: PriorityMessage) -> None:
        """Write this priority into a message, which is set by it, even if all is inherited."""
        proto.SetInParent()
        if self.priority_key:
            proto.priority_key = self.priority_key
        if self.fairness_key:
            proto.fairness_key = self.fairness_key
        if self.fairness_weight:
            proto.fairness_weight = self.fairness_weight


Priority.default = Priority()
