"""The request that tells somebody how a run has ended: a completed Nexus operation, as Temporal's
server posts it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

import msgspec
from temporalio.api.common.v1 import Callback
from temporalio.api.failure.v1 import (
    CanceledFailureInfo,
    Failure,
    TerminatedFailureInfo,
    TimeoutFailureInfo,
)
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.engine.nexus.content import content_of
from perdure.server.machines.nexus.failures import compact, plain_failure
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.wire import timestamp_ns
from perdure.server.machines.workflow.state import Run, Status

LINK_TYPE = "temporal.api.common.v1.Link.WorkflowEvent"
OWN_HEADERS = frozenset(("Host", "Content-Length", "Transfer-Encoding", "Connection"))
"""What carries the request sets these."""


RESPONSE_BYTES_MAX = 4096
"""More of a response is not read where only what it says of itself is of interest."""


class CompletionRequest(msgspec.Struct, frozen=True):
    """A POST. A body of unknown length is sent in chunks, as an empty one is."""

    url: str
    headers: list[tuple[str, str]]
    body: bytes
    is_chunked: bool
    response_bytes_max: int = RESPONSE_BYTES_MAX
    """More of the response is not read."""


def completion_request(
    callback: Callback, namespace: str, workflow_id: str, run: Run, closing: HistoryEvent
) -> CompletionRequest:
    """What is posted for a callback of a run that the event has closed."""
    recorded = run.recorded
    content_type, body, is_chunked = _content(Status(recorded.status), closing)
    state = {Status.COMPLETED: "succeeded", Status.CANCELED: "canceled"}.get(
        Status(recorded.status), "failed"
    )
    started = datetime.fromtimestamp(recorded.start_time_ns // SECOND_NS, UTC)
    headers = {
        _canonical(name): value
        for name, value in callback.nexus.header.items()
        if _canonical(name) not in OWN_HEADERS
    }
    if content_type:
        headers["Content-Type"] = content_type
    headers["Nexus-Link"] = _link(namespace, workflow_id, recorded.run_id)
    headers["Nexus-Operation-Close-Time"] = _rfc3339(timestamp_ns(closing.event_time))
    headers["Nexus-Operation-Start-Time"] = format_datetime(started, usegmt=True)
    headers["Nexus-Operation-State"] = state
    return CompletionRequest(callback.nexus.url, sorted(headers.items()), body, is_chunked)


def _content(status: Status, closing: HistoryEvent) -> tuple[str, bytes, bool]:
    """Type and bytes of how a run has ended."""
    failure = Failure()
    match status:
        case Status.COMPLETED:
            payloads = closing.workflow_execution_completed_event_attributes.result.payloads
            content_type, body = content_of(payloads[0]) if payloads else ("", b"")
            return content_type, body, not body
        case Status.CANCELED:
            attributes = closing.workflow_execution_canceled_event_attributes
            failure.message = "operation canceled"
            failure.canceled_failure_info.CopyFrom(
                CanceledFailureInfo(
                    details=attributes.details if attributes.HasField("details") else None
                )
            )
        case Status.TERMINATED:
            failure.message = "operation terminated"
            failure.terminated_failure_info.CopyFrom(TerminatedFailureInfo())
        case Status.TIMED_OUT:
            failure.message = "operation exceeded internal timeout"
            failure.timeout_failure_info.CopyFrom(TimeoutFailureInfo())
        case _:
            failure.CopyFrom(closing.workflow_execution_failed_event_attributes.failure)
    return "application/json", compact(plain_failure(failure)), True


def _link(namespace: str, workflow_id: str, run_id: str) -> str:
    path = "/".join(
        ("namespaces", _escaped(namespace), "workflows", _escaped(workflow_id), run_id, "history")
    )
    query = "eventID=1&eventType=WorkflowExecutionStarted&referenceType=EventReference"
    return f'<temporal:///{path}?{query}>; type="{LINK_TYPE}"'


def _escaped(text: str) -> str:
    return quote(text, safe="$&+:=@")


def _rfc3339(time_ns: int) -> str:
    seconds, nanoseconds = divmod(time_ns, SECOND_NS)
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def _canonical(name: str) -> str:
    """A header's name as HTTP/1 likes it."""
    return "-".join(part.capitalize() for part in name.split("-"))
