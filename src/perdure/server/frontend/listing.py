"""ListWorkflowExecutions and its relatives, and CountWorkflowExecutions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
    ListArchivedWorkflowExecutionsRequest,
    ListClosedWorkflowExecutionsRequest,
    ListOpenWorkflowExecutionsRequest,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    ScanWorkflowExecutionsRequest,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.responses import embedded
from perdure.server.frontend.services import Services
from perdure.server.frontend.tokens import decode_list_token, encode_list_token
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.search_attributes import KEYWORD, Scalar
from perdure.server.machines.wire import timestamp_ns
from perdure.server.machines.workflow.codec import decode_run, record_key
from perdure.server.machines.workflow.state import BlobName, RecordKind, Status
from perdure.server.store.codec import unseal
from perdure.server.store.ports import (
    GROUPS_MAX,
    ListedRun,
    RecordName,
    TooManyGroups,
    VisibilityCursor,
)
from perdure.server.visibility.execution_info import execution_info
from perdure.server.visibility.query.binding import (
    NO_NAMES,
    STATUSES,
    QueryError,
    system_attribute,
    understand,
)
from perdure.server.visibility.query.tree import (
    And,
    Attribute,
    Between,
    Compare,
    Comparison,
    Filter,
    Query,
)
from perdure.transport import Caller

PAGE_BYTES_MAX = 4 * 1024 * 1024
RUNS_AT_FIRST = 20
"""A run may have a memo of megabytes: how many fit a page is known once some were seen."""
RUNS_WITHOUT_PAUSE = 50
"""How many runs are turned into messages (a few milliseconds) before others have their turn."""
TIME_NS_MAX = 2**63 - 1

SHOWN_RECORDS: tuple[RecordName, ...] = (
    (RecordKind.BLOB, record_key(RecordKind.BLOB, BlobName.MEMO)),
    (RecordKind.BLOB, record_key(RecordKind.BLOB, BlobName.SEARCH_ATTRIBUTES)),
)
"""What a list shows of a run that is not in its head."""

STATUS_NAMES: dict[Scalar, str] = {number: name for name, number in STATUSES.items()}
_EXECUTIONS = ListWorkflowExecutionsResponse.EXECUTIONS_FIELD_NUMBER

_LegacyRequest = ListOpenWorkflowExecutionsRequest | ListClosedWorkflowExecutionsRequest


async def list_workflow_executions(
    services: Services, request: ListWorkflowExecutionsRequest, caller: Caller
) -> bytes:
    """A page of the runs that a query is true of: open ones first, newest first, unless it says
    otherwise."""
    namespace = services.bind(request.namespace)
    query = understood(namespace, request.query)
    return await _page(services, namespace, query, request.page_size, request.next_page_token)


async def scan_workflow_executions(
    services: Services, request: ScanWorkflowExecutionsRequest, caller: Caller
) -> bytes:
    """The same list: this old call promises no order."""
    namespace = services.bind(request.namespace)
    query = understood(namespace, request.query)
    return await _page(services, namespace, query, request.page_size, request.next_page_token)


async def count_workflow_executions(
    services: Services, request: CountWorkflowExecutionsRequest, caller: Caller
) -> bytes:
    """How many runs a query is true of, and of each group how many, if it makes groups."""
    namespace = services.bind(request.namespace)
    query = understood(namespace, request.query, is_count=True)
    try:
        counts = await services.store.count_executions(namespace.number, query)
    except TooManyGroups as error:
        raise InvalidArgument(
            f"invalid query: what it groups by has more than {GROUPS_MAX:,} values: count fewer"
            " runs, by a condition before GROUP BY"
        ) from error
    response = CountWorkflowExecutionsResponse(count=sum(counts.values()))
    if query.group is not None:
        named = {_group_value(query.group, value): count for value, count in counts.items()}
        for name, count in sorted(named.items(), key=lambda pair: (-pair[1], pair[0])):
            group = response.groups.add(count=count)
            group.group_values.append(
                Payload(
                    metadata={"encoding": b"json/plain", "type": b"Keyword"},
                    data=msgspec.json.encode(name),
                )
            )
    return response.SerializeToString()


async def list_open_workflow_executions(
    services: Services, request: ListOpenWorkflowExecutionsRequest, caller: Caller
) -> bytes:
    """Open runs, by the filters of an old call."""
    namespace = services.bind(request.namespace)
    query = _legacy_query(request, Compare(_STATUS, Comparison.EQUAL, Status.RUNNING), _START_TIME)
    size, token = request.maximum_page_size, request.next_page_token
    return await _page(services, namespace, query, size, token)


async def list_closed_workflow_executions(
    services: Services, request: ListClosedWorkflowExecutionsRequest, caller: Caller
) -> bytes:
    """Closed runs, by the filters of an old call."""
    namespace = services.bind(request.namespace)
    status = Compare(_STATUS, Comparison.UNEQUAL, Status.RUNNING)
    if request.HasField("status_filter"):
        if request.status_filter.status in (0, Status.RUNNING):
            raise InvalidArgument("StatusFilter must be specified and must be not Running.")
        if request.status_filter.status not in STATUS_NAMES:
            raise InvalidArgument(
                "invalid query: invalid expression: invalid ExecutionStatus value"
                f" '{request.status_filter.status}'"
            )
        status = Compare(_STATUS, Comparison.EQUAL, request.status_filter.status)
    query = _legacy_query(request, status, _CLOSE_TIME)
    size, token = request.maximum_page_size, request.next_page_token
    return await _page(services, namespace, query, size, token)


async def list_archived_workflow_executions(
    services: Services, request: ListArchivedWorkflowExecutionsRequest, caller: Caller
) -> bytes:
    """Refused: there is no archive."""
    services.bind(request.namespace)
    raise InvalidArgument("Cluster is not configured for visibility archival.")


# ---- queries

_STATUS, _START_TIME, _CLOSE_TIME, _TYPE, _ID = (
    system_attribute(name)
    for name in ("ExecutionStatus", "StartTime", "CloseTime", "WorkflowType", "WorkflowId")
)


def understood(
    namespace: NamespaceRef,
    text: str,
    *,
    is_count: bool = False,
    names: Mapping[str, str | Attribute] = NO_NAMES,
) -> Query:
    """A query as it is typed. Raises InvalidArgument."""
    try:
        return understand(text, namespace.search_attributes, is_count=is_count, names=names)
    except QueryError as error:
        raise InvalidArgument(f"invalid query: {error}") from error


def _legacy_query(request: _LegacyRequest, status: Filter, time: Attribute) -> Query:
    parts = [*_query_of_everything(), status]
    times = request.start_time_filter
    earliest_ns = _time_ns(times.earliest_time) if times.HasField("earliest_time") else 0
    latest_ns = _time_ns(times.latest_time) if times.HasField("latest_time") else TIME_NS_MAX
    if earliest_ns > latest_ns:
        raise InvalidArgument(
            "EarliestTime in StartTimeFilter should not be larger than LatestTime."
        )
    parts.append(Between(time, earliest_ns, latest_ns))
    if request.HasField("type_filter"):
        parts.append(Compare(_TYPE, Comparison.EQUAL, request.type_filter.name))
    if request.HasField("execution_filter"):
        parts.append(Compare(_ID, Comparison.EQUAL, request.execution_filter.workflow_id))
    return Query(And(tuple(parts)))


def _time_ns(time: Timestamp) -> int:
    """A time that a store can compare: no run is of the years beyond."""
    return max(-TIME_NS_MAX, min(timestamp_ns(time), TIME_NS_MAX))


def _query_of_everything() -> list[Filter]:
    everything = understand("").filter
    return [] if everything is None else [everything]


def _group_value(group: Attribute, value: Scalar | None) -> str:
    if value is None:
        return ""
    return STATUS_NAMES[value] if group.name == _STATUS.name else str(value)


# ---- pages


async def _page(
    services: Services, namespace: NamespaceRef, query: Query, size: int, token: bytes
) -> bytes:
    """A serialised ListWorkflowExecutionsResponse; its relatives have the same fields."""
    after = checked_cursor(query, decode_list_token(token)) if token else None
    size_max = services.limits.list_page_max
    limit = size if 0 < size <= size_max else size_max
    parts: list[bytes] = []
    size_bytes, chunk = 0, RUNS_AT_FIRST
    while True:
        page = await services.store.list_executions(
            namespace.number, after, min(chunk, limit - len(parts)), SHOWN_RECORDS, query
        )
        after = page.next
        for listed in page.runs:
            if len(parts) % RUNS_WITHOUT_PAUSE == RUNS_WITHOUT_PAUSE - 1:
                await asyncio.sleep(0)
            parts.append(embedded(_EXECUTIONS, _info(listed)))
            size_bytes += len(parts[-1])
        if after is None or len(parts) >= limit or size_bytes >= PAGE_BYTES_MAX:
            break
        # So many more as fit, if they are like those before.
        chunk = 1 + (PAGE_BYTES_MAX - size_bytes) * len(parts) // max(size_bytes, 1)
    if after is not None:
        token_of_next = encode_list_token(after)
        following = ListWorkflowExecutionsResponse(next_page_token=token_of_next)
        parts.append(following.SerializeToString())
    return b"".join(parts)


def checked_cursor(query: Query, cursor: VisibilityCursor) -> VisibilityCursor:
    """A cursor that goes with the order of a query. Raises InvalidArgument."""
    order = query.order
    is_right = len(cursor.keys) == len(order) and all(
        key is None or isinstance(key, str) == _is_text(part.attribute)
        for part, key in zip(order, cursor.keys, strict=True)
    )
    if not is_right:
        raise InvalidArgument("Invalid NextPageToken.")
    return cursor


def _is_text(attribute: Attribute) -> bool:
    return attribute.type == KEYWORD and attribute.name != _STATUS.name


def _info(listed: ListedRun) -> bytes:
    """The serialised `WorkflowExecutionInfo` of a run. Raises CorruptBlob."""
    run = decode_run(
        unseal(listed.head),
        [(record.kind, record.key, unseal(record.blob)) for record in listed.records],
    )
    return execution_info(run, listed.identity.workflow_id)
