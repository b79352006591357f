"""GetWorkflowExecutionHistory and GetWorkflowExecutionHistoryReverse.

Histories are served as the bytes in which they are stored. A reader pages through what is recorded;
on the last page come, for those who can take them, the entries of a workflow task that are not
recorded yet. With `wait_new_event` a reader that has seen all waits for more, in slices: an empty
page with a token means "ask again".

With the close-event filter a reader waits for a run to close, whether it asks to wait or not, and
gets its last event.
"""

from __future__ import annotations

from temporalio.api.enums.v1 import event_type_pb2, workflow_pb2
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    GetWorkflowExecutionHistoryReverseRequest,
    GetWorkflowExecutionHistoryReverseResponse,
)

from perdure.server.engine.api import HistoryPage, NamespaceRef
from perdure.server.frontend.responses import embedded
from perdure.server.frontend.services import Services
from perdure.server.frontend.tokens import (
    HistoryToken,
    decode_history_token,
    encode_history_token,
)
from perdure.server.frontend.validation import LONG_POLL_TAIL_SECONDS, check_execution
from perdure.server.machines.wire import SECOND_NS, history_entry
from perdure.transport import Caller

PAGE_EVENTS_MAX = 256
"""What one may ask for."""
REVERSE_BYTES_MAX = 4 * 1024 * 1024
REVERSE_EVENTS_AT_ONCE = 16
"""A page of newest events ends with the chunk of so many that makes it larger than that."""

CLIENTS_WITHOUT_UNRECORDED = frozenset(("temporal-cli", "temporal-ui"))
"""They show a history to people, who would see its last events change."""
FOLLOWS_RUNS = "follows-next-run-id"

_HISTORY = GetWorkflowExecutionHistoryResponse.HISTORY_FIELD_NUMBER
_CLOSE_EVENT = workflow_pb2.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT


async def get_workflow_execution_history(
    services: Services, request: GetWorkflowExecutionHistoryRequest, caller: Caller
) -> bytes:
    """A page of a history, or its close event."""
    namespace = services.bind(request.namespace)
    check_execution(request.HasField("execution"), request.execution)
    token = HistoryToken(request.execution.run_id, 1)
    if request.next_page_token:
        token = decode_history_token(request.next_page_token, request.execution.run_id)
    if request.history_event_filter_type == _CLOSE_EVENT:
        return await _close_event(services, namespace, request, token.run_id, caller)
    return await _page(services, namespace, request, token, caller)


async def _page(
    services: Services,
    namespace: NamespaceRef,
    request: GetWorkflowExecutionHistoryRequest,
    token: HistoryToken,
    caller: Caller,
) -> bytes:
    page = await _read(services, namespace, request, token)
    if request.wait_new_event and page.is_open and token.next_event_id > page.last_event_id:
        await services.engine.wait_for_events(
            namespace,
            request.execution.workflow_id,
            page.run_id,
            token.next_event_id - 1,
            wait_seconds(services, caller),
        )
        page = await _read(services, namespace, request, token)
    if token.next_event_id > page.last_event_id:
        # Nothing new. Only an open run is worth asking about again.
        is_waiting = request.wait_new_event and page.is_open
        return _response(b"", _following(token, page) if is_waiting else None)
    last_event_id = token.last_event_id or page.last_event_id
    if page.next_event_id <= last_event_id:
        return _response(page.history, _following(token, page))
    history = page.history + _unrecorded(token, page, caller)
    is_waiting = request.wait_new_event and page.is_open and not token.last_event_id
    return _response(history, _following(token, page) if is_waiting else None)


async def _read(
    services: Services,
    namespace: NamespaceRef,
    request: GetWorkflowExecutionHistoryRequest,
    token: HistoryToken,
) -> HistoryPage:
    return await services.engine.read_history(
        namespace,
        request.execution.workflow_id,
        token.run_id,
        first_event_id=token.next_event_id,
        events_max=_page_size(services, request.maximum_page_size),
        last_event_id=token.last_event_id or None,
    )


def _following(token: HistoryToken, page: HistoryPage) -> HistoryToken:
    return HistoryToken(page.run_id, page.next_event_id, token.last_event_id, token.unrecorded)


def _unrecorded(token: HistoryToken, page: HistoryPage, caller: Caller) -> bytes:
    """What follows the last recorded event: of the task that the token belongs to, else as of
    now."""
    if token.last_event_id:
        return token.unrecorded
    if page.unrecorded and caller.header("client-name") not in CLIENTS_WITHOUT_UNRECORDED:
        return page.unrecorded
    return b""


