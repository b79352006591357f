"""One thing that is wrong with a line of workflow code."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from perdure._check.rules import Rule


class Finding(NamedTuple):
    """A line, and what is wrong with it."""

    path: Path
    line: int
    column: int
    """Counted from 1, as editors do."""
    rule: Rule
    subject: str
    instead: str = ""
    via: tuple[str, ...] = ()
    """How workflow code comes here: the method of the workflow, and what it calls."""

    @property
    def message(self) -> str:
        """What is wrong, and what to do."""
        parts = [f"{self.subject} {self.rule.what}"]
        if self.instead:
            parts.append(f": use {self.instead} instead")
        if self.via:
            parts.append(f" (in {' > '.join(self.via)})")
        return "".join(parts)

    def text(self, path: str) -> str:
        """As editors read it, with the path as it is to be shown."""
        return f"{path}:{self.line}:{self.column}: {self.rule.code} {self.message}"

    def as_json(self, path: str) -> dict[str, Any]:
        """As programs read it."""
        return {
            "path": path,
            "line": self.line,
            "column": self.column,
            "code": self.rule.code,
            "message": self.message,
            "instead": self.instead or None,
            "via": list(self.via),
        }
