"""How workflow code is run: guarded against what would not replay, or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from perdure.worker.restrictions import SandboxRestrictions


@dataclass(frozen=True)
class WorkflowRunner:
    """A way to run workflow code."""

    guarded: ClassVar[bool]


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
