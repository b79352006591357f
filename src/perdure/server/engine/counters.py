"""Counters of one server that have labels, as its metrics show them."""

from __future__ import annotations

from typing import Final

ROWS_MAX: Final = 10_000
"""Combinations of labels that are told apart: names are anybody's, and memory is not endless."""


class Counters:
    """What only grows: names with labels, and their values."""

    def __init__(self) -> None:
        self._rows: dict[str, float] = {}

    def add(self, name: str, labels: str, value: float = 1) -> None:
        """Count; what is new is left out once there are too many."""
        key = f"{name}{{{labels}}}"
        if key in self._rows or len(self._rows) < ROWS_MAX:
            self._rows[key] = self._rows.get(key, 0) + value

    def rows(self) -> dict[str, float]:
        """Names with labels, and their values, in order."""
        return {key: self._rows[key] for key in sorted(self._rows)}


def quotable(text: str) -> str:
    """A name as Prometheus reads it in quotes: a namespace may be called anything."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
