"""Handling Nexus operations: what their handlers are made of, and what they can ask.

Services and operations themselves are described with the `nexusrpc` package. Import this module
only where operations are handled: it is the one that needs that package.
"""

from __future__ import annotations

from perdure.client.callback import NexusCallback
from perdure.nexus._client import TemporalNexusClient, TemporalOperationResult
from perdure.nexus._contexts import (
    TemporalCancelOperationContext,
    TemporalStartOperationContext,
    WorkflowRunOperationContext,
)
from perdure.nexus._decorators import (
    TemporalOperationStartHandlerFunc,
    temporal_operation,
    workflow_run_operation,
)
from perdure.nexus._handlers import (
    CancelActivityOptions,
    CancelUpdateWorkflowOptions,
    CancelWorkflowRunOptions,
    TemporalOperationHandler,
)
from perdure.nexus._running import (
    Info,
    LoggerAdapter,
    client,
    in_operation,
    info,
    is_worker_shutdown,
    logger,
    metric_meter,
    wait_for_worker_shutdown,
    wait_for_worker_shutdown_sync,
)
from perdure.nexus._token import WorkflowHandle

__all__ = [
    "CancelActivityOptions",
    "CancelUpdateWorkflowOptions",
    "CancelWorkflowRunOptions",
    "Info",
    "LoggerAdapter",
    "NexusCallback",
    "TemporalCancelOperationContext",
    "TemporalNexusClient",
    "TemporalOperationHandler",
    "TemporalOperationResult",
    "TemporalOperationStartHandlerFunc",
    "TemporalStartOperationContext",
    "WorkflowHandle",
    "WorkflowRunOperationContext",
    "client",
    "in_operation",
    "info",
    "is_worker_shutdown",
    "logger",
    "metric_meter",
    "temporal_operation",
    "wait_for_worker_shutdown",
    "wait_for_worker_shutdown_sync",
    "workflow_run_operation",
]
