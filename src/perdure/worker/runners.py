"""How workflow code is run: guarded against what would not replay, or not.

The official SDK's runners may also make the instances that take a workflow's activations, which are
messages of its core. There are no such messages here, so such a runner is refused, not ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from perdure.worker.restrictions import SandboxRestrictions


class WorkflowRunner:
    """A way to run workflow code: not guarded, unless it says so."""

    guarded: ClassVar[bool] = False

    def prepare_workflow(self, defn: Any) -> None:
        """Called with each definition of a worker. Raises what is to stop the worker."""


def check_runner(runner: WorkflowRunner) -> None:
    """Raises TypeError for a runner that would not be asked for what it is there for."""
    if hasattr(runner, "create_instance"):
        raise TypeError(
            f"{type(runner).__name__}.create_instance would never be called: activations are not "
            "messages here. Use a worker interceptor to act around workflow code"
        )


@dataclass(frozen=True)
class UnsandboxedWorkflowRunner(WorkflowRunner):
    """Workflow code may call anything."""

    guarded: ClassVar[bool] = False


@dataclass(frozen=True)
class SandboxedWorkflowRunner(WorkflowRunner):
    """Workflow code that calls what would not replay fails its task, unless the class says
    `sandboxed=False`. The restrictions are accepted and not used."""

    restrictions: SandboxRestrictions = SandboxRestrictions.default
    runner_class: type[WorkflowRunner] = UnsandboxedWorkflowRunner

    guarded: ClassVar[bool] = True
