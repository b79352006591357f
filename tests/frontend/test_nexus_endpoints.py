"""Nexus endpoints over the API: what other tests do not see by comparing with the real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from temporalio.api.nexus.v1 import Endpoint, EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import (
    CreateNexusEndpointRequest,
    CreateNexusEndpointResponse,
    ListNexusEndpointsRequest,
    ListNexusEndpointsResponse,
    UpdateNexusEndpointRequest,
    UpdateNexusEndpointResponse,
)

from perdure.server.engine.clock import SystemClock
from perdure.server.engine.ids import RandomIds
from perdure.server.engine.nexus.endpoints import Endpoints
from perdure.server.frontend.services import Services
from perdure.server.machines.errors import AlreadyExists
from perdure.server.store.ports import NamedKind
from perdure.server.store.sqlite import open_sqlite
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


async def test_a_change_whose_caller_has_gone_away_is_known_once_it_is_stored(
    tmp_path: Path,
) -> None:
    store, clock = open_sqlite(tmp_path / "perdure.db"), SystemClock()
    try:
        endpoints = Endpoints(store, RandomIds(clock), clock)
        creating = asyncio.create_task(endpoints.create(spec("name")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        creating.cancel()
        with pytest.raises(AlreadyExists):
            await endpoints.create(spec("name"))
        assert [found.spec.name for found in endpoints.page("", 10)] == ["name"]
        assert len(await store.named(NamedKind.NEXUS_ENDPOINT)) == 1
    finally:
        await store.close()
