"""Which requests are let in: so many a second, and so many that wait.

Temporal's server has such limits by default (2,400 a second for all and for each namespace, 1,200
of each method that wait); here there are none until they are set, and then what is not limited
costs nothing. A second's worth of requests may come at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from temporalio.api.enums.v1 import ResourceExhaustedCause, ResourceExhaustedScope

from perdure.server.engine.clock import Clock
from perdure.server.machines.errors import RequestsLimited
from perdure.server.machines.ports import Limits
from perdure.server.machines.queue.rate import RateLimit
from perdure.server.namespaces.registry import NamespaceNotFound, NamespaceRegistry
from perdure.transport import Caller

if TYPE_CHECKING:
    from perdure.server.frontend.services import Services

Rpc = Callable[["Services", Any, Caller], Awaitable[bytes]]

WAITING = frozenset(
    {
        "DescribeActivityExecution",
        "DescribeNexusOperationExecution",
        "ExecuteMultiOperation",
        "GetWorkflowExecutionHistory",
        "PollActivityExecution",
        "PollActivityTaskQueue",
        "PollNexusOperationExecution",
        "PollNexusTaskQueue",
        "PollWorkflowExecutionTimeSkipping",
        "PollWorkflowExecutionUpdate",
        "PollWorkflowTaskQueue",
        "QueryWorkflow",
        "UpdateWorkflowExecution",
    }
)
"""Methods that may wait: `frontend.namespaceCount` of each at a time."""
FINDING = frozenset(
    {
        "CountActivityExecutions",
        "CountNexusOperationExecutions",
        "CountSchedules",
        "CountWorkflowExecutions",
        "ListActivityExecutions",
        "ListClosedWorkflowExecutions",
        "ListNexusOperationExecutions",
        "ListOpenWorkflowExecutions",
        "ListSchedules",
        "ListWorkflowExecutions",
        "ScanWorkflowExecutions",
    }
)
"""Methods that look for executions: `frontend.namespaceRPS.visibility` of them together."""
SYSTEM = ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_SYSTEM
NAMESPACE = ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE
TOO_FAST = ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT
TOO_MANY = ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT


class Admission:
    """What is counted of requests, by namespace. Unknown ones share a count: they would fill it."""

    def __init__(self, limits: Limits, clock: Clock, namespaces: NamespaceRegistry) -> None:
        self._limits = limits
        self._clock = clock
        self._namespaces = namespaces
        self._of_all = _rate(limits.requests_per_second)
        self._rates: dict[tuple[str, bool], RateLimit] = {}
        self._waiting: Counter[tuple[str, str]] = Counter()

    def guarded(self, name: str, rpc: Rpc) -> Rpc:
        """The RPC, behind the limits that are set for it."""
        limits = self._limits
        waits = name in WAITING and limits.waiting_requests_max > 0
        is_finding = name in FINDING
        per_second = (
            limits.finding_requests_per_second
            if is_finding
            else limits.namespace_requests_per_second
        )
        if not waits and not per_second and not limits.requests_per_second:
            return rpc

        async def admit(services: Services, request: Message, caller: Caller) -> bytes:
            namespace = self._known(getattr(request, "namespace", ""))
            # Who waits for a place takes none of the requests of this second, as in Temporal.
            if not waits or not _would_wait(request):
                self._take(namespace, is_finding, per_second)
                return await rpc(services, request, caller)
            with self._place(namespace, name):
                self._take(namespace, is_finding, per_second)
                return await rpc(services, request, caller)

        return admit

    def _known(self, name: str) -> str:
        try:
            return self._namespaces.by_name(name).id
        except NamespaceNotFound:
            return ""

    def _take(self, namespace: str, is_finding: bool, per_second: int) -> None:
        """Raises RequestsLimited."""
        now_ns = self._clock.now_ns()
        if per_second:
            rate = self._rates.get((namespace, is_finding))
            if rate is None:
                rate = self._rates[namespace, is_finding] = _rate(per_second)
            if rate.free_at(now_ns) > now_ns:
                raise RequestsLimited("namespace rate limit exceeded", TOO_FAST, NAMESPACE)
            rate.take(now_ns)
        if self._of_all.free_at(now_ns) > now_ns:
            raise RequestsLimited("service rate limit exceeded", TOO_FAST, SYSTEM)
        self._of_all.take(now_ns)

    @contextmanager
    def _place(self, namespace: str, name: str) -> Iterator[None]:
        """Raises RequestsLimited."""
        key = (namespace, name)
        if self._waiting[key] >= self._limits.waiting_requests_max:
            raise RequestsLimited("namespace concurrent poller limit exceeded", TOO_MANY, NAMESPACE)
        self._waiting[key] += 1
        try:
            yield
        finally:
            self._waiting[key] -= 1


def _rate(per_second: int) -> RateLimit:
    rate = RateLimit()
    rate.set(per_second or None)
    return rate


def _would_wait(request: Message) -> bool:
    """A read of a history waits only when it asks for it."""
    return bool(getattr(request, "wait_new_event", True))
