"""What is counted of calls, and its page for Prometheus, with Temporal's names where it has them.

Counting is a few additions to lists, since every call pays for it. The text is written here too:
it is a few lines, while the client library for Python renames counters that do not end in
`_total`, as Temporal's do not.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping

from perdure.transport import Caller, CallFailed, Code, Handler

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
SERVICE = 'service_name="frontend"'

COUNTED = ("nexus_", "workflow_")
"""What begins so only grows."""

Gauges = Callable[[], Mapping[str, float]]
"""Values that are asked for when the page is; those of one name stand together."""
ERROR_NAMES: dict[Code, str] = {
    Code.ALREADY_EXISTS: "serviceerror_AlreadyExists",
    Code.DEADLINE_EXCEEDED: "serviceerror_DeadlineExceeded",
    Code.FAILED_PRECONDITION: "serviceerror_FailedPrecondition",
    Code.INTERNAL: "serviceerror_Internal",
    Code.INVALID_ARGUMENT: "serviceerror_InvalidArgument",
    Code.NOT_FOUND: "serviceerror_NotFound",
    Code.PERMISSION_DENIED: "serviceerror_PermissionDenied",
    Code.RESOURCE_EXHAUSTED: "serviceerror_ResourceExhausted",
    Code.UNAVAILABLE: "serviceerror_Unavailable",
    Code.UNIMPLEMENTED: "serviceerror_Unimplemented",
}


class _Operation:
    """What is counted of one RPC."""

    __slots__ = ("buckets", "errors", "pending", "requests", "seconds")

    def __init__(self) -> None:
        self.requests = 0
        self.pending = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(BUCKETS_SECONDS) + 1)
        self.errors: dict[str, int] = {}


class Metrics:
    """The counters of one server."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges
        self._operations: dict[str, _Operation] = {}

    def counted(self, handlers: Mapping[str, Handler]) -> dict[str, Handler]:
        """The same handlers, with their calls counted."""
        return {name: self._counted(name, handler) for name, handler in handlers.items()}

    def _counted(self, method: str, handler: Handler) -> Handler:
        operation = self._operations.setdefault(method.rpartition("/")[2], _Operation())
        clock = time.perf_counter

        async def handle(request: bytes, caller: Caller) -> bytes:
            begin = clock()
            operation.pending += 1
            try:
                return await handler(request, caller)
            except CallFailed as failure:
                name = ERROR_NAMES.get(failure.code, f"serviceerror_{failure.code.name.title()}")
                operation.errors[name] = operation.errors.get(name, 0) + 1
                raise
            finally:
                seconds = clock() - begin
                operation.pending -= 1
                operation.requests += 1
                operation.seconds += seconds
                operation.buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1

        return handle

    def render(self) -> bytes:
        """The page."""
        return "".join(f"{line}\n" for line in self._lines()).encode()

    def _lines(self) -> Iterator[str]:
        used = {
            name: one
            for name, one in sorted(self._operations.items())
            if one.requests or one.pending
        }
        yield "# HELP service_requests Calls, by RPC."
        yield "# TYPE service_requests counter"
        for name, one in used.items():
            yield f"service_requests{{{_labels(name)}}} {one.requests + one.pending}"
        yield "# HELP service_pending_requests Calls under way, by RPC."
        yield "# TYPE service_pending_requests gauge"
        for name, one in used.items():
            yield f"service_pending_requests{{{_labels(name)}}} {one.pending}"
        yield "# HELP service_errors Calls that failed, by RPC."
        yield "# TYPE service_errors counter"
        for name, one in used.items():
            yield f"service_errors{{{_labels(name)}}} {sum(one.errors.values())}"
        yield "# HELP service_error_with_type Calls that failed, by RPC and kind of error."
        yield "# TYPE service_error_with_type counter"
        for name, one in used.items():
            for error, count in sorted(one.errors.items()):
                yield f'service_error_with_type{{error_type="{error}",{_labels(name)}}} {count}'
        yield "# HELP service_latency Seconds that calls took, by RPC."
        yield "# TYPE service_latency histogram"
        for name, one in used.items():
            yield from _histogram(_labels(name), one)
        last = ""
        for labelled, value in self._gauges().items():
            name = labelled.partition("{")[0]
            if name != last:
                kind = "counter" if name.startswith(COUNTED) else "gauge"
                yield f"# TYPE {name} {kind}"
            last = name
            yield f"{labelled} {value:.9g}"


def _labels(operation: str) -> str:
    return f'operation="{operation}",{SERVICE}'


def _histogram(labels: str, operation: _Operation) -> Iterator[str]:
    count = 0
    for bound, added in zip((*BUCKETS_SECONDS, "+Inf"), operation.buckets, strict=True):
        count += added
        yield f'service_latency_bucket{{{labels},le="{bound}"}} {count}'
    yield f"service_latency_sum{{{labels}}} {operation.seconds:.9g}"
    yield f"service_latency_count{{{labels}}} {count}"
