"""Where the end of something is told, by HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class NexusCallback:
    """Where the result of an operation is delivered to."""

    url: str
    headers: Mapping[str, str]
