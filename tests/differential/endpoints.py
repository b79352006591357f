"""The Nexus endpoints of a program: there as long as it runs, for a server has few of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import (
    CreateNexusEndpointRequest,
    CreateNexusEndpointResponse,
    DeleteNexusEndpointRequest,
)
from temporalio.client import Client

from tests.differential.desk import dead_endpoint_of, endpoint_of
from tests.differential.program import Operation, Program, steps_of


@contextlib.asynccontextmanager
async def endpoints(
    program: Program, client: Client, nonce: str, queue: str
) -> AsyncIterator[None]:
    """Those that its operations call, while it is used."""
    dead = {step.is_dead for step in steps_of(program) if isinstance(step, Operation)}
    targets = {True: (dead_endpoint_of(nonce), f"dead-{queue}"), False: (endpoint_of(nonce), queue)}
    made = [await _create(client, *targets[is_dead]) for is_dead in sorted(dead)]
    try:
        yield
    finally:
        for endpoint in made:
            await client.operator_service.delete_nexus_endpoint(
                DeleteNexusEndpointRequest(
                    id=endpoint.endpoint.id, version=endpoint.endpoint.version
                )
            )


async def _create(client: Client, name: str, queue: str) -> CreateNexusEndpointResponse:
    worker = EndpointTarget.Worker(namespace=client.namespace, task_queue=queue)
    spec = EndpointSpec(name=name, target=EndpointTarget(worker=worker))
    return await client.operator_service.create_nexus_endpoint(
        CreateNexusEndpointRequest(spec=spec)
    )
