"""What can go wrong when any of the servers begins to listen."""

from __future__ import annotations


class BindFailed(Exception):
    """The address cannot be listened on."""
