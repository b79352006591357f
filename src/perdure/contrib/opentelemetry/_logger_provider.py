"""A logger provider for workflow code: what is emitted again on replay is not told again."""

from __future__ import annotations

from typing import Any

from opentelemetry._logs import Logger, LoggerProvider, LogRecord
from opentelemetry.util.types import Attributes

from perdure.contrib.opentelemetry._replaying import outside_guard, repeats


class ReplaySafeLoggerProvider(LoggerProvider):
    """Has another provider tell what workflow code emits when it does so for the first time.

    Give it to `opentelemetry._logs.set_logger_provider`, for libraries that emit in workflows.
    """

    def __init__(self, logger_provider: LoggerProvider) -> None:
        self._provider = logger_provider

    def get_logger(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Logger:
        """A logger that does so."""
        with outside_guard():
            logger = self._provider.get_logger(name, version, schema_url, attributes)
        return _Logger(logger, name, version, schema_url, attributes)


class _Logger(Logger):
    def __init__(
        self,
        logger: Logger,
        name: str,
        version: str | None,
        schema_url: str | None,
        attributes: Attributes,
    ) -> None:
        super().__init__(name, version, schema_url, attributes)
        self._logger = logger

    def enabled(self, *args: Any, **kwargs: Any) -> bool:
        """Whether a record would be told now; older versions of OpenTelemetry do not say."""
        if repeats():
            return False
        with outside_guard():
            found: Any = getattr(self._logger, "enabled", None)
            return found is None or bool(found(*args, **kwargs))

    def emit(self, record: LogRecord | None = None, **fields: Any) -> None:
        """Tells a record, given as such or by its fields."""
        if repeats():
            return
        with outside_guard():
            if record is None:
                self._logger.emit(**fields)
            else:
                self._logger.emit(record)
