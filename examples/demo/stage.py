"""The terminal of the demo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

PIPE_WIDTH = 120
"""For logs, which wrap nothing by themselves."""


class Stage:
    """Prints what happens, and turns a spinner while something is awaited."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, markup=False, emoji=False)
        if not self.console.is_terminal:
            self.console.width = PIPE_WIDTH
        self._scenes = 0

    def scene(self, title: str, about: str) -> None:
        """Begin the next part."""
        self._scenes += 1
        self.console.print()
        self.console.print(Text(f"{self._scenes}  {title}", style="bold"))
        self.console.print(Text(f"   {about}", style="dim"), soft_wrap=True)

    def good(self, text: str) -> None:
        """Something went well."""
        self._line("✔", "green", text)

    def bad(self, text: str) -> None:
        """Something broke."""
        self._line("✘", "red", text)

    def plan(self, text: str) -> None:
        """Something is under way."""
        self._line("·", "yellow", text)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Something is awaited."""
        if not self.console.is_terminal:
            yield
            return
        with self.console.status(Text(f"{text} …", style="dim"), spinner="dots"):
            yield

    def _line(self, mark: str, style: str, text: str) -> None:
        self.console.print(Text.assemble("   ", (mark, style), " ", text), soft_wrap=True)
