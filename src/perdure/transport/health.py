"""Whether the service in this process is well, for those who ask as they would ask a server."""

from __future__ import annotations

from collections.abc import Mapping

from perdure.transport.port import Caller, CallFailed, Code, Handler, services_of

CHECK = "/grpc.health.v1.Health/Check"


def with_health(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    """The handlers, and one that says that they serve: while it can be called, they do."""
    services = services_of(handlers) | {""}

    async def check(request: bytes, caller: Caller) -> bytes:
        # Few programs ask, so the others do not pay for the import.
        from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

        service = HealthCheckRequest.FromString(request).service
        if service not in services:
            raise CallFailed(Code.NOT_FOUND, f"unknown service {service}")
        answer: bytes = HealthCheckResponse(status=HealthCheckResponse.SERVING).SerializeToString()
        return answer

    return {**handlers, CHECK: check}
