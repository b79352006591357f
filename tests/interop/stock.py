"""What a newcomer runs on a worker with all defaults, in a module that a sandbox can load."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def compose(greeting: str, name: str) -> str:
    """The greeting."""
    return f"{greeting}, {name}!"


@workflow.defn
class Hello:
    """One activity."""

    @workflow.run
    async def run(self, name: str) -> str:
        """The greeting of one activity."""
        return await workflow.execute_activity(
            compose, args=["Hello", name], start_to_close_timeout=timedelta(seconds=10)
        )


@workflow.defn
class Bug:
    """A bug, which the SDK logs."""

    @workflow.run
    async def run(self) -> None:
        """Never returns."""
        raise ValueError("a bug")
