"""D2: a run that is pinned to a version, by what its workflow says or by an override, has its
tasks completed by workers of that version, from then on until it is pinned elsewhere or no longer.

(Where other runs go, the witness compares with the routing.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from temporalio.api.enums.v1 import EventType, VersioningBehavior
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import VersioningOverride

from perdure.server.machines.wire import timestamp_ns
from perdure.server.machines.workflow.workflow_task import INLINE_REQUEST_ID
from sim.audit import Audit, StoredRun

_PINNED = VersioningBehavior.VERSIONING_BEHAVIOR_PINNED


class Pins(msgspec.Struct):
    """What a history says of where a run goes. Builds: None is any."""

    said: str | None = None
    """The build that it is pinned to by itself."""
    override: str | None = None
    is_overridden: bool = False
    is_one_time: bool = False
    since_ns: int = 0
    """When that was said last."""
    expected: dict[int, str] = {}
    """By the start of a task, the build that it is for."""
    wrong: list[tuple[int, str]] = []
    """Tasks that others have completed, by their start."""

    @property
    def build_id(self) -> str | None:
        """The build that it is pinned to now."""
        return self.override if self.is_overridden else self.said


def check(audit: Audit) -> Iterator[str]:
    """Every task that another version than it was for has completed."""
    for stored in audit.runs:
        for started_event_id, text in pins(stored).wrong:
            if (stored.run_id, started_event_id) not in audit.ledger.transitions:
                yield f"{stored.run_id}: {text}"


def pins(stored: StoredRun) -> Pins:
    """What the history of a run says."""
    found = Pins()
    for event in stored.events:
        note = _NOTES.get(event.event_type)
        if note is not None:
            note(found, event)
    return found


def _note_start(found: Pins, event: HistoryEvent) -> None:
    attributes = event.workflow_execution_started_event_attributes
    found.since_ns = timestamp_ns(event.event_time)
    if attributes.HasField("inherited_pinned_version"):
        found.said = attributes.inherited_pinned_version.build_id
    if attributes.HasField("versioning_override"):
        _override(found, attributes.versioning_override)


def _note_options(found: Pins, event: HistoryEvent) -> None:
    attributes = event.workflow_execution_options_updated_event_attributes
    found.since_ns = timestamp_ns(event.event_time)
    if attributes.unset_versioning_override:
        found.override, found.is_overridden, found.is_one_time = None, False, False
    elif attributes.HasField("versioning_override"):
        _override(found, attributes.versioning_override)


def _override(found: Pins, override: VersioningOverride) -> None:
    found.is_overridden, found.is_one_time = True, False
    match override.WhichOneof("override"):
        case "pinned":
            found.override = override.pinned.version.build_id
        case "one_time":
            found.override = override.one_time.target_deployment_version.build_id
            found.is_one_time = True
        case _:
            found.override = None


def _note_task(found: Pins, event: HistoryEvent) -> None:
    request_id = event.workflow_task_started_event_attributes.request_id
    # What comes with an answer is for whoever has answered, as on the real server.
    if found.build_id is not None and request_id != INLINE_REQUEST_ID:
        found.expected[event.event_id] = found.build_id


def _note_completion(found: Pins, event: HistoryEvent) -> None:
    attributes = event.workflow_task_completed_event_attributes
    build_id = attributes.deployment_version.build_id
    expected = found.expected.get(attributes.started_event_id)
    if expected is not None and build_id != expected:
        text = f"task {event.event_id} was for version {expected}, and completed by {build_id!r}"
        found.wrong.append((attributes.started_event_id, text))
    said = build_id if attributes.versioning_behavior == _PINNED else None
    if said != found.said:
        found.said, found.since_ns = said, timestamp_ns(event.event_time)
    if found.is_one_time and found.override == build_id:
        found.override, found.is_overridden, found.is_one_time = None, False, False
        found.since_ns = timestamp_ns(event.event_time)


_NOTES: dict[int, Callable[[Pins, HistoryEvent], None]] = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: _note_start,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED: _note_options,
    EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED: _note_task,
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED: _note_completion,
}
