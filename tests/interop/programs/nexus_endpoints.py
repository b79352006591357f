"""Nexus endpoints as operators make, see and change them, and what is refused of them."""

from __future__ import annotations

from temporalio.api.common.v1 import Payload
from temporalio.api.nexus.v1 import Endpoint, EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import (
    CreateNexusEndpointRequest,
    DeleteNexusEndpointRequest,
    GetNexusEndpointRequest,
    ListNexusEndpointsRequest,
    UpdateNexusEndpointRequest,
)

from tests.interop.stage import Stage

NOBODY = "7a5f1ed2-3b9f-4a4c-9e17-1d3d1d6a3e11"


def of_worker(name: str, namespace: str = "default", queue: str = "queue") -> EndpointSpec:
    """An endpoint that workers answer for."""
    worker = EndpointTarget.Worker(namespace=namespace, task_queue=queue)
    return EndpointSpec(name=name, target=EndpointTarget(worker=worker))


def of_url(name: str, url: str) -> EndpointSpec:
    """An endpoint elsewhere."""
    return EndpointSpec(name=name, target=EndpointTarget(external=EndpointTarget.External(url=url)))


async def created(stage: Stage, spec: EndpointSpec) -> Endpoint:
    """A new endpoint."""
    request = CreateNexusEndpointRequest(spec=spec)
    return (await stage.client.operator_service.create_nexus_endpoint(request)).endpoint


async def endpoint_life(stage: Stage) -> None:
    """An endpoint is made, seen, changed by those who know its version, and deleted."""
    operator = stage.client.operator_service
    name = f"e-{stage.nonce}"
    spec = of_worker(name)
    spec.description.CopyFrom(Payload(metadata={"encoding": b"json/plain"}, data=b'"hi"'))
    endpoint = await created(stage, spec)
    stage.message("created", endpoint)
    again = CreateNexusEndpointRequest(spec=of_worker(name))
    await stage.outcome("taken", operator.create_nexus_endpoint(again))
    get = GetNexusEndpointRequest(id=endpoint.id)
    await stage.outcome("got", operator.get_nexus_endpoint(get))
    for version in (0, -1, 7):
        stale = UpdateNexusEndpointRequest(id=endpoint.id, version=version, spec=spec)
        await stage.outcome(f"version {version}", operator.update_nexus_endpoint(stale))
    for version, changed in ((1, of_url(name, "http://127.0.0.1/x")), (2, of_worker(name + "-b"))):
        update = UpdateNexusEndpointRequest(id=endpoint.id, version=version, spec=changed)
        answer = (await operator.update_nexus_endpoint(update)).endpoint
        assert answer.HasField("last_modified_time")
        answer.ClearField("created_time")  # The real server forgets it.
        stage.message(f"updated {version}", answer)
    for label, wanted in (("old name", name), ("new name", name + "-b"), ("no name", "9 9")):
        found = await operator.list_nexus_endpoints(ListNexusEndpointsRequest(name=wanted))
        stage.observe(label, [stage.text(one.spec.name) for one in found.endpoints])
    delete = DeleteNexusEndpointRequest(id=endpoint.id, version=3)
    await stage.outcome("deleted", operator.delete_nexus_endpoint(delete))
    await stage.outcome("deleted again", operator.delete_nexus_endpoint(delete))
    await stage.outcome("gone", operator.get_nexus_endpoint(get))


async def endpoint_pages(stage: Stage) -> None:
    """Endpoints come by their ids, a page at a time; the last page may be empty."""
    operator = stage.client.operator_service
    ours = {(await created(stage, of_worker(f"p{number}-{stage.nonce}"))).id for number in range(3)}
    request, seen, last = ListNexusEndpointsRequest(page_size=1), list[str](), None
    while last is None or request.next_page_token:
        last = await operator.list_nexus_endpoints(request)
        seen += [endpoint.id for endpoint in last.endpoints]
        request.next_page_token = last.next_page_token
    stage.observe("all", ours <= set(seen))
    stage.observe("once, in order", seen == sorted(set(seen)))
    stage.observe("after the last", len(last.endpoints))


async def refused_endpoints(stage: Stage) -> None:
    """What is wrong with a request is told, all at once."""
    operator = stage.client.operator_service
    base = f"r-{stage.nonce}"
    long_description = of_worker(base)
    long_description.description.data = b"x" * 20_001
    specs = {
        "nothing": EndpointSpec(),
        "digit first": of_worker("9abc"),
        "underscore": of_worker("a_b"),
        "hyphen last": of_worker("a-"),
        "one letter": of_worker("a"),
        "umlaut": of_worker("äb"),
        "newline": of_worker("ab\n"),
        "long": of_worker("a" * 201),
        "of the system": of_worker("__temporal_system"),
        "no namespace": of_worker(base, namespace=""),
        "unknown namespace": of_worker(base, namespace="nope"),
        "no queue": of_worker(base, queue=""),
        "reserved queue": of_worker(base, queue="/_sys/foo/1"),
        "long queue": of_worker(base, queue="t" * 1001),
        "all of it": of_worker("9abc", namespace="", queue=""),
        "long description": long_description,
        "no url": of_url(base, ""),
        "no such url": of_url(base, "http://foo\x00"),
        "bad port": of_url(base, "http://foo:x/"),
        "ftp": of_url(base, "ftp://foo"),
        "no scheme": of_url(base, "foo"),
        "long url": of_url(base, "http://a/" + "x" * 4096),
    }
    for label, spec in specs.items():
        request = CreateNexusEndpointRequest(spec=spec)
        await stage.outcome(label, operator.create_nexus_endpoint(request))
    for endpoint_id in ("", "x", NOBODY[:-1] + "x", NOBODY):
        get = GetNexusEndpointRequest(id=endpoint_id)
        await stage.outcome(f"get {endpoint_id!r}", operator.get_nexus_endpoint(get))
        delete = DeleteNexusEndpointRequest(id=endpoint_id)
        await stage.outcome(f"delete {endpoint_id!r}", operator.delete_nexus_endpoint(delete))
        delete.version = 1
        await stage.outcome(f"delete 1 {endpoint_id!r}", operator.delete_nexus_endpoint(delete))
        update = UpdateNexusEndpointRequest(id=endpoint_id, version=1, spec=of_worker(base))
        await stage.outcome(f"update {endpoint_id!r}", operator.update_nexus_endpoint(update))
    for size in (-1, 1001):
        listing = ListNexusEndpointsRequest(page_size=size)
        await stage.outcome(f"page of {size}", operator.list_nexus_endpoints(listing))
