"""The activity of the greeting: it does the work that could fail."""

from __future__ import annotations

from dataclasses import dataclass

from perdure import activity


@dataclass
class ComposeGreetingInput:
    """A dataclass can get new fields later; a list of arguments can hardly change."""

    greeting: str
    name: str


@activity.defn(name="ComposeGreeting")
async def compose_greeting(given: ComposeGreetingInput) -> str:
    """The words."""
    return f"{given.greeting}, {given.name}!"
