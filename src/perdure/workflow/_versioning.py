"""How calls of workflow code choose among versions of workers."""

from __future__ import annotations

from enum import IntEnum


class VersioningIntent(IntEnum):
    """Which build should take a task. Deprecated: use worker deployments."""

    COMPATIBLE = 1
    DEFAULT = 2


class ContinueAsNewVersioningBehavior(IntEnum):
    """The versioning behaviour with which the next run starts."""

    UNSPECIFIED = 0
    AUTO_UPGRADE = 1
    USE_RAMPING_VERSION = 2
