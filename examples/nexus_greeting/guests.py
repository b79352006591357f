"""The team that calls: it knows the contract and the name of an endpoint."""

from __future__ import annotations

from datetime import timedelta

from examples.nexus_greeting.contract import Greetings, Guest
from perdure import workflow
from perdure.exceptions import NexusOperationError

ENDPOINT = "greetings"


@workflow.defn
class Arrive:
    """A guest arrives, and is greeted in the language of the country."""

    @workflow.run
    async def run(self, name: str, country: str) -> str:
        """The greeting, or an apology."""
        hosts = workflow.create_nexus_client(service=Greetings, endpoint=ENDPOINT)
        limit = timedelta(minutes=1)
        try:
            language = await hosts.execute_operation(
                Greetings.language_of, country, schedule_to_close_timeout=limit
            )
        except NexusOperationError as error:
            return f"{name} is not greeted: {error.cause}"
        return await hosts.execute_operation(
            Greetings.greet, Guest(name, language), schedule_to_close_timeout=limit
        )
