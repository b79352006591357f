"""Hands the SDK's own log records on to a logger of the user's.

Records of the user's code, such as those of `workflow.logger`, are the user's already.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

ROOT: Final = "perdure"
_OF_USERS: Final = frozenset({"perdure.workflow", "perdure.activity", "perdure.nexus"})
_LEVELS: Final = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL + 1,
}
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has."""
_OWN_LEVEL = re.compile(r"(?:^|,)\s*(?:perdure|temporalio_sdk_core|temporal\w*)\s*=\s*(\w+)")


def level_of(wanted: str) -> int:
    """The level of the SDK's own records: a name, or one of several after `perdure=`.

    Raises ValueError when there is none.
    """
    own = _OWN_LEVEL.search(wanted)
    name = (own[1] if own else wanted.split(",")[0]).strip().lower()
    level = _LEVELS.get(name)
    if level is None:
        raise ValueError(f"Invalid log level {name!r} in {wanted!r}")
    return level


@dataclass(frozen=True)
class ForwardedEntry:
    """What a forwarded record tells, apart from its text: its `temporal_log`."""

    target: str
    """The logger of the SDK's."""
    message: str
    time: float
    level: int
    fields: dict[str, Any] = field(default_factory=dict)
    """What the record was given besides: of which workflow it tells, or how long it took."""


class ForwardingHandler(logging.Handler):
    """Takes the records of the logger `perdure`, and has another logger handle them."""

    def __init__(
        self,
        target: logging.Logger,
        level: int,
        *,
        names_target: bool,
        tells_target: bool,
        tells_fields: bool,
    ) -> None:
        super().__init__(level)
        self._target = target
        self._names_target = names_target
        self._tells_target = tells_target
        self._tells_fields = tells_fields

    def attached(self) -> Callable[[], None]:
        """Begins to take records; what ends it."""
        root = logging.getLogger(ROOT)
        root.addHandler(self)
        return lambda: root.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Hands a record on."""
        if record.name in _OF_USERS or not self._target.isEnabledFor(record.levelno):
            return
        told = copy.copy(record)
        message = record.getMessage()
        fields = _fields_of(record)
        told.msg, told.args = message, None
        if self._tells_target:
            told.msg = f"[{record.name}] {told.msg}"
        if self._tells_fields and fields:
            told.msg = f"{told.msg} {fields}"
        if self._names_target:
            told.name = f"{self._target.name}-{record.name}"
        entry = ForwardedEntry(record.name, message, record.created, record.levelno, fields)
        told.__dict__["temporal_log"] = entry
        self._target.handle(told)


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra`; what is known of a workflow or an activity, one by one."""
    fields: dict[str, Any] = {}
    for name, value in vars(record).items():
        if name in ("temporal_workflow", "temporal_activity"):
            fields.update(value)
        elif name not in _USUAL and not name.startswith("_"):
            fields[name] = value
    return fields
