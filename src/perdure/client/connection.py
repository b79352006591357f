"""A namespace behind a service client: what every part of the client calls through."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message
from temporalio.api.common.v1 import Header, Payload, Payloads

from perdure.client.operation_scope import STARTING, OperationScope
from perdure.common import HeaderCodecBehavior, QueryRejectCondition
from perdure.converter import (
    DataConverter,
    StorageDriverWorkflowInfo,
    WorkflowSerializationContext,
)
from perdure.service import Metadata, ServiceClient

if TYPE_CHECKING:
    from perdure.client.interceptor import OutboundInterceptor

_Response = TypeVar("_Response", bound=Message)


class Unset:
    """The class of `UNSET`."""

    def __repr__(self) -> str:
        return "<unset>"


UNSET = Unset()
"""The default of an argument for which None is a value like any other."""


@dataclass
class Connection:
    """Where calls go, and how values become payloads."""

    service_client: ServiceClient
    namespace: str
    data_converter: DataConverter
    default_workflow_query_reject_condition: QueryRejectCondition | None
    header_codec_behavior: HeaderCodecBehavior = HeaderCodecBehavior.NO_CODEC
    outbound: OutboundInterceptor = field(init=False, repr=False)
    """What calls of clients and handles go through; at its end, they come back here."""

    @property
    def identity(self) -> str:
        """Who calls, as histories tell it."""
        return self.service_client.config.identity

    def converter_for(
        self, workflow_id: str, workflow_type: str | None = None, run_id: str | None = None
    ) -> DataConverter:
        """The data converter for the values of one workflow."""
        converter = self.data_converter
        if not converter.is_context_free:
            converter = converter.with_context(
                WorkflowSerializationContext(namespace=self.namespace, workflow_id=workflow_id)
            )
        if converter.external_storage is None:
            return converter
        return converter.storing_for(
            StorageDriverWorkflowInfo(
                namespace=self.namespace, id=workflow_id, run_id=run_id, type=workflow_type
            )
        )

    async def write_headers(
        self, headers: Mapping[str, Payload], message: Header, converter: DataConverter
    ) -> None:
        """Put the headers of a call into a message, encoded where the client says so; no headers
        leave the field unset."""
        codec = converter.payload_codec
        encodes = self.header_codec_behavior is HeaderCodecBehavior.CODEC
        for name, payload in headers.items():
            if encodes and codec is not None:
                [payload] = await codec.encode([payload])
            message.fields[name].CopyFrom(payload)

    def call(
        self,
        rpc: str,
        request: Message,
        response_type: type[_Response],
        metadata: Metadata,
        timeout: timedelta | None,
        *,
        long_poll: bool = False,
    ) -> Coroutine[Any, Any, _Response]:
        """The answer of an RPC of the workflow service. Raises RPCError."""
        scope = STARTING.get()
        if scope is not None:
            scope.prepare(request)
        call = self.service_client.call(
            rpc,
            request,
            response_type,
            namespace=self.namespace,
            metadata=metadata,
            timeout=timeout,
            long_poll=long_poll,
        )
        return call if scope is None else _noted(scope, request, call)


async def _noted(
    scope: OperationScope, request: Message, call: Coroutine[Any, Any, _Response]
) -> _Response:
    """The answer, of which the running operation has taken note."""
    response = await call
    scope.note(request, response)
    return response


def arguments_of(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    """The arguments of a call, given as one or as several. Raises ValueError for both at once."""
    if arg is UNSET:
        return args
    if args:
        raise ValueError("Cannot have arg and args")
    return [arg]


async def write(converter: DataConverter, values: Sequence[Any], payloads: Payloads) -> None:
    """Encode values into a field of a message; no values leave the field unset."""
    if values:
        payloads.payloads.extend(await converter.encode(values))
