"""Values to payloads and back, one payload per value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from temporalio.api.common.v1 import Payload, Payloads

from perdure.common.raw_value import RawValue
from perdure.converter.context import SerializationContext, WithSerializationContext, in_context
from perdure.converter.external_storage import StorageNotConfiguredError, is_reference


class PayloadConverter(ABC):
    """Converts values. Runs inside workflows, so it must be deterministic and must not block."""

    default: ClassVar[PayloadConverter]
    """An instance of `DefaultPayloadConverter`."""

    @abstractmethod
    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Payloads for values. A `RawValue` is its own payload."""

    @abstractmethod
    def from_payloads(
        self, payloads: Sequence[Payload], type_hints: list[Any] | None = None
    ) -> list[Any]:
        """Values for payloads. With the hint `RawValue` the value is the payload itself."""

    def to_payloads_wrapper(self, values: Sequence[Any]) -> Payloads:
        """`to_payloads` as a `Payloads` message."""
        return Payloads(payloads=self.to_payloads(values))

    def from_payloads_wrapper(self, payloads: Payloads | None) -> list[Any]:
        """`from_payloads` of a message that may be missing or empty."""
        if payloads is None or not payloads.payloads:
            return []
        return self.from_payloads(payloads.payloads)

    def to_payload(self, value: Any) -> Payload:
        """The payload of one value."""
        return self.to_payloads([value])[0]

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The value of one payload."""
        return self.from_payloads([payload], None if type_hint is None else [type_hint])[0]


class EncodingPayloadConverter(ABC):
    """Converts the values that suit one encoding, the `encoding` metadata of their payloads."""

    @property
    @abstractmethod
    def encoding(self) -> str:
        """The name of the encoding."""

    @abstractmethod
    def to_payload(self, value: Any) -> Payload | None:
        """The payload, or None for a value that this encoding is not for."""

    @abstractmethod
    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The value of a payload of this encoding."""


class CompositePayloadConverter(PayloadConverter, WithSerializationContext):
    """Asks its converters in order; the first that takes a value converts it."""

    converters: dict[bytes, EncodingPayloadConverter]

    def __init__(self, *converters: EncodingPayloadConverter) -> None:
        self._set_converters(*converters)

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Payloads for values. Raises RuntimeError when no converter takes one of them."""
        return [self._encode(index, value) for index, value in enumerate(values)]

    def from_payloads(
        self, payloads: Sequence[Payload], type_hints: list[Any] | None = None
    ) -> list[Any]:
        """Values for payloads. Hints that are missing at the end count as none.

        Raises RuntimeError when a payload cannot be read as its hint, and KeyError for an encoding
        that no converter is for.
        """
        hints = type_hints or []
        return [
            self._decode(index, payload, hints[index] if index < len(hints) else None)
            for index, payload in enumerate(payloads)
        ]

    def with_context(self, context: SerializationContext) -> Self:
        """The same converters, each for the context; `self` when none of them wants to know it."""
        converters = self.get_converters_with_context(context)
        if converters is None:
            return self
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied._set_converters(*converters)
        return copied

    def get_converters_with_context(
        self, context: SerializationContext
    ) -> list[EncodingPayloadConverter] | None:
        """The converters for a context; None when no one of them wants to know it."""
        current = list(self.converters.values())
        if not any(isinstance(one, WithSerializationContext) for one in current):
            return None
        return [in_context(one, context) for one in current]

    def _set_converters(self, *converters: EncodingPayloadConverter) -> None:
        self.converters = {converter.encoding.encode(): converter for converter in converters}

    def _encode(self, index: int, value: Any) -> Payload:
        if isinstance(value, RawValue):
            return value.payload
        for converter in self.converters.values():
            payload = converter.to_payload(value)
            if payload is not None:
                return payload
        raise RuntimeError(f"Value at index {index} of type {type(value)} has no known converter")

    def _decode(self, index: int, payload: Payload, type_hint: Any) -> Any:
        if type_hint is RawValue:
            return RawValue(payload)
        encoding = payload.metadata.get("encoding", b"<unknown>")
        converter = self.converters.get(encoding)
        if converter is None:
            if is_reference(payload):
                raise StorageNotConfiguredError
            raise KeyError(f"Unknown payload encoding {encoding.decode(errors='replace')}")
        try:
            return converter.from_payload(payload, type_hint)
        except StorageNotConfiguredError:
            raise
        except RuntimeError as error:
            raise RuntimeError(
                f"Payload at index {index} with encoding {encoding.decode()} could not be converted"
            ) from error


def is_context_free(component: Any) -> bool:
    """Whether a component of a data converter is the same in every context."""
    if not isinstance(component, CompositePayloadConverter):
        return not isinstance(component, WithSerializationContext)
    own, base = type(component), CompositePayloadConverter
    return (
        own.with_context is base.with_context
        and own.get_converters_with_context is base.get_converters_with_context
        and all(map(is_context_free, component.converters.values()))
    )
