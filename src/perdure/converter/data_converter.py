"""The data converter: payload converter, codec and failure converter as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure

from perdure.converter.context import SerializationContext, WithSerializationContext, in_context
from perdure.converter.defaults import DefaultPayloadConverter
from perdure.converter.external_storage import ExternalStorage, StorageTarget
from perdure.converter.failure_converter import DefaultFailureConverter, FailureConverter
from perdure.converter.payload_codec import PayloadCodec
from perdure.converter.payload_converter import PayloadConverter, is_context_free
from perdure.converter.payload_path import PayloadPath
from perdure.converter.transfer_types import TransferringPayloadConverter, with_transfer_types


@dataclass(frozen=True)
class DataConverter(WithSerializationContext):
    """How values become payloads. The converters are given as classes, without arguments, so that
    each process and each workflow can make its own."""

    payload_converter_class: type[PayloadConverter] = DefaultPayloadConverter
    payload_codec: PayloadCodec | None = None
    failure_converter_class: type[FailureConverter] = DefaultFailureConverter
    external_storage: ExternalStorage | None = None
    """Where large payloads are kept; None: they travel like all others."""
    payload_converter: PayloadConverter = dataclasses.field(init=False)
    failure_converter: FailureConverter = dataclasses.field(init=False)
    is_context_free: bool = dataclasses.field(init=False, repr=False, compare=False)
    """Whether it is the same in every context."""
    path: PayloadCodec | None = dataclasses.field(init=False, repr=False, compare=False)
    """What payloads go through on their way to the wire and back; None: nothing."""
    _target: StorageTarget | None = dataclasses.field(init=False, repr=False, compare=False)

    default: ClassVar[DataConverter]

    def __post_init__(self) -> None:
        # What a class says of its values holds under any converter.
        object.__setattr__(
            self, "payload_converter", with_transfer_types(self.payload_converter_class())
        )
        object.__setattr__(self, "failure_converter", self.failure_converter_class())
        parts = (
            self.payload_converter,
            self.payload_codec,
            self.failure_converter,
            self.external_storage,
        )
        object.__setattr__(self, "is_context_free", all(map(_is_context_free, parts)))
        self._store_for(None)

    async def encode(self, values: Sequence[Any]) -> list[Payload]:
        """Converted, then encoded."""
        payloads = self.payload_converter.to_payloads(values)
        if self.path is None or not payloads:
            return payloads
        return await self.path.encode(payloads)

    async def decode(
        self, payloads: Sequence[Payload], type_hints: list[Any] | None = None
    ) -> list[Any]:
        """Decoded, then converted."""
        if self.path is not None and payloads:
            payloads = await self.path.decode(payloads)
        return self.payload_converter.from_payloads(payloads, type_hints)

    async def encode_wrapper(self, values: Sequence[Any]) -> Payloads:
        """`encode` as a `Payloads` message."""
        return Payloads(payloads=await self.encode(values))

    async def decode_wrapper(
        self, payloads: Payloads | None, type_hints: list[Any] | None = None
    ) -> list[Any]:
        """`decode` of a message that may be missing or empty."""
        if payloads is None or not payloads.payloads:
            return []
        return await self.decode(payloads.payloads, type_hints)

    async def encode_failure(self, exception: BaseException, failure: Failure) -> None:
        """Describe an exception in an empty failure, its payloads encoded."""
        self.failure_converter.to_failure(exception, self.payload_converter, failure)
        if self.path is not None:
            await self.path.encode_failure(failure)

    async def decode_failure(self, failure: Failure) -> BaseException:
        """The exception that a failure describes. The failure itself stays as it is."""
        if self.path is not None:
            decoded = Failure()
            decoded.CopyFrom(failure)
            await self.path.decode_failure(decoded)
            failure = decoded
        return self.failure_converter.from_failure(failure, self.payload_converter)

    def with_context(self, context: SerializationContext) -> Self:
        """The data converter whose parts know the context; `self` when none wants to."""
        if self.is_context_free:
            return self
        parts = (
            self.payload_converter,
            self.payload_codec,
            self.failure_converter,
            self.external_storage,
        )
        converter, codec, failure_converter, storage = (in_context(part, context) for part in parts)
        if (converter, codec, failure_converter, storage) == parts:
            return self
        copied = dataclasses.replace(self, payload_codec=codec, external_storage=storage)
        object.__setattr__(copied, "payload_converter", converter)
        object.__setattr__(copied, "failure_converter", failure_converter)
        copied._store_for(self._target)
        return copied

    def storing_for(self, target: StorageTarget) -> Self:
        """The data converter whose storage is told what payloads are for."""
        if self.external_storage is None:
            return self
        copied = dataclasses.replace(self)
        object.__setattr__(copied, "payload_converter", self.payload_converter)
        object.__setattr__(copied, "failure_converter", self.failure_converter)
        copied._store_for(target)
        return copied

    def _store_for(self, target: StorageTarget | None) -> None:
        object.__setattr__(self, "_target", target)
        path = None
        if self.payload_codec is not None or self.external_storage is not None:
            path = PayloadPath(self.payload_codec, self.external_storage, target)
        object.__setattr__(self, "path", path)


def _is_context_free(part: Any) -> bool:
    return is_context_free(part.inner if isinstance(part, TransferringPayloadConverter) else part)


DataConverter.default = DataConverter()


def default() -> DataConverter:
    """`DataConverter.default`."""
    return DataConverter.default
