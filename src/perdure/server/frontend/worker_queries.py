"""Queries over workers: which of them a text means.

The language is a small part of the one for workflows, and is carried out on what each worker told.
A condition that says nothing of a worker (an unknown name, an operator that its attribute does not
have) is true of none, as the real server has it: only what is no query at all is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.worker.v1 import WorkerHeartbeat

from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.wire import timestamp_ns
from perdure.server.visibility.query.lexer import QuerySyntaxError
from perdure.server.visibility.query.parser import parse_condition
from perdure.server.visibility.query.syntax import (
    Column,
    Comparing,
    Expression,
    Group,
    Junction,
    Number,
    Ranging,
    Testing,
    Text,
)

DIGITS_MAX: Final = 1000
"""What is longer is no time; Python would not read much more."""
_STATUSES: Final[Mapping[int, str]] = {
    WorkerStatus.WORKER_STATUS_UNSPECIFIED: "Unspecified",
    WorkerStatus.WORKER_STATUS_RUNNING: "Running",
    WorkerStatus.WORKER_STATUS_SHUTTING_DOWN: "ShuttingDown",
    WorkerStatus.WORKER_STATUS_SHUTDOWN: "Shutdown",
}

TEXTS: Final[Mapping[str, Callable[[WorkerHeartbeat], str]]] = {
    "WorkerInstanceKey": lambda told: told.worker_instance_key,
    "WorkerIdentity": lambda told: told.worker_identity,
    "HostName": lambda told: told.host_info.host_name,
    "TaskQueue": lambda told: told.task_queue,
    "DeploymentName": lambda told: told.deployment_version.deployment_name,
    "BuildId": lambda told: told.deployment_version.build_id,
    "SdkName": lambda told: told.sdk_name,
    "SdkVersion": lambda told: told.sdk_version,
    "Status": lambda told: _STATUSES.get(told.status, str(told.status)),
    "WorkerStatus": lambda told: _STATUSES.get(told.status, str(told.status)),
}
"""What a worker is compared by as a text."""

TIMES: Final[Mapping[str, Callable[[WorkerHeartbeat], int]]] = {
    "StartTime": lambda told: timestamp_ns(told.start_time),
    "HeartbeatTime": lambda told: timestamp_ns(told.heartbeat_time),
}
"""What a worker is compared by as a time, in nanoseconds."""


class _SaysNothing(Exception):
    """The condition cannot be carried out."""


def matcher(query: str) -> Callable[[WorkerHeartbeat], bool]:
    """Whether a query is true of a worker. Raises InvalidArgument for what is no query."""
    if not query:
        return lambda _: True
    try:
        statement = parse_condition(query)
    except QuerySyntaxError as error:
        raise InvalidArgument(f"malformed query: {error}") from error
    if statement.has_limit:
        raise InvalidArgument("operation is not supported: 'limit' clause")
    condition = statement.condition

    def matches(told: WorkerHeartbeat) -> bool:
        try:
            return condition is not None and _holds(condition, told)
        except _SaysNothing:
            return False

    return matches


def _holds(condition: Expression, told: WorkerHeartbeat) -> bool:
    match condition:
        case Group(inner):
            return _holds(inner, told)
        case Junction("and", parts):
            return all(_holds(part, told) for part in parts)
        case Junction(_, parts):
            return any(_holds(part, told) for part in parts)
        case Comparing(Column(name), operator, value):
            return _compares(name, operator, value, told)
        case Ranging(Column(name), low, high, is_outside) if name in TIMES:
            if is_outside and _is_missing(name, told):
                return False  # As on the real server, though such a time is before all others.
            return (_time(low) <= TIMES[name](told) <= _time(high)) != is_outside
        case Testing(Column(name), "null" | "not null" as what):
            return _is_missing(name, told) == (what == "null")
    raise _SaysNothing


def _compares(name: str, operator: str, value: Expression, told: WorkerHeartbeat) -> bool:
    if name in TIMES:
        return _compares_time(TIMES[name](told), operator, _time(value))
    if name not in TEXTS or not isinstance(value, Text) or not value.value:
        raise _SaysNothing
    own = TEXTS[name](told)
    match operator:
        case "=":
            return own == value.value
        case "!=":
            return own != value.value
        case "STARTS_WITH":
            return own.startswith(value.value)
        case "NOT STARTS_WITH":
            return not own.startswith(value.value)
    raise _SaysNothing


def _compares_time(own: int, operator: str, other: int) -> bool:
    match operator:
        case "=":
            return own == other
        case "!=":
            return own != other
        case "<":
            return own < other
        case "<=":
            return own <= other
        case ">":
            return own > other
        case ">=":
            return own >= other
    raise _SaysNothing


def _is_missing(name: str, told: WorkerHeartbeat) -> bool:
    if name in TIMES:
        return TIMES[name](told) == 0
    if name in TEXTS:
        return TEXTS[name](told) == ""
    raise _SaysNothing


def _time(value: Expression) -> int:
    """Nanoseconds."""
    match value:
        case Number(text, True) if len(text) <= DIGITS_MAX:
            return int(text)
        case Text(text):
            try:
                time = datetime.fromisoformat(text)
            except ValueError:
                raise _SaysNothing from None
            if time.tzinfo is None:
                raise _SaysNothing
            return int(time.timestamp()) * 1_000_000_000 + time.microsecond * 1000
    raise _SaysNothing
