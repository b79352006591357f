"""What every gRPC server is asked besides its own services: its health, and its reflection.

Nothing here waits: a watcher of the health is answered when it asks and when something changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from perdure.transport.http2.calls import OpenStream, Receiver, StreamingCall
from perdure.transport.port import Caller, CallFailed, Code, Handler

HEALTH = "grpc.health.v1.Health"
REFLECTIONS = (
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)
"""Both names of one service: newer clients ask for v1 first, whose messages are the same."""

Parsed = TypeVar("Parsed")

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """Whether the server serves, for those who ask once and those who watch."""

    def __init__(self, services: frozenset[str]) -> None:
        self._services = services | {""}
        self._is_serving = True
        self._watchers: dict[_Watcher, str] = {}

    def handlers(self) -> dict[str, Handler]:
        """What is asked and answered once."""
        return {f"/{HEALTH}/Check": self._check}

    def streams(self) -> dict[str, OpenStream]:
        """What is asked once, and answered again and again."""
        return {f"/{HEALTH}/Watch": lambda call: _Watcher(self, call)}

    def stop(self) -> None:
        """From now on the server does not serve; who watches is told."""
        self._is_serving = False
        for watcher, service in self._watchers.items():
            watcher.tell(self._status(service))

    def watch(self, watcher: _Watcher, request: bytes) -> None:
        """Tell a watcher the status of a service now, and whenever it changes."""
        service = _parsed(health_pb2.HealthCheckRequest.FromString, request).service
        self._watchers[watcher] = service
        watcher.tell(self._status(service))

    def forget(self, watcher: _Watcher) -> None:
        """A watcher is gone."""
        self._watchers.pop(watcher, None)

    async def _check(self, request: bytes, caller: Caller) -> bytes:
        service = _parsed(health_pb2.HealthCheckRequest.FromString, request).service
        if service not in self._services:
            raise CallFailed(Code.NOT_FOUND, f"unknown service {service}")
        return self._status(service)

    def _status(self, service: str) -> bytes:
        known = SERVING if self._is_serving else NOT_SERVING
        status = known if service in self._services else SERVICE_UNKNOWN
        answer: bytes = health_pb2.HealthCheckResponse(status=status).SerializeToString()
        return answer


class _Watcher:
    def __init__(self, health: Health, call: StreamingCall) -> None:
        self._health = health
        self._call = call

    def tell(self, status: bytes) -> None:
        self._call.send(status)

    def receive(self, message: bytes) -> None:
        self._health.watch(self, message)

    def end(self) -> None:
        """The request is complete; its answers go on."""

    def close(self) -> None:
        self._health.forget(self)


class Reflection:
    """Describes the services and messages that this program knows."""

    def __init__(self, services: frozenset[str]) -> None:
        self._services = sorted(services | {HEALTH, *REFLECTIONS})
        self._pool = descriptor_pool.Default()

    def streams(self) -> dict[str, OpenStream]:
        """The service, by both of its names."""
        return {f"/{name}/ServerReflectionInfo": self._open for name in REFLECTIONS}

    def answer(self, message: bytes) -> bytes:
        """The answer to one question."""
        request = _parsed(reflection_pb2.ServerReflectionRequest.FromString, message)
        response = reflection_pb2.ServerReflectionResponse(original_request=request)
        try:
            self._fill(response, request)
        except KeyError:
            response.error_response.error_code = Code.NOT_FOUND
            response.error_response.error_message = "not found"
        answer: bytes = response.SerializeToString()
        return answer

    def _open(self, call: StreamingCall) -> Receiver:
        return _Questions(self, call)

    def _fill(
        self,
        response: reflection_pb2.ServerReflectionResponse,
        request: reflection_pb2.ServerReflectionRequest,
    ) -> None:
        pool = self._pool
        match request.WhichOneof("message_request"):
            case "file_by_filename":
                _describe(response, pool.FindFileByName(request.file_by_filename))
            case "file_containing_symbol":
                _describe(response, pool.FindFileContainingSymbol(request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                message = pool.FindMessageTypeByName(wanted.containing_type)
                extension: Any = pool.FindExtensionByNumber(message, wanted.extension_number)
                _describe(response, extension.file)
            case "all_extension_numbers_of_type":
                message = pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
                numbers = response.all_extension_numbers_response
                numbers.base_type_name = message.full_name
                numbers.extension_number.extend(
                    sorted(extension.number for extension in pool.FindAllExtensions(message))
                )
            case "list_services":
                for name in self._services:
                    response.list_services_response.service.add(name=name)
            case _:
                response.error_response.error_code = Code.INVALID_ARGUMENT
                response.error_response.error_message = "no question"


class _Questions:
    def __init__(self, reflection: Reflection, call: StreamingCall) -> None:
        self._reflection = reflection
        self._call = call

    def receive(self, message: bytes) -> None:
        self._call.send(self._reflection.answer(message))

    def end(self) -> None:
        self._call.finish()

    def close(self) -> None:
        """Nothing is kept."""


def _describe(response: reflection_pb2.ServerReflectionResponse, file: FileDescriptor) -> None:
    """A file, and all that it rests on."""
    for needed in _with_dependencies(file, set()):
        proto = descriptor_pb2.FileDescriptorProto()
        needed.CopyToProto(proto)
        response.file_descriptor_response.file_descriptor_proto.append(proto.SerializeToString())


def _with_dependencies(file: FileDescriptor, seen: set[str]) -> Iterator[FileDescriptor]:
    if file.name in seen:
        return
    seen.add(file.name)
    yield file
    for dependency in file.dependencies:
        yield from _with_dependencies(dependency, seen)


def _parsed(parse: Callable[[bytes], Parsed], message: bytes) -> Parsed:
    try:
        return parse(message)
    except DecodeError:
        raise CallFailed(Code.INVALID_ARGUMENT, "the message cannot be read") from None
