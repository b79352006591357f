"""A patch: a marker that says which branch of changed code a run took.

A patch is told to the code before it asks, from the markers ahead in the history, so that
`patched()` answers at once. What becomes of the marker when code and history differ:

| history has | code calls | outcome |
|---|---|---|
| nothing, not replaying | patched, deprecate_patch | a marker is recorded |
| nothing, replaying | patched | false: the old branch |
| nothing, replaying | deprecate_patch | nothing is recorded |
| a marker | patched, deprecate_patch | true |
| a marker | neither | does not replay |
| a deprecated marker | neither | the marker is passed over |

With the marker goes an update of the search attribute `TemporalChangeVersion`, which lists the
patches of a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from temporalio.api.command.v1 import (
    Command,
    RecordMarkerCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.common.v1 import Payload, Payloads, SearchAttributes
from temporalio.api.enums.v1 import CommandType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.sdk.v1 import EventGroupMarker

from perdure._replay.commands.port import Mismatch, Outlet

MARKER_NAME = "core_patch"
DETAILS_KEY = "patch-data"
CHANGE_VERSION_ATTRIBUTE = "TemporalChangeVersion"

# The server refuses search attributes of more bytes, and the marker matters more than the list.
CHANGE_VERSION_SIZE_MAX = 2048


class PatchMachine:
    """One patch that the code has asked about."""

    __slots__ = ("patch_id", "resolved", "withdrawn")

    def __init__(
        self,
        outlet: Outlet,
        patch_id: str,
        *,
        deprecated: bool,
        groups: Sequence[EventGroupMarker] = (),
    ) -> None:
        self.patch_id = patch_id
        self.resolved = False
        self.withdrawn = False
        command = _marker_command(patch_id, deprecated=deprecated)
        command.event_group_markers.extend(groups)
        outlet.issue(self, command)

    def handle(self, event: HistoryEvent) -> None:
        """The marker was recorded."""
        marker = patch_of_marker(event)
        if marker is None or self.resolved:
            raise Mismatch("the code's next command is the marker of a patch")
        if marker[0] != self.patch_id:
            raise Mismatch(f"the history has the patch {marker[0]!r}, the code {self.patch_id!r}")
        self.resolved = True


def patch_of_marker(event: HistoryEvent) -> tuple[str, bool] | None:
    """The patch id of a patch's marker and whether it was deprecated; None for another event."""
    attributes = event.marker_recorded_event_attributes
    if attributes.marker_name != MARKER_NAME or DETAILS_KEY not in attributes.details:
        return None
    details = json.loads(attributes.details[DETAILS_KEY].payloads[0].data)
    return details["id"], details["deprecated"]


def change_version_command(patch_ids: Iterable[str]) -> Command | None:
    """Lists the patches of the run for those who search; None when the list is too long."""
    data = json.dumps(sorted(patch_ids), ensure_ascii=False, separators=(",", ":")).encode()
    if len(data) >= CHANGE_VERSION_SIZE_MAX:
        return None
    payload = Payload(metadata={"encoding": b"json/plain", "type": b"KeywordList"}, data=data)
    return Command(
        command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        upsert_workflow_search_attributes_command_attributes=(
            UpsertWorkflowSearchAttributesCommandAttributes(
                search_attributes=SearchAttributes(
                    indexed_fields={CHANGE_VERSION_ATTRIBUTE: payload}
                )
            )
        ),
    )


def _marker_command(patch_id: str, *, deprecated: bool) -> Command:
    details = {"id": patch_id, "deprecated": deprecated}
    data = json.dumps(details, ensure_ascii=False, separators=(",", ":")).encode()
    payload = Payload(metadata={"encoding": b"json/plain"}, data=data)
    return Command(
        command_type=CommandType.COMMAND_TYPE_RECORD_MARKER,
        record_marker_command_attributes=RecordMarkerCommandAttributes(
            marker_name=MARKER_NAME, details={DETAILS_KEY: Payloads(payloads=[payload])}
        ),
    )
