"""The request that tells somebody how a run has ended: a completed Nexus operation, as Temporal's
server posts it."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import msgspec
from temporalio.api.common.v1 import Callback as ProtoCallback
from temporalio.api.enums.v1 import event_type_pb2
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
from perdure.server.machines.workflow.state import Callback, Run, Status
from perdure.server.machines.workflow.updates import WORKFLOW_COMPLETED_FIRST

LINK_TYPE = "temporal.api.common.v1.Link.WorkflowEvent"
OWN_HEADERS = frozenset(("Host", "Content-Length", "Transfer-Encoding", "Connection"))
"""What carries the request sets these."""
_ATTACHED = event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED

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


def ending_event_id(callback: Callback, run: Run) -> int:
    """The event that tells how that has ended which a callback is about."""
    update = run.updates.get(callback.update_id)
    if update is not None and update.completed_event_id:
        return update.completed_event_id
    return run.recorded.close_event_id


def completion_request(
    callback: Callback, namespace: str, workflow_id: str, run: Run, ending: HistoryEvent
) -> CompletionRequest:
    """What is posted for a callback of a run, or of an update, that the event has ended."""
    recorded = run.recorded
    if callback.update_id:
        state, content_type, body, is_chunked = _of_update(ending)
    else:
        state = {Status.COMPLETED: "succeeded", Status.CANCELED: "canceled"}.get(
            Status(recorded.status), "failed"
        )
        content_type, body, is_chunked = _content(Status(recorded.status), ending)
    registered = ProtoCallback.FromString(callback.callback)
    started = datetime.fromtimestamp(recorded.start_time_ns // SECOND_NS, UTC)
    headers = {
        _canonical(name): value
        for name, value in registered.nexus.header.items()
        if _canonical(name) not in OWN_HEADERS
    }
    if content_type:
        headers["Content-Type"] = content_type
    headers["Nexus-Link"] = _link(namespace, workflow_id, recorded.run_id, callback, run)
    headers["Nexus-Operation-Close-Time"] = _rfc3339(timestamp_ns(ending.event_time))
    headers["Nexus-Operation-Start-Time"] = _http_date(started)
    headers["Nexus-Operation-State"] = state
    return CompletionRequest(registered.nexus.url, sorted(headers.items()), body, is_chunked)


def _of_update(ending: HistoryEvent) -> tuple[str, str, bytes, bool]:
    """State, type and bytes of how an update has ended."""
    completed = ending.workflow_execution_update_completed_event_attributes
    if not ending.HasField("workflow_execution_update_completed_event_attributes"):
        failure = Failure.FromString(WORKFLOW_COMPLETED_FIRST)
    elif completed.outcome.HasField("failure"):
        failure = completed.outcome.failure
    else:
        payloads = completed.outcome.success.payloads
        content_type, body = content_of(payloads[0]) if payloads else ("", b"")
        return "succeeded", content_type, body, not body
    return "failed", "application/json", compact(plain_failure(failure)), True


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


def _link(namespace: str, workflow_id: str, run_id: str, callback: Callback, run: Run) -> str:
    path = "/".join(
        ("namespaces", _escaped(namespace), "workflows", _escaped(workflow_id), run_id, "history")
    )
    query = "eventID=1&eventType=WorkflowExecutionStarted&referenceType=EventReference"
    if callback.update_id:
        noted = run.requests.get(callback.request_id)
        is_attached = noted is not None and noted.event_type == _ATTACHED
        kind = "OptionsUpdated" if is_attached else "UpdateAccepted"
        request_id = quote_plus(callback.request_id)
        query = (
            f"eventType=WorkflowExecution{kind}&referenceType=RequestIdReference"
            f"&requestID={request_id}"
        )
    return f'<temporal:///{path}?{query}>; type="{LINK_TYPE}"'


def _escaped(text: str) -> str:
    return quote(text, safe="$&+:=@")


def _http_date(time: datetime) -> str:
    from email.utils import format_datetime  # With all it brings, for servers that call back.

    return format_datetime(time, usegmt=True)


def _rfc3339(time_ns: int) -> str:
    seconds, nanoseconds = divmod(time_ns, SECOND_NS)
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def _canonical(name: str) -> str:
    """A header's name as HTTP/1 likes it."""
    return "-".join(part.capitalize() for part in name.split("-"))
