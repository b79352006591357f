"""The logger for workflow code: silent on replay, and says which workflow speaks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any

from perdure._replay.loop import running_loop
from perdure.workflow._context import current_update_info
from perdure.workflow._unsafe import unsafe


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Adds the details of the running workflow to each record, and logs nothing on replay.

    - `workflow_info_on_message`: the details are appended to the message (default: yes)
    - `workflow_info_on_extra`: they are in the record's `temporal_workflow` (default: yes)
    - `full_workflow_info_on_extra`: the `Info` is in the record's `workflow_info` (default: no)
    - `log_during_replay`: also log what was logged before (default: no)
    """

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})
        self.workflow_info_on_message = True
        self.workflow_info_on_extra = True
        self.full_workflow_info_on_extra = False
        self.log_during_replay = False
        self.disable_sandbox = False

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Adds the details."""
        loop = running_loop()
        details: dict[str, Any] = {} if loop is None else loop.context.info.logger_details()
        update = current_update_info()
        if update is not None:
            details.update(update_id=update.id, update_name=update.name)
        extra: dict[str, Any] = {}
        if details and self.workflow_info_on_extra:
            extra["temporal_workflow"] = dict(details)
        if loop is not None and self.full_workflow_info_on_extra:
            extra["workflow_info"] = loop.context.info
        kwargs["extra"] = {**extra, **(self.extra or {}), **(kwargs.get("extra") or {})}
        if details and self.workflow_info_on_message:
            msg = f"{msg} ({details})"
        return msg, kwargs

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """Logs, outside the guard: where records go is no part of the workflow."""
        if not self.isEnabledFor(level):
            return
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        with unsafe.sandbox_unrestricted():
            super().log(level, msg, *args, **kwargs)

    def isEnabledFor(self, level: int) -> bool:
        """Not on replay."""
        loop = running_loop()
        if loop is not None and not self.log_during_replay and unsafe.is_replaying_history_events():
            return False
        return super().isEnabledFor(level)

    @property
    def base_logger(self) -> logging.Logger:
        """The logger underneath, to configure."""
        return self.logger

    def unsafe_disable_sandbox(self, value: bool = True) -> None:
        """Accepted for compatibility: logging is never guarded."""
        self.disable_sandbox = value


logger = LoggerAdapter(logging.getLogger("perdure.workflow"), None)
"""For workflow code."""
