"""How workflow code is run: guarded against what would not replay, or not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkflowRunner:
    """A way to run workflow code."""

    guarded: bool


@dataclass(frozen=True)
class SandboxedWorkflowRunner(WorkflowRunner):
    """Workflow code that calls what would not replay fails its task, unless the class says
    `sandboxed=False`."""

    guarded: bool = True


@dataclass(frozen=True)
class UnsandboxedWorkflowRunner(WorkflowRunner):
    """Workflow code may call anything."""

    guarded: bool = False
