"""Making event groups."""

from __future__ import annotations

from perdure._replay.context import current
from perdure._replay.event_groups import EventGroup


def create_event_group(
    id: str,  # noqa: A002 -- the mirrored name
    *,
    label: str | None = None,
) -> EventGroup:
    """A group for commands and their events. The id is stored as it is; the label is for people."""
    current()
    if not id:
        raise ValueError("Event group id cannot be empty")
    if label is not None and not label:
        raise ValueError("Event group label cannot be empty")
    return EventGroup(id, label)
