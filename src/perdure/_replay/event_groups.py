"""Event groups: labels that tie together the events which belong to one thing the code does.

A command carries the groups that are active where it was asked for: those of the enclosing `scope`
blocks, those given with the command, and, in a handler, the group of its signal or update.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import NamedTuple

from temporalio.api.sdk.v1 import EventGroupMarker

from perdure.converter import DefaultPayloadConverter


class EventGroup:
    """A group that workflow code made, by `workflow.create_event_group`."""

    def __init__(self, id: str, label: str | None) -> None:  # noqa: A002 -- the mirrored name
        self._id = id
        self._label = label

    @contextmanager
    def scope(self) -> Generator[None]:
        """Every command asked for inside belongs to the group, also those of tasks made inside."""
        before = _ACTIVE.get()
        token = _ACTIVE.set(before._replace(explicit={**before.explicit, self._id: self}))
        try:
            yield
        finally:
            # A coroutine that is closed from outside is in another context.
            with suppress(ValueError):
                _ACTIVE.reset(token)

    def marker(self) -> EventGroupMarker:
        """What a command carries. The label is encoded by the SDK's own converter, for the UI."""
        label = None
        if self._label is not None:
            label = DefaultPayloadConverter().to_payload(self._label)
        return EventGroupMarker(label=EventGroupMarker.Label(id=self._id, label=label))


class _Active(NamedTuple):
    inbound: EventGroupMarker | None
    explicit: dict[str, EventGroup]


_NONE = _Active(None, {})
_ACTIVE: ContextVar[_Active] = ContextVar("perdure_event_groups", default=_NONE)


def enter_signal(event_id: int) -> None:
    """The running task handles the signal that this event recorded, until it ends."""
    inbound = EventGroupMarker.InboundEvent(inbound_event_id=event_id)
    _ACTIVE.set(_Active(EventGroupMarker(inbound_event=inbound), {}))


def enter_update(update_id: str) -> None:
    """The running task handles this update, until it ends."""
    inbound = EventGroupMarker.InboundUpdate(inbound_update_id=update_id)
    _ACTIVE.set(_Active(EventGroupMarker(inbound_update=inbound), {}))


def markers(groups: Sequence[EventGroup] | None) -> list[EventGroupMarker]:
    """The markers for a command that is asked for here and now."""
    active = _ACTIVE.get()
    if active is _NONE and not groups:
        return []
    explicit = dict(active.explicit)
    for group in groups or ():
        explicit[group._id] = group
    found = [group.marker() for group in explicit.values()]
    if active.inbound is not None:
        found.insert(0, active.inbound)
    return found
