"""The workflows of a worker, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perdure._definitions import WorkflowDefinition, workflow_definition_of
from perdure.worker.deployment import WorkerDeploymentConfig


class WorkflowDefinitions:
    """What serves which workflow type."""

    def __init__(
        self, workflows: Sequence[type], deployment: WorkerDeploymentConfig | None = None
    ) -> None:
        """Raises ValueError or TypeError for what cannot be run."""
        self._by_name: dict[str, WorkflowDefinition] = {}
        self._dynamic: WorkflowDefinition | None = None
        for workflow in workflows:
            definition = workflow_definition_of(workflow)
            _check_behavior(definition, deployment)
            if definition.name in self._by_name:
                raise ValueError(f"More than one workflow named {definition.name}")
            if definition.name is not None:
                self._by_name[definition.name] = definition
            elif self._dynamic is not None:
                raise TypeError("More than one dynamic workflow")
            else:
                self._dynamic = definition

    def all(self) -> list[WorkflowDefinition]:
        """Every definition, the dynamic one last."""
        dynamic = [] if self._dynamic is None else [self._dynamic]
        return [*self._by_name.values(), *dynamic]

    def find(self, workflow_type: str) -> WorkflowDefinition | None:
        """What serves a type."""
        return self._by_name.get(workflow_type, self._dynamic)

    def names(self) -> Iterable[str]:
        """The types that have a definition of their own."""
        return self._by_name


def _check_behavior(
    definition: WorkflowDefinition, deployment: WorkerDeploymentConfig | None
) -> None:
    """Raises ValueError where the service could not know which version a workflow is for."""
    if deployment is None or not deployment.use_worker_versioning:
        return
    has_behavior = (
        deployment.default_versioning_behavior
        or definition.versioning_behavior
        or definition.dynamic_config_fn is not None
    )
    if not has_behavior:
        raise ValueError(
            f"Workflow {definition.name} must specify a versioning behavior using the"
            " `versioning_behavior` argument to `@workflow.defn`, or the worker's"
            " deployment_config must have a default_versioning_behavior"
        )
