"""The client's side: start workflows, wait for them, signal, cancel and find them."""

from __future__ import annotations

from perdure.client.async_activity import AsyncActivityHandle, AsyncActivityIDReference
from perdure.client.client import Client, ClientConfig
from perdure.client.errors import (
    AsyncActivityCancelledError,
    RPCTimeoutOrCancelledError,
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from perdure.client.executions import (
    WorkflowExecution,
    WorkflowExecutionAsyncIterator,
    WorkflowExecutionCount,
    WorkflowExecutionCountAggregationGroup,
    WorkflowExecutionDescription,
)
from perdure.client.handle import WorkflowHandle
from perdure.client.history import WorkflowHistory, WorkflowHistoryEventAsyncIterator
from perdure.client.status import (
    WorkflowExecutionStatus,
    WorkflowHistoryEventFilterType,
    WorkflowUpdateStage,
)
from perdure.client.updates import WorkflowUpdateHandle
from perdure.common.activity_cancellation import ActivityCancellationDetails
from perdure.converter import (
    ActivitySerializationContext,
    DataConverter,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from perdure.exceptions import WorkflowAlreadyStartedError
from perdure.service import (
    ConnectConfig,
    KeepAliveConfig,
    RetryConfig,
    RPCError,
    RPCStatusCode,
    ServiceClient,
    TLSConfig,
)

__all__ = [
    "ActivityCancellationDetails",
    "ActivitySerializationContext",
    "AsyncActivityCancelledError",
    "AsyncActivityHandle",
    "AsyncActivityIDReference",
    "Client",
    "ClientConfig",
    "ConnectConfig",
    "DataConverter",
    "KeepAliveConfig",
    "RPCError",
    "RPCStatusCode",
    "RPCTimeoutOrCancelledError",
    "RetryConfig",
    "SerializationContext",
    "ServiceClient",
    "TLSConfig",
    "WithSerializationContext",
    "WorkflowAlreadyStartedError",
    "WorkflowContinuedAsNewError",
    "WorkflowExecution",
    "WorkflowExecutionAsyncIterator",
    "WorkflowExecutionCount",
    "WorkflowExecutionCountAggregationGroup",
    "WorkflowExecutionDescription",
    "WorkflowExecutionStatus",
    "WorkflowFailureError",
    "WorkflowHandle",
    "WorkflowHistory",
    "WorkflowHistoryEventAsyncIterator",
    "WorkflowHistoryEventFilterType",
    "WorkflowQueryFailedError",
    "WorkflowQueryRejectedError",
    "WorkflowSerializationContext",
    "WorkflowUpdateFailedError",
    "WorkflowUpdateHandle",
    "WorkflowUpdateRPCTimeoutOrCancelledError",
    "WorkflowUpdateStage",
]
