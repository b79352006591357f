"""What type checkers see of the decorators of workflows: read by mypy, and never run.

What is wrong has an ignored error, and mypy tells of errors that are ignored in vain.
"""

from __future__ import annotations

from perdure import workflow


@workflow.defn
class Right:
    """Every decorator where it belongs."""

    @workflow.run
    async def run(self) -> str:
        """Runs it."""
        return ""

    @workflow.signal
    async def told(self, word: str) -> None:
        """An async signal."""

    @workflow.signal(name="other")
    def told_more(self, word: str) -> None:
        """One that is not."""

    @workflow.update
    def change(self, word: str) -> int:
        """An update."""
        return len(word)

    @change.validator
    def check(self, word: str) -> None:
        """Takes what the update takes."""


class Wrong:
    """None where it belongs."""

    @workflow.run  # type: ignore[type-var]
    def run(self) -> str:
        """Not async."""
        return ""

    @workflow.signal  # type: ignore[type-var]
    def told(self, word: str) -> int:
        """Nobody gets what a signal returns."""
        return len(word)

    @workflow.signal(name="other")  # type: ignore[type-var]
    def told_more(self, word: str) -> int:
        """Nor here."""
        return len(word)

    @workflow.update
    def change(self, word: str) -> int:
        """An update."""
        return len(word)

    @change.validator  # type: ignore[arg-type]
    def check(self, number: int) -> None:
        """Takes something else."""