async def _close_event(
    services: Services,
    namespace: NamespaceRef,
    request: GetWorkflowExecutionHistoryRequest,
    run_id: str,
    caller: Caller,
) -> bytes:
    workflow_id = request.execution.workflow_id
    close = await services.engine.wait_for_close(
        namespace, workflow_id, run_id, wait_seconds(services, caller)
    )
    if not close.close_event_id:
        return _response(b"", HistoryToken(close.run_id, 1) if request.wait_new_event else None)
    page = await services.engine.read_history(
        namespace, workflow_id, close.run_id, first_event_id=close.close_event_id, events_max=1
    )
    history = page.history
    if close.successor_run_id and not _follows_runs(caller):
        history = _as_continued(history)
    return _response(history, None)


def _follows_runs(caller: Caller) -> bool:
    return FOLLOWS_RUNS in caller.header("supported-features").split(",")


_OUTCOMES: dict[int, tuple[str, str]] = {
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: (
        "workflow_execution_completed_event_attributes",
        "result",
    ),
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: (
        "workflow_execution_failed_event_attributes",
        "failure",
    ),
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: (
        "workflow_execution_timed_out_event_attributes",
        "",
    ),
}


def _as_continued(history: bytes) -> bytes:
    """For clients that follow a chain only through ContinuedAsNew: the close event of a retried or
    cron run in that form."""
    event = History.FromString(history).events[0]
    if event.event_type not in _OUTCOMES:
        return history
    field, outcome = _OUTCOMES[event.event_type]
    attributes = getattr(event, field)
    continued = HistoryEvent(
        event_id=event.event_id,
        event_time=event.event_time,
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
        version=event.version,
        task_id=event.task_id,
    )
    target = continued.workflow_execution_continued_as_new_event_attributes
    target.new_execution_run_id = attributes.new_execution_run_id
    if outcome == "result" and attributes.HasField("result"):
        target.last_completion_result.CopyFrom(attributes.result)
    elif outcome == "failure":
        target.failure.CopyFrom(attributes.failure)
    else:
        target.failure.message = "workflow timeout"
        target.failure.timeout_failure_info.SetInParent()
    return history_entry(continued.SerializeToString())


async def get_workflow_execution_history_reverse(
    services: Services, request: GetWorkflowExecutionHistoryReverseRequest, caller: Caller
) -> bytes:
    """A page of recorded events, newest first."""
    namespace = services.bind(request.namespace)
    check_execution(request.HasField("execution"), request.execution)
    workflow_id, run_id = request.execution.workflow_id, request.execution.run_id
    if request.next_page_token:
        token = decode_history_token(request.next_page_token, run_id)
        run_id, last_event_id = token.run_id, token.next_event_id
    else:
        view = await services.engine.describe(namespace, workflow_id, run_id)
        run_id = view.run.recorded.run_id
        last_event_id = view.run.recorded.next_event_id - 1
    first_event_id = max(1, last_event_id - _page_size(services, request.maximum_page_size) + 1)
    response = GetWorkflowExecutionHistoryReverseResponse()
    size = 0
    while last_event_id >= first_event_id and size < REVERSE_BYTES_MAX:
        begins = max(first_event_id, last_event_id - REVERSE_EVENTS_AT_ONCE + 1)
        history = await _read_range(services, namespace, workflow_id, run_id, begins, last_event_id)
        response.history.events.extend(reversed(History.FromString(history).events))
        size += len(history)
        last_event_id = begins - 1
    if last_event_id >= 1:
        response.next_page_token = encode_history_token(HistoryToken(run_id, last_event_id))
    return response.SerializeToString()


async def _read_range(
    services: Services,
    namespace: NamespaceRef,
    workflow_id: str,
    run_id: str,
    first_event_id: int,
    last_event_id: int,
) -> bytes:
    """All events of a closed range."""
    parts = []
    while first_event_id <= last_event_id:
        page = await services.engine.read_history(
            namespace,
            workflow_id,
            run_id,
            first_event_id=first_event_id,
            events_max=last_event_id - first_event_id + 1,
            last_event_id=last_event_id,
        )
        parts.append(page.history)
        first_event_id = page.next_event_id
    return b"".join(parts)


def _page_size(services: Services, asked: int) -> int:
    return min(asked, PAGE_EVENTS_MAX) if asked > 0 else services.limits.history_page_events


def wait_seconds(services: Services, caller: Caller) -> float:
    """How long a call may wait before it is answered with what there is."""
    seconds_max = services.limits.history_poll_ns_max / SECOND_NS
    remaining = caller.time_remaining()
    if remaining is None:
        return seconds_max
    return max(0.0, min(seconds_max, remaining - LONG_POLL_TAIL_SECONDS))


def _response(history: bytes, following: HistoryToken | None) -> bytes:
    """The history is there even when it is empty: SDKs read its events without asking."""
    response = embedded(_HISTORY, history)
    if following is None:
        return response
    return (
        response
        + GetWorkflowExecutionHistoryResponse(
            next_page_token=encode_history_token(following)
        ).SerializeToString()
    )
