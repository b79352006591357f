"""Nexus endpoints over the API: what other tests do not see by comparing with the real server."""

from __future__ import annotations

from temporalio.api.nexus.v1 import Endpoint, EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import (
    CreateNexusEndpointRequest,
    CreateNexusEndpointResponse,
    ListNexusEndpointsRequest,
    ListNexusEndpointsResponse,
    UpdateNexusEndpointRequest,
    UpdateNexusEndpointResponse,
)

from perdure.server.frontend.services import Services
from perdure.transport import Code
from tests.frontend.client import Client


def spec(name: str) -> EndpointSpec:
    worker = EndpointTarget.Worker(namespace="default", task_queue="q")
    return EndpointSpec(name=name, target=EndpointTarget(worker=worker))


async def create(client: Client, name: str) -> Endpoint:
    request = CreateNexusEndpointRequest(spec=spec(name))
    return (await client.call(request, CreateNexusEndpointResponse)).endpoint


async def test_an_endpoint_is_there_after_the_server_has_been_started_anew(
    client: Client, services: Services
) -> None:
    first = await create(client, "first")
    second = await create(client, "second")
    await services.engine.nexus.endpoints.delete(first.id)
    again = type(services.engine.nexus.endpoints)(services.store, services.ids, services.clock)
    await again.recover()
    assert again.by_id(second.id) == second
    assert again.by_name("second") == second
    assert again.by_id(first.id) is None
    assert again.by_name("first") is None


async def test_a_name_stands_for_one_endpoint_and_is_free_when_it_has_changed(
    client: Client,
) -> None:
    endpoint, other = await create(client, "first"), await create(client, "other")
    taken = UpdateNexusEndpointRequest(id=other.id, version=1, spec=spec("first"))
    assert (await client.refusal(taken)).code is Code.ALREADY_EXISTS
    renamed = UpdateNexusEndpointRequest(id=endpoint.id, version=1, spec=spec("renamed"))
    changed = (await client.call(renamed, UpdateNexusEndpointResponse)).endpoint
    assert changed.created_time == endpoint.created_time
    assert (await create(client, "first")).id != endpoint.id


async def test_a_page_token_that_is_none_is_refused(client: Client) -> None:
    request = ListNexusEndpointsRequest(next_page_token=b"\xff")
    assert (await client.refusal(request)).code is Code.INVALID_ARGUMENT
    request.next_page_token = b""
    assert await client.call(request, ListNexusEndpointsResponse) == ListNexusEndpointsResponse()
