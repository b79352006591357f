"""PollWorkflowExecutionTimeSkipping: what it would wait for is switched off, as in the stock
server."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import PollWorkflowExecutionTimeSkippingRequest

from perdure.server.frontend import switched_off
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import check_execution
from perdure.transport import Caller


async def poll_workflow_execution_time_skipping(
    services: Services, request: PollWorkflowExecutionTimeSkippingRequest, caller: Caller
) -> bytes:
    """Refused, once it is clear that the request is one."""
    services.bind(request.namespace)
    check_execution(request.HasField("workflow_execution"), request.workflow_execution)
    raise switched_off.refusal("PollWorkflowExecutionTimeSkipping", request.namespace)
