"""How a schedule is written down: one head, and a row for each blob."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from perdure.server.machines.schedule.state import Blob, Run, State

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


def encode_head(run: Run) -> bytes:
    """The part that every commit writes."""
    return _encode(run.state)


def decode_head(head: bytes) -> State:
    """The state that a head is."""
    return _decode(head)


def record_key(kind: int, key: Blob) -> bytes:
    """The key of a row."""
    return key.encode()


def encode_record(run: Run, kind: int, key: Blob) -> bytes | None:
    """The content of a row; None when there is no such blob (any more)."""
    return run.blobs.get(key)


def decode_run(head: bytes, records: Iterable[tuple[int, bytes, bytes]]) -> Run:
    """The schedule that a head and (kind, key, content) rows make."""
    return Run(_decode(head), {Blob(key.decode()): content for _, key, content in records})
