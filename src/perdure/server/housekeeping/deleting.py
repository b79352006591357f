"""Deleting a run in the background, as DeleteWorkflowExecution does it."""

from __future__ import annotations

import logging
import uuid

from perdure.server.engine.api import EngineApi, NamespaceRef
from perdure.server.machines.errors import InvariantViolation, NotFound
from perdure.server.machines.ports import Address, Kind
from perdure.server.store.ports import CorruptBlob, RunIdentity, RunNumber

logger = logging.getLogger(__name__)


async def delete_run(
    engine: EngineApi, namespace: NamespaceRef, number: RunNumber, identity: RunIdentity
) -> bool:
    """Delete a run; whether it is gone. False when something is wrong with it: all others must go
    on. Raises EngineUnavailable, EngineStopped."""
    run_id = str(uuid.UUID(bytes=identity.run_id))
    try:
        await engine.delete(namespace, Address(Kind(identity.kind), identity.workflow_id), run_id)
    except NotFound:
        pass  # Somebody else has deleted it.
    except (InvariantViolation, CorruptBlob):
        logger.exception("run %d cannot be deleted", number)
        return False
    return True
