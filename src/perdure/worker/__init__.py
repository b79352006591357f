"""Workers: the processes that run workflows and activities."""

from __future__ import annotations

from perdure._replay.api import PatchActivationInput
from perdure.worker.config import (
    PollerBehavior,
    PollerBehaviorAutoscaling,
    PollerBehaviorSimpleMaximum,
    WorkerConfig,
)
from perdure.worker.replayer import (
    Replayer,
    WorkflowReplayResult,
    WorkflowReplayResults,
)
from perdure.worker.runners import (
    SandboxedWorkflowRunner,
    UnsandboxedWorkflowRunner,
    WorkflowRunner,
)
from perdure.worker.shared_state import SharedHeartbeatSender, SharedStateManager
from perdure.worker.worker import Worker

__all__ = [
    "PatchActivationInput",
    "PollerBehavior",
    "PollerBehaviorAutoscaling",
    "PollerBehaviorSimpleMaximum",
    "Replayer",
    "SandboxedWorkflowRunner",
    "SharedHeartbeatSender",
    "SharedStateManager",
    "UnsandboxedWorkflowRunner",
    "Worker",
    "WorkerConfig",
    "WorkflowReplayResult",
    "WorkflowReplayResults",
    "WorkflowRunner",
]
