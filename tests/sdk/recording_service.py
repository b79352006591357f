"""A service that notes what it is asked and answers what it was told to: for comparing clients."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from temporalio.api.workflowservice.v1 import service_pb2

from perdure.transport import Caller, CallFailed, Handler, InProcessTransport
from perdure.transport.grpc_server import GrpcServer

SERVICE = service_pb2.DESCRIPTOR.services_by_name["WorkflowService"]

Answer = Message | CallFailed


@dataclass
class RecordingService:
    """Requests in the order in which they came, and the answers by RPC.

    A list of answers is given one by one, the last of them for ever. An RPC without an answer gives
    an empty message.
    """

    answers: Mapping[str, Answer | list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[Caller] = field(default_factory=list)

    def handlers(self) -> dict[str, Handler]:
        """The table of all RPCs."""
        return {
            f"/{SERVICE.full_name}/{method.name}": self._handler(method)
            for method in SERVICE.methods
        }

    def in_process(self) -> InProcessTransport:
        """The way to this service within the process."""
        return InProcessTransport(self.handlers())

    @contextlib.asynccontextmanager
    async def over_grpc(self) -> AsyncIterator[str]:
        """The address under which this service answers."""
        server = GrpcServer(self.handlers(), host="127.0.0.1", port=0)
        port = await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(0)

    def named(self, rpc: str) -> list[Any]:
        """The requests of one RPC."""
        return [request for name, request in self.requests if name == rpc]

    def _handler(self, method: Any) -> Handler:
        async def handle(request: bytes, caller: Caller) -> bytes:
            decoded = method.input_type._concrete_class.FromString(request)
            self.requests.append((method.name, decoded))
            self.headers.append(caller)
            answer = self.answers.get(method.name)
            if isinstance(answer, list):
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
            if isinstance(answer, CallFailed):
                raise answer
            if answer is None:
                answer = method.output_type._concrete_class()
            return answer.SerializeToString()

        return handle
