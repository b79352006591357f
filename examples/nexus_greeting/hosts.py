"""The team that offers the service: a function that answers at once, and a workflow."""

from __future__ import annotations

from datetime import timedelta

import nexusrpc
from nexusrpc.handler import StartOperationContext, service_handler, sync_operation

from examples.nexus_greeting.contract import Greetings, Guest
from perdure import nexus, workflow

LANGUAGES = {"Germany": "de", "France": "fr", "Japan": "ja"}
WORDS = {"de": "Hallo", "fr": "Bonjour", "ja": "Konnichiwa"}


@workflow.defn
class Greet:
    """A greeting takes as long as it takes: whoever asked for it need not stay."""

    @workflow.run
    async def run(self, guest: Guest) -> str:
        """Take a breath, and greet."""
        await workflow.sleep(timedelta(milliseconds=20))
        return f"{WORDS[guest.language]}, {guest.name}!"


@service_handler(service=Greetings)
class GreetingsHandler:
    """Does what the contract says."""

    @sync_operation
    async def language_of(self, ctx: StartOperationContext, country: str) -> str:
        """Answers at once. What the caller got wrong is not tried again."""
        if country not in LANGUAGES:
            raise nexusrpc.OperationError(
                f"nobody here has been to {country}", state=nexusrpc.OperationErrorState.FAILED
            )
        return LANGUAGES[country]

    @nexus.workflow_run_operation
    async def greet(
        self, ctx: nexus.WorkflowRunOperationContext, guest: Guest
    ) -> nexus.WorkflowHandle[str]:
        """Starts a workflow, whose result is the operation's.

        The request id is the same when the request comes again: one operation, one workflow.
        """
        return await ctx.start_workflow(Greet.run, guest, id=f"greet-{ctx.request_id}")
