"""Classes whose values travel as those of another type, their *transfer type*.

A class says so itself, by `transfer_type_convertible`; so it holds under any payload converter,
which only ever sees the transfer type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Self, TypeVar

from temporalio.api.common.v1 import Payload

from perdure.converter.context import SerializationContext, WithSerializationContext, in_context
from perdure.converter.payload_converter import PayloadConverter

ValueT = TypeVar("ValueT")
TransferTypeT = TypeVar("TransferTypeT")

_CONVERTER = "_perdure_transfer_type_converter"


class TransferTypeConverter(ABC, Generic[ValueT, TransferTypeT]):
    """Converts the values of a class to those of its transfer type, and back."""

    transfer_type: type[TransferTypeT] | None = None
    """The type hint by which payloads are read; None: by no hint."""

    @abstractmethod
    def to_transfer_type(self, value: ValueT) -> TransferTypeT:
        """What travels in place of the value."""

    @abstractmethod
    def from_transfer_type(self, value: TransferTypeT, type_hint: type[ValueT]) -> ValueT:
        """The value for what has travelled. The hint has the arguments of a generic class."""


def transfer_type_convertible(
    converter_type: type[TransferTypeConverter[ValueT, TransferTypeT]],
) -> Callable[[type[ValueT]], type[ValueT]]:
    """Decorates a class whose values travel as another type's. Raises TypeError for a second one,
    also when the first is a base class's."""

    def decorate(cls: type[ValueT]) -> type[ValueT]:
        if hasattr(cls, _CONVERTER):
            raise TypeError("class already has a transfer type converter")
        setattr(cls, _CONVERTER, converter_type())
        return cls

    return decorate


class TransferringPayloadConverter(PayloadConverter, WithSerializationContext):
    """A payload converter, before which transfer types are put in place of values."""

    def __init__(self, inner: PayloadConverter) -> None:
        self.inner = inner

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Payloads for values, or for what travels in their place."""
        if any(hasattr(type(value), _CONVERTER) for value in values):
            values = [_transferred(value) for value in values]
        return self.inner.to_payloads(values)

    def from_payloads(
        self, payloads: Sequence[Payload], type_hints: list[Any] | None = None
    ) -> list[Any]:
        """Values for payloads, each made of what has travelled in its place."""
        if type_hints is None:
            return self.inner.from_payloads(payloads, None)
        converters = [_converter_of(hint) for hint in type_hints]
        if not any(converters):
            return self.inner.from_payloads(payloads, type_hints)
        hints = [
            hint if converter is None else converter.transfer_type
            for hint, converter in zip(type_hints, converters, strict=True)
        ]
        values = self.inner.from_payloads(payloads, hints)
        for index, converter in enumerate(converters[: len(values)]):
            if converter is not None:
                values[index] = converter.from_transfer_type(values[index], type_hints[index])
        return values

    def with_context(self, context: SerializationContext) -> Self:
        """The same before a converter that knows the context; `self` when it does not want to."""
        inner = in_context(self.inner, context)
        return self if inner is self.inner else type(self)(inner)


def with_transfer_types(converter: PayloadConverter) -> PayloadConverter:
    """The payload converter that puts transfer types in place of values, unless it does."""
    if isinstance(converter, TransferringPayloadConverter):
        return converter
    return TransferringPayloadConverter(converter)


def _converter_of(value_type: Any) -> TransferTypeConverter[Any, Any] | None:
    found = getattr(value_type, _CONVERTER, None)
    return found if isinstance(found, TransferTypeConverter) else None


def _transferred(value: Any) -> Any:
    converter = _converter_of(type(value))
    return value if converter is None else converter.to_transfer_type(value)
