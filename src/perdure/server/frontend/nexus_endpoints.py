"""CreateNexusEndpoint, GetNexusEndpoint, UpdateNexusEndpoint, DeleteNexusEndpoint,
ListNexusEndpoints."""

from __future__ import annotations

import json
import re
import uuid
from urllib.parse import urlsplit

from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import (
    CreateNexusEndpointRequest,
    CreateNexusEndpointResponse,
    DeleteNexusEndpointRequest,
    DeleteNexusEndpointResponse,
    GetNexusEndpointRequest,
    GetNexusEndpointResponse,
    ListNexusEndpointsRequest,
    ListNexusEndpointsResponse,
    UpdateNexusEndpointRequest,
    UpdateNexusEndpointResponse,
)
from temporalio.api.taskqueue.v1 import TaskQueue

from perdure.server.frontend.callbacks import problem_of_url, quoted
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import check_queue, is_too_long
from perdure.server.machines.errors import FailedPrecondition, InvalidArgument, NotFound, Rejected
from perdure.transport import Caller

NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*[a-zA-Z0-9]")
NAME_RULE = r'endpoint name must match the regex: "^[a-zA-Z][a-zA-Z0-9\\-]*[a-zA-Z0-9]$"'
NAME_LENGTH_MAX = 200
DESCRIPTION_BYTES_MAX = 20_000
URL_BYTES_MAX = 4096
PAGE_DEFAULT = 100
PAGE_MAX = 1000


async def create_nexus_endpoint(
    services: Services, request: CreateNexusEndpointRequest, caller: Caller
) -> bytes:
    """A new endpoint, of which there is no other of the name."""
    _check_spec(services, request.spec)
    endpoint = await services.engine.nexus.endpoints.create(request.spec)
    return CreateNexusEndpointResponse(endpoint=endpoint).SerializeToString()


async def get_nexus_endpoint(
    services: Services, request: GetNexusEndpointRequest, caller: Caller
) -> bytes:
    """An endpoint, by its id."""
    if problem := _problem_of_id(request.id):
        raise InvalidArgument(problem)
    endpoint = services.engine.nexus.endpoints.by_id(request.id)
    if endpoint is None:
        raise NotFound(f"Nexus endpoint with ID `{request.id}` not found")
    return GetNexusEndpointResponse(endpoint=endpoint).SerializeToString()


async def update_nexus_endpoint(
    services: Services, request: UpdateNexusEndpointRequest, caller: Caller
) -> bytes:
    """What an endpoint is, anew; its caller must have seen the newest version."""
    _check_spec(services, request.spec)
    endpoint = await services.engine.nexus.endpoints.update(
        request.id, request.version, request.spec
    )
    return UpdateNexusEndpointResponse(endpoint=endpoint).SerializeToString()


async def delete_nexus_endpoint(
    services: Services, request: DeleteNexusEndpointRequest, caller: Caller
) -> bytes:
    """An endpoint goes. As the real server has it, of whatever version it is."""
    problems = [_problem_of_id(request.id)]
    if request.version <= 0:
        problems.append("endpoint version is non-positive")
    if any(problems):
        raise InvalidArgument(", ".join(filter(None, problems)))
    await services.engine.nexus.endpoints.delete(request.id)
    return DeleteNexusEndpointResponse().SerializeToString()


async def list_nexus_endpoints(
    services: Services, request: ListNexusEndpointsRequest, caller: Caller
) -> bytes:
    """Endpoints by their ids, a page at a time; or the one of a name."""
    if request.page_size < 0:
        raise InvalidArgument("page_size is negative")
    if request.page_size > PAGE_MAX:
        raise InvalidArgument(f"page_size exceeds limit of {PAGE_MAX}")
    endpoints = services.engine.nexus.endpoints
    if request.name:
        named = endpoints.by_name(request.name)
        found = [] if named is None else [named]
        return ListNexusEndpointsResponse(endpoints=found).SerializeToString()
    limit = request.page_size or PAGE_DEFAULT
    found = endpoints.page(_after(request.next_page_token), limit)
    token = found[-1].id.encode() if len(found) == limit else b""
    response = ListNexusEndpointsResponse(endpoints=found, next_page_token=token)
    return response.SerializeToString()


def _after(token: bytes) -> str:
    try:
        return str(uuid.UUID(token.decode())) if token else ""
    except ValueError:
        raise InvalidArgument("Invalid NextPageToken.") from None


def _problem_of_id(endpoint_id: str) -> str:
    if not endpoint_id:
        return "endpoint ID not set"
    try:
        uuid.UUID(endpoint_id)
    except ValueError:
        length = len(endpoint_id.encode())
        problem = "invalid UUID format" if length == 36 else f"invalid UUID length: {length}"
        return f'malformed endpoint ID: "{problem}"'
    return ""


def _check_spec(services: Services, spec: EndpointSpec) -> None:
    """All that is wrong with it is told at once."""
    problems = _problems_of_name(spec.name)
    if spec.description.ByteSize() > DESCRIPTION_BYTES_MAX:
        problems.append(f"description size exceeds limit of {DESCRIPTION_BYTES_MAX}")
    match spec.target.WhichOneof("variant"):
        case "worker":
            problems += _problems_of_worker(services, spec.target.worker)
        case "external":
            problems += _problems_of_url(spec.target.external.url)
        case _:
            problems.append("empty target variant")
    if problems:
        raise InvalidArgument(", ".join(problems))
    if spec.target.HasField("worker"):
        try:
            services.bind(spec.target.worker.namespace)
        except Rejected as error:
            raise FailedPrecondition(
                f"could not verify namespace referenced by target exists: {error}"
            ) from error


def _problems_of_name(name: str) -> list[str]:
    if not name:
        return ["endpoint name not set"]
    problems = []
    if is_too_long(name, NAME_LENGTH_MAX):
        problems.append(f"endpoint name exceeds length limit of {NAME_LENGTH_MAX}")
    if not NAME.fullmatch(name):
        problems.append(NAME_RULE)
    return problems


def _problems_of_worker(services: Services, worker: EndpointTarget.Worker) -> list[str]:
    problems = [] if worker.namespace else ["target namespace not set"]
    try:
        if not worker.task_queue:
            raise InvalidArgument("taskQueue is not set")
        check_queue(True, TaskQueue(name=worker.task_queue), services.limits)
    except InvalidArgument as error:
        problems.append(f"invalid target task queue: {json.dumps(str(error))}")
    return problems


def _problems_of_url(url: str) -> list[str]:
    if not url:
        return ["empty target URL"]
    if is_too_long(url, URL_BYTES_MAX):
        return [f"target URL length exceeds limit of {URL_BYTES_MAX}"]
    if problem := problem_of_url(url):
        return [f"invalid target URL: parse {quoted(url)}: {problem}"]
    scheme = urlsplit(url).scheme
    if scheme not in ("http", "https"):
        return [f'invalid target URL scheme: "{scheme}", expected http or https']
    return []
