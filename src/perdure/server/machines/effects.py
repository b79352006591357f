"""Effects that every machine can ask for."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.server.machines.ports import Kind


class DeleteRun(msgspec.Struct, frozen=True):
    """The run, which is over, leaves the store with this commit, and everything of it."""

    run_id: str


class SendMessage(msgspec.Struct, frozen=True):
    """Another subject of the namespace must hear of something: an outbox row of this commit, which
    goes when what it leads to is durable."""

    run_id: str
    """The run that says so."""
    workflow_id: str
    """The id of whom it is for."""
    message: Any
    kind: Kind = Kind.WORKFLOW
