"""What is counted of Nexus requests and completions, by the names that the real server has."""

from __future__ import annotations

from temporalio.api.nexus.v1 import Request

from perdure.server.engine.counters import Counters, quotable
from perdure.server.machines.ports import SECOND_NS

STARTED = ("sync_success", "async_success")
ERRORS = ("operation_error", "failure")
TIMED_OUT = "handler_timeout"
EMPTY = "handler_error_EMPTY_OUTCOME"


class NexusCounts:
    """Counters of one server: their names with labels, and their values."""

    def __init__(self) -> None:
        self._counters = Counters()

    def request(self, namespace: str, request: Request, outcome: str, length_ns: int) -> None:
        """A worker was asked, and that became of it."""
        is_start = request.HasField("start_operation")
        method = "StartNexusOperation" if is_start else "CancelNexusOperation"
        labels = (
            f'method="{method}",namespace="{quotable(namespace)}",'
            f'nexus_endpoint="{quotable(request.endpoint)}",'
            f'outcome="{outcome}"'
        )
        self._add("nexus_requests", labels, 1)
        if outcome not in STARTED and outcome != "success":
            self._add("nexus_request_errors", labels, 1)
        self._add("nexus_latency_sum", labels, length_ns / SECOND_NS)
        self._add("nexus_latency_count", labels, 1)

    def completion(self, namespace: str, outcome: str) -> None:
        """A completion came."""
        labels = f'namespace="{quotable(namespace)}",outcome="{outcome}"'
        self._add("nexus_completion_requests", labels, 1)

    def rows(self) -> dict[str, float]:
        """Names with labels, and their values, in order."""
        return self._counters.rows()

    def _add(self, name: str, labels: str, value: float) -> None:
        self._counters.add(name, f'{labels},service_name="frontend"', value)
