"""What calls about executions without a workflow have in common: activities
(`standalone_activities`) and Nexus operations (`standalone_nexus`). What is wrong with a request,
and in which words, is told apart, as the real server tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec
from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1 import UserMetadata

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.listing import STATUS_NAMES, checked_cursor, understood
from perdure.server.frontend.services import Services
from perdure.server.frontend.tokens import decode_list_token, encode_list_token
from perdure.server.frontend.validation import is_too_long, long_poll_seconds
from perdure.server.machines.errors import InvalidArgument, InvariantViolation
from perdure.server.machines.ports import SECOND_NS, Address, Kind
from perdure.server.machines.standalone.inputs import Describe, Described, Started
from perdure.server.machines.standalone.state import START_KEY, START_RECORD, RunT
from perdure.server.store.codec import unseal
from perdure.server.store.ports import GROUPS_MAX, TooManyGroups
from perdure.server.visibility.query.tree import Attribute
from perdure.transport import Caller

METADATA_BYTES_MAX = {"summary": 400, "details": 20_000}
"""Of each payload of a start's user metadata; starts of workflows have no such limit."""
RUNS_WITHOUT_PAUSE = 50
"""How many runs are decoded before others have their turn."""

DecodeRun = Callable[[bytes, Iterable[tuple[int, bytes, bytes]]], RunT]


class ListRequest(Protocol):
    """What all requests of lists have."""

    namespace: str
    page_size: int
    next_page_token: bytes
    query: str


# ---- one


async def started(
    services: Services, namespace: NamespaceRef, whom: Address, start: object
) -> Started:
    """The run that a start leads to. Raises Rejected."""
    reply = await services.engine.ask(namespace, whom, start)
    if not isinstance(reply, Started):
        raise InvariantViolation(f"a start was answered by {type(reply).__name__}")
    return reply


async def described(
    services: Services,
    namespace: NamespaceRef,
    whom: Address,
    run_id: str,
    is_wanted: Callable[[Any], bool] = lambda run: True,
    seconds: float = 0,
) -> Any:
    """A run as it stands, waiting so long for it to stand as is wanted."""
    reply = await services.engine.ask_until(
        namespace,
        whom,
        Describe(run_id),
        lambda reply: not isinstance(reply, Described) or is_wanted(reply.run),
        seconds,
    )
    if not isinstance(reply, Described):
        raise InvariantViolation(f"a description was answered by {type(reply).__name__}")
    return reply.run


def poll_seconds(services: Services, caller: Caller) -> float:
    """How long a call may wait for news."""
    return long_poll_seconds(
        caller.time_remaining(), services.limits.history_poll_ns_max / SECOND_NS
    )


# ---- many


async def listed(
    services: Services,
    request: ListRequest,
    kind: Kind,
    names: Mapping[str, str | Attribute],
    decode_run: DecodeRun[RunT],
) -> tuple[list[RunT], bytes]:
    """A page of the runs that a query is true of, and the token of the next one. `names`: what
    queries call what all kinds of runs have. Raises InvalidArgument."""
    namespace = services.bind(request.namespace)
    query = understood(namespace, request.query, names=names)
    token = request.next_page_token
    after = checked_cursor(query, decode_list_token(token)) if token else None
    size, size_max = request.page_size, services.limits.list_page_max
    limit = size if 0 < size <= size_max else size_max
    page = await services.store.list_executions(
        namespace.number, after, limit, ((START_RECORD, START_KEY),), query, kind
    )
    runs = []
    for number, found in enumerate(page.runs, start=1):
        if number % RUNS_WITHOUT_PAUSE == 0:
            await asyncio.sleep(0)
        records = [(record.kind, record.key, unseal(record.blob)) for record in found.records]
        runs.append(decode_run(unseal(found.head), records))
    return runs, b"" if page.next is None else encode_list_token(page.next)


async def count(
    services: Services,
    request: Any,
    response: Any,
    kind: Kind,
    names: Mapping[str, str | Attribute],
) -> bytes:
    """The response with how many runs a query is true of, and of each group how many, if it makes
    groups. Raises InvalidArgument."""
    namespace = services.bind(request.namespace)
    query = understood(namespace, request.query, is_count=True, names=names)
    try:
        counts = await services.store.count_executions(namespace.number, query, kind=kind)
    except TooManyGroups as error:
        raise InvalidArgument(f"invalid query: more than {GROUPS_MAX:,} groups") from error
    response.count = sum(counts.values())
    if query.group is not None:
        is_status = query.group.name == "ExecutionStatus"
        named = {
            "" if value is None else STATUS_NAMES[value] if is_status else str(value): number
            for value, number in counts.items()
        }
        metadata = {"encoding": b"json/plain", "type": b"Keyword"}
        for name, number in sorted(named.items()):
            group = response.groups.add(count=number)
            group.group_values.append(Payload(metadata=metadata, data=msgspec.json.encode(name)))
    content: bytes = response.SerializeToString()
    return content


# ---- what is wrong with a request


def check_length(name: str, text: str, length_max: int) -> None:
    """Raises InvalidArgument."""
    if is_too_long(text, length_max):
        size = len(text.encode())
        raise InvalidArgument(f"{name} exceeds length limit. Length={size} Limit={length_max}")


def check_size(name: str, size: int, size_max: int) -> None:
    """Raises InvalidArgument."""
    if size > size_max:
        raise InvalidArgument(f"{name} exceeds size limit. Length={size} Limit={size_max}")


def check_metadata(metadata: UserMetadata) -> None:
    """Raises InvalidArgument."""
    for name, size_max in METADATA_BYTES_MAX.items():
        check_size(f"user_metadata.{name}", getattr(metadata, name).ByteSize(), size_max)
