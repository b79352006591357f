"""V1: lists show each run with the status and the search attributes that it has, count what they
show, and have forgotten what was deleted."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from temporalio.api.common.v1 import SearchAttributes

from perdure.server.machines.workflow.state import BlobName, Run
from sim.audit import Audit
from sim.workload.facts import STEP


def check(audit: Audit) -> Iterator[str]:
    """Every list that is not of the runs that are stored."""
    for query, listing in audit.listings.items():
        field, _, value = query.partition(" = ")
        expected = {
            stored.number for stored in audit.runs if f"'{_shown(field, stored.run)}'" == value
        }
        if listing.numbers != expected:
            yield f"{query} finds {listing.numbers}, and should find {expected}"
        if listing.count != len(listing.numbers):
            yield f"{query} counts {listing.count}, and finds {len(listing.numbers)}"
    for run_id in audit.ledger.deleted:
        if audit.ledger.deleted[run_id] and audit.run_named(run_id) is not None:
            yield f"{run_id} was deleted, and is still there"


def _shown(field: str, run: Run) -> str:
    """The value of a run in a list."""
    if field != STEP:
        return "".join(part.capitalize() for part in run.shown_status.name.split("_"))
    attributes = SearchAttributes.FromString(run.blobs.get(BlobName.SEARCH_ATTRIBUTES, b""))
    payload = attributes.indexed_fields.get(STEP)
    return "" if payload is None else msgspec.json.decode(payload.data, type=str)
