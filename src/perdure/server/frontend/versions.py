"""Which versions of Temporal's clients are served, as the real server says it."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

from perdure.server.frontend.errors import ClientVersionNotSupported, ServerVersionNotSupported
from perdure.server.machines.errors import InvalidArgument
from perdure.transport import Caller

TEMPORAL_VERSION = "1.32.0"
"""The version of Temporal's server whose API this is."""

SUPPORTED_CLIENTS: dict[str, str] = {
    "temporal-go": "<2.0.0",
    "temporal-java": "<2.0.0",
    "temporal-php": "<2.0.0",
    "temporal-typescript": "<2.0.0",
    "temporal-cli": "<2.0.0",
    "temporal-server": "<2.0.0",
    "temporal-ui": "<3.0.0",
    "Nexus-go-sdk": "<2.0.0",
}
"""Clients whose versions are checked; others are welcome as they are."""

_COMPARISONS: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "": operator.eq,
    "!": operator.ne,
    "!=": operator.ne,
}
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:[-+].*)?")
_CONDITION = re.compile(r"(<=|>=|<|>|==|=|!=|!|)\s*(\d+\.\d+\.\d+\S*)")


def check_client(caller: Caller) -> None:
    """Refuse a client that is too new for the server, or for which the server is too new."""
    name, version = caller.header("client-name"), caller.header("client-version")
    if version and name in SUPPORTED_CLIENTS:
        parsed = _parse(version)
        if parsed is None:
            raise InvalidArgument(f"Unable to parse client version: {version}")
        if not _is_within(parsed, SUPPORTED_CLIENTS[name]):
            raise ClientVersionNotSupported(version, name, SUPPORTED_CLIENTS[name])
    supported_servers = caller.header("supported-server-versions")
    if supported_servers:
        ours = _parse(TEMPORAL_VERSION)
        assert ours is not None
        if not _is_within(ours, supported_servers):
            raise ServerVersionNotSupported(TEMPORAL_VERSION, supported_servers)


def _parse(version: str) -> tuple[int, ...] | None:
    match = _VERSION.fullmatch(version)
    return tuple(int(part) for part in match.groups()) if match else None


def _is_within(version: tuple[int, ...], accepted: str) -> bool:
    """Whether a version is in one of the ranges that "||" separates: conditions that all hold."""
    return any(_holds(version, conditions) for conditions in accepted.split("||"))


def _holds(version: tuple[int, ...], conditions: str) -> bool:
    if _CONDITION.sub("", conditions).strip():
        raise InvalidArgument(f"Unable to parse supported server versions: {conditions.strip()}")
    for sign, bound in _CONDITION.findall(conditions):
        parsed = _parse(bound)
        if parsed is None or not _COMPARISONS[sign](version, parsed):
            return False
    return True
