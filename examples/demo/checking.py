"""What the demo claims, it checks."""

from __future__ import annotations


class DemoFailed(Exception):
    """Something that the demo shows did not happen."""


def check(holds: bool, complaint: str) -> None:
    """Raises DemoFailed with the complaint unless it holds."""
    if not holds:
        raise DemoFailed(complaint)
