"""The workflow of the greeting: what is to happen, and in which order."""

from __future__ import annotations

from datetime import timedelta

from examples.greeting.activities import ComposeGreetingInput, compose_greeting
from perdure import workflow


@workflow.defn
class GreetingWorkflow:
    """Greets somebody."""

    @workflow.run
    async def run(self, name: str) -> str:
        """The greeting for a name."""
        return await workflow.execute_activity(
            compose_greeting,
            ComposeGreetingInput(greeting="Hello", name=name),
            start_to_close_timeout=timedelta(minutes=1),
        )
