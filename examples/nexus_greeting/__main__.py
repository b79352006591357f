"""Run both teams: `python -m examples.nexus_greeting [--address HOST:PORT]`."""

from __future__ import annotations

import asyncio
import uuid
from argparse import Namespace

from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import CreateNexusEndpointRequest

from examples.connecting import arguments, connected
from examples.nexus_greeting.guests import ENDPOINT, Arrive
from examples.nexus_greeting.hosts import Greet, GreetingsHandler
from perdure.client import Client
from perdure.service import RPCError, RPCStatusCode
from perdure.worker import Worker

HOSTS, GUESTS = "hosts", "guests"
ARRIVALS = [("Ada", "Germany"), ("Bob", "France"), ("Eve", "Atlantis")]


async def main(options: Namespace) -> list[str]:
    """Run a worker of each team, and have some guests arrive."""
    async with (
        connected(options) as client,
        Worker(
            client,
            task_queue=HOSTS,
            workflows=[Greet],
            nexus_service_handlers=[GreetingsHandler()],
        ),
        Worker(client, task_queue=GUESTS, workflows=[Arrive]),
    ):
        await lead_to(client, ENDPOINT, HOSTS)
        return await asyncio.gather(
            *(
                client.execute_workflow(
                    Arrive.run,
                    args=[name, country],
                    id=f"arrive-{name}-{uuid.uuid4()}",
                    task_queue=GUESTS,
                )
                for name, country in ARRIVALS
            )
        )


async def lead_to(client: Client, endpoint: str, task_queue: str) -> None:
    """Make an endpoint that leads to a task queue, unless there is one of that name.

    On a server, an operator does that once, by `perdure nexus endpoint create`.
    """
    target = EndpointTarget.Worker(namespace=client.namespace, task_queue=task_queue)
    spec = EndpointSpec(name=endpoint, target=EndpointTarget(worker=target))
    try:
        await client.operator_service.create_nexus_endpoint(CreateNexusEndpointRequest(spec=spec))
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise


if __name__ == "__main__":
    for line in asyncio.run(main(arguments(__doc__).parse_args())):
        print(line)
