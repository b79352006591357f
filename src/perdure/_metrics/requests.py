"""The metrics of calls to the service, under the names of the official SDK.

| name | what |
|---|---|
| request, request_latency, request_failure | calls that are answered at once |
| long_request, long_request_latency, long_request_failure | calls that wait for something |

Each attempt counts. Attributes: `operation` (the RPC), `namespace` where there is one, and
`status_code` of failures.
"""

from __future__ import annotations

import time
from datetime import timedelta

from perdure.common.metrics import MetricAttributes, MetricMeter

_POLL = "Poll"


class RequestMetrics:
    """Counts calls and tells how long they took."""

    def __init__(self, meter: MetricMeter, prefix: str) -> None:
        self._counts = {}
        self._latencies = {}
        self._failures = {}
        for is_long in (False, True):
            name = f"{prefix}{'long_' if is_long else ''}request"
            kind = "long poll " if is_long else ""
            self._counts[is_long] = meter.create_counter(name, f"Count of {kind}requests")
            self._latencies[is_long] = meter.create_histogram_timedelta(
                f"{name}_latency", f"Latency of {kind}requests", "duration"
            )
            self._failures[is_long] = meter.create_counter(
                f"{name}_failure", f"Count of {kind}request failures"
            )

    def note(
        self,
        method: str,
        namespace: str,
        begun: float,
        *,
        long_poll: bool,
        failed: str | None = None,
    ) -> None:
        """One attempt has ended, that began at that time of `time.monotonic`."""
        operation = method.rpartition("/")[2]
        attributes: MetricAttributes = {"operation": operation}
        if namespace:
            attributes = {**attributes, "namespace": namespace}
        is_long = long_poll or operation.startswith(_POLL)
        self._counts[is_long].add(1, attributes)
        took = timedelta(seconds=max(0.0, time.monotonic() - begun))
        self._latencies[is_long].record(took, attributes)
        if failed is not None:
            self._failures[is_long].add(1, {**attributes, "status_code": failed})
