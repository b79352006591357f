"""How a run is written down: one head, and a row for each keyed part.

Structs are arrays of MessagePack, so a format grows by fields at the end, with defaults.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from perdure.server.machines.workflow.nexus.state import PendingOperation
from perdure.server.machines.workflow.state import (
    BufferedEvent,
    Callback,
    Child,
    ExternalRequest,
    Pending,
    PendingActivity,
    Recorded,
    RecordKind,
    Request,
    Run,
    Timer,
    Update,
)
from perdure.server.machines.workflow.state_size import PARTS, count_all

_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(tuple[Recorded, Pending]).decode
_decode_activity = msgspec.msgpack.Decoder(PendingActivity).decode
_decode_timer = msgspec.msgpack.Decoder(Timer).decode
_decode_buffered = msgspec.msgpack.Decoder(BufferedEvent).decode
_decode_request = msgspec.msgpack.Decoder(Request).decode
_decode_child = msgspec.msgpack.Decoder(Child).decode
_decode_update = msgspec.msgpack.Decoder(Update).decode
_decode_callback = msgspec.msgpack.Decoder(Callback).decode
_decode_operation = msgspec.msgpack.Decoder(PendingOperation).decode
_decode_external = msgspec.msgpack.Decoder(ExternalRequest).decode


def encode_head(run: Run) -> bytes:
    """The part that every commit of the run writes."""
    return _encode((run.recorded, run.pending))


def record_key(kind: RecordKind, key: int | str) -> bytes:
    """The key of a row; keys of numbers sort as the numbers do."""
    return key.to_bytes(8, "big") if isinstance(key, int) else key.encode()


def encode_record(run: Run, kind: RecordKind, key: int | str) -> bytes | None:
    """The content of a row; None when the run has no such part (any more)."""
    part = PARTS[kind](run).get(key)
    if part is None:
        return None
    return part if isinstance(part, bytes) else _encode(part)


def decode_run(head: bytes, records: Iterable[tuple[int, bytes, bytes]]) -> Run:
    """The run that a head and (kind, key, content) rows make."""
    recorded, pending = _decode_head(head)
    run = Run(recorded=recorded, pending=pending)
    for kind, key, content in sorted(records):
        match RecordKind(kind):
            case RecordKind.ACTIVITY:
                activity = _decode_activity(content)
                event_id = activity.activity.scheduled_event_id
                run.activities[event_id] = activity
                run.activity_ids[activity.activity.activity_id] = event_id
            case RecordKind.TIMER:
                timer = _decode_timer(content)
                run.timers[timer.timer_id] = timer
            case RecordKind.BUFFERED:
                run.buffered[int.from_bytes(key, "big")] = _decode_buffered(content)
            case RecordKind.REQUEST:
                request = _decode_request(content)
                run.requests[request.request_id] = request
            case RecordKind.BLOB:
                run.blobs[key.decode()] = content
            case RecordKind.CHILD:
                child = _decode_child(content)
                run.children[child.initiated_event_id] = child
            case RecordKind.EXTERNAL_SIGNAL:
                external = _decode_external(content)
                run.external_signals[external.initiated_event_id] = external
            case RecordKind.EXTERNAL_CANCEL:
                external = _decode_external(content)
                run.external_cancels[external.initiated_event_id] = external
            case RecordKind.UPDATE:
                update = _decode_update(content)
                run.updates[update.update_id] = update
            case RecordKind.CALLBACK:
                callback = _decode_callback(content)
                run.callbacks[callback.key] = callback
            case RecordKind.NEXUS_OPERATION:
                nexus = _decode_operation(content)
                run.nexus_operations[nexus.operation.scheduled_event_id] = nexus
    count_all(run)
    return run


def all_records(run: Run) -> list[tuple[int, bytes, bytes]]:
    """Every keyed part as (kind, key, content)."""
    rows = []
    for kind, part_of in PARTS.items():
        for key in part_of(run):
            content = encode_record(run, kind, key)
            assert content is not None, "the key was listed a moment ago"
            rows.append((int(kind), record_key(kind, key), content))
    return rows


def parts_of(run: Run) -> set[tuple[RecordKind, int | str]]:
    """The kind and key of every keyed part."""
    return {(kind, key) for kind, part_of in PARTS.items() for key in part_of(run)}


def copy_run(run: Run) -> Run:
    """An independent copy, by way of the stored form; with the speculative task, which has none and
    is never changed in place."""
    copy = decode_run(encode_head(run), all_records(run))
    copy.speculative = run.speculative
    copy.speculative_stamp = run.speculative_stamp
    return copy
