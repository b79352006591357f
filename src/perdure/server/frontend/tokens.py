"""Tokens that travel through clients and come back: opaque to them, msgpack arrays to us.

A page token says where to go on by event ids or row keys, never by a position in something that may
grow, so it stays valid whatever is written in between.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.workflow.inputs import TaskToken
from perdure.server.store.ports import VisibilityCursor

_EventId = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_RowInteger = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What a store can compare a column with: a client may have made a token up."""


class HistoryToken(msgspec.Struct, array_like=True, frozen=True):
    """Where a history goes on: with `next_event_id` of a run."""

    run_id: str
    next_event_id: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    last_event_id: _EventId = 0
    """Where it must end, for the history of a workflow task; 0 for wherever it ends by then."""
    unrecorded: bytes = b""
    """Entries that follow the last event of a workflow task's history."""


class QueryToken(msgspec.Struct, array_like=True, frozen=True):
    """What a worker shows when it answers a query."""

    namespace_id: str
    queue: str
    task_id: str


class ListToken(msgspec.Struct, array_like=True, frozen=True):
    """The last row of a page of a list."""

    close_time_ns: _RowInteger
    start_time_ns: _RowInteger
    run: _RowInteger
    keys: tuple[str | _RowInteger | float | bool | None, ...] = ()
    """Its values of what the list is ordered by."""


class ActivityToken(msgspec.Struct, array_like=True, frozen=True):
    """How a standalone activity stood when it was described."""

    run_id: str
    transitions: _EventId


TokenT = TypeVar("TokenT")

_encode = msgspec.msgpack.Encoder().encode
_task_tokens = msgspec.msgpack.Decoder(TaskToken)
_query_tokens = msgspec.msgpack.Decoder(QueryToken)
_history_tokens = msgspec.msgpack.Decoder(HistoryToken)
_activity_tokens = msgspec.msgpack.Decoder(ActivityToken)
_list_tokens = msgspec.msgpack.Decoder(ListToken)


def encode_task_token(token: TaskToken) -> bytes:
    """The token as a worker gets it."""
    return _encode(token)


def decode_task_token(token: bytes) -> TaskToken:
    """A task token as a worker shows it. Raises InvalidArgument."""
    return _decode_shown(_task_tokens, token)


def encode_query_token(token: QueryToken) -> bytes:
    """The token of a query as a worker gets it."""
    return _encode(token)


def decode_query_token(token: bytes) -> QueryToken:
    """The token of a query as a worker shows it: that of a task names a query that never was.
    Raises InvalidArgument."""
    return _decode_shown(_query_tokens, token)


def _decode_shown(decoder: msgspec.msgpack.Decoder[TokenT], token: bytes) -> TokenT:
    if not token:
        raise InvalidArgument("Task token not set on request.")
    try:
        return decoder.decode(token)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidArgument("Error deserializing task token.") from None


def encode_history_token(token: HistoryToken) -> bytes:
    """The token as a client gets it."""
    return _encode(token)


def decode_history_token(token: bytes, run_id: str) -> HistoryToken:
    """A history token; `run_id` is what the request names beside it, if anything. Raises
    InvalidArgument."""
    try:
        decoded = _history_tokens.decode(token)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidArgument("Invalid NextPageToken.") from None
    if run_id and run_id != decoded.run_id:
        raise InvalidArgument("RunId in the request does not match the NextPageToken.")
    return decoded


def encode_list_token(cursor: VisibilityCursor) -> bytes:
    """The token as a client gets it."""
    return _encode(ListToken(cursor.close_time_ns, cursor.start_time_ns, cursor.run, cursor.keys))


def decode_list_token(token: bytes) -> VisibilityCursor:
    """Where a list goes on. Raises InvalidArgument."""
    try:
        decoded = _list_tokens.decode(token)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidArgument("Invalid NextPageToken.") from None
    return VisibilityCursor(decoded.close_time_ns, decoded.start_time_ns, decoded.run, decoded.keys)


def encode_activity_token(token: ActivityToken) -> bytes:
    """The token as a client gets it."""
    return _encode(token)


def decode_activity_token(token: bytes) -> ActivityToken:
    """What a description waits for. Raises InvalidArgument."""
    try:
        return _activity_tokens.decode(token)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidArgument("invalid long poll token") from None
