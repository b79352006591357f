"""The part of `evolve` that keeps request ids, and those who want to hear how something ends."""

from __future__ import annotations

from collections.abc import Iterable

from temporalio.api.common.v1 import Callback as ProtoCallback

from perdure.server.machines.workflow.state import Callback, RecordKind, Request, Run

Touched = set[tuple[RecordKind, int | str]]


def callbacks(
    run: Run,
    registered: Iterable[ProtoCallback],
    event_id: int,
    time_ns: int,
    touched: Touched,
    *,
    first_index: int = 0,
    update_id: str = "",
    request_id: str = "",
) -> None:
    """Somebody wants to hear how the run ends, or the update."""
    for index, callback in enumerate(registered, first_index):
        content = callback.SerializeToString(deterministic=True)
        # Keys sort as they were registered.
        key = f"{event_id:08}-{index:05}"
        registered_one = Callback(key, content, time_ns, update_id=update_id, request_id=request_id)
        put_callback(run, registered_one, touched)


def put_callback(run: Run, callback: Callback, touched: Touched) -> None:
    """A callback stands like this now."""
    run.callbacks[callback.key] = callback
    touched.add((RecordKind.CALLBACK, callback.key))


def note_request(run: Run, request: Request, touched: Touched) -> None:
    """A request id is honoured."""
    run.requests[request.request_id] = request
    touched.add((RecordKind.REQUEST, request.request_id))
