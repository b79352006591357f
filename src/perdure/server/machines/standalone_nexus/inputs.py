"""What is asked of a standalone Nexus operation, besides what became of calls to its handler
(`machines.workflow.inputs`), and what is answered."""

from __future__ import annotations

import msgspec
from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionRequest

from perdure.server.machines.nexus.outcomes import OperationOutcome
from perdure.server.machines.standalone.inputs import (
    Delete,
    Describe,
    Described,
    RequestCancel,
    Started,
    Terminate,
)
from perdure.server.machines.standalone_nexus.state import OperationRun
from perdure.server.machines.workflow.inputs import (
    Done,
    NexusCancelAnswered,
    NexusStartAnswered,
    WakeUp,
)


class StartOperation(msgspec.Struct):
    """Begin a run at an endpoint that there is."""

    request: StartNexusOperationExecutionRequest
    endpoint_id: str


class CompleteOperation(msgspec.Struct):
    """Its handler tells how it has ended."""

    run_id: str
    request_id: str
    """The operation's."""
    outcome: OperationOutcome
    operation_token: str = ""
    start_time_ns: int = 0
    """When the handler began it; 0 when it did not say."""
    links: tuple[bytes, ...] = ()


Input = (
    StartOperation
    | Describe
    | RequestCancel
    | Terminate
    | Delete
    | CompleteOperation
    | NexusStartAnswered
    | NexusCancelAnswered
    | WakeUp
)


Reply = Done | Started | Described[OperationRun]
