"""The server's own Nexus endpoint, which `workflow.signal_with_start_workflow` calls."""

from __future__ import annotations

from perdure._replay.system_payloads import SYSTEM_ENDPOINT

TEMPORAL_SYSTEM_ENDPOINT = SYSTEM_ENDPOINT
"""Its name."""


def is_system_endpoint(endpoint: str) -> bool:
    """Whether a name is that of the server's own endpoint."""
    return endpoint == TEMPORAL_SYSTEM_ENDPOINT


__all__ = ["TEMPORAL_SYSTEM_ENDPOINT", "is_system_endpoint"]
