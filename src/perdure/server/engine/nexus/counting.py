"""What is counted of Nexus requests and completions, by the names that the real server has."""

from __future__ import annotations

from temporalio.api.nexus.v1 import Request

from perdure.server.machines.ports import SECOND_NS

ROWS_MAX = 10_000
"""Combinations of endpoint, namespace and outcome that are told apart."""
STARTED = ("sync_success", "async_success")
ERRORS = ("operation_error", "failure")
TIMED_OUT = "handler_timeout"
EMPTY = "handler_error_EMPTY_OUTCOME"


class NexusCounts:
    """Counters of one server: their names with labels, and their values."""

    def __init__(self) -> None:
        self._rows: dict[str, float] = {}

    def request(self, namespace: str, request: Request, outcome: str, length_ns: int) -> None:
        """A worker was asked, and that became of it."""
        is_start = request.HasField("start_operation")
        method = "StartNexusOperation" if is_start else "CancelNexusOperation"
        labels = (
            f'method="{method}",namespace="{_quotable(namespace)}",'
            f'nexus_endpoint="{_quotable(request.endpoint)}",'
            f'outcome="{outcome}"'
        )
        self._add("nexus_requests", labels, 1)
        if outcome not in STARTED and outcome != "success":
            self._add("nexus_request_errors", labels, 1)
        self._add("nexus_latency_sum", labels, length_ns / SECOND_NS)
        self._add("nexus_latency_count", labels, 1)

    def completion(self, namespace: str, outcome: str) -> None:
        """A completion came."""
        labels = f'namespace="{_quotable(namespace)}",outcome="{outcome}"'
        self._add("nexus_completion_requests", labels, 1)

    def rows(self) -> dict[str, float]:
        """Names with labels, and their values, in order."""
        return {key: self._rows[key] for key in sorted(self._rows)}

    def _add(self, name: str, labels: str, value: float) -> None:
        key = f'{name}{{{labels},service_name="frontend"}}'
        if key in self._rows or len(self._rows) < ROWS_MAX:
            self._rows[key] = self._rows.get(key, 0) + value


def _quotable(text: str) -> str:
    """A name as Prometheus reads it in quotes: a namespace may be called anything."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
