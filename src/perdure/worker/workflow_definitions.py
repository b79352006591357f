"""The workflows of a worker, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perdure._definitions import WorkflowDefinition, workflow_definition_of


class WorkflowDefinitions:
    """What serves which workflow type."""

    def __init__(self, workflows: Sequence[type]) -> None:
        """Raises ValueError or TypeError for what cannot be run."""
        self._by_name: dict[str, WorkflowDefinition] = {}
        self._dynamic: WorkflowDefinition | None = None
        for workflow in workflows:
            definition = workflow_definition_of(workflow)
            if definition.name in self._by_name:
                raise ValueError(f"More than one workflow named {definition.name}")
            if definition.name is not None:
                self._by_name[definition.name] = definition
            elif self._dynamic is not None:
                raise TypeError("More than one dynamic workflow")
            else:
                self._dynamic = definition

    def find(self, workflow_type: str) -> WorkflowDefinition | None:
        """What serves a type."""
        return self._by_name.get(workflow_type, self._dynamic)

    def names(self) -> Iterable[str]:
        """The types that have a definition of their own."""
        return self._by_name
