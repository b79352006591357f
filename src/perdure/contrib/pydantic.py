"""Pydantic's own way to and from JSON, for every value and every type hint that it knows.

    client = await Client.connect("localhost:7233", data_converter=pydantic_data_converter)

The default data converter takes pydantic models too. This one has pydantic validate all values, and
write whatever it can write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import SchemaSerializer, to_json
from pydantic_core.core_schema import any_schema
from temporalio.api.common.v1 import Payload

from perdure.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
)

__all__ = [
    "PydanticJSONPlainPayloadConverter",
    "PydanticPayloadConverter",
    "ToJsonOptions",
    "pydantic_data_converter",
]

TYPE_ADAPTERS_MAX = 1024
"""Making the adapter of a type is dear, so that many are kept."""


@dataclass
class ToJsonOptions:
    """How values are written: `exclude_unset` leaves out the fields that nobody has set."""

    exclude_unset: bool = False


class PydanticJSONPlainPayloadConverter(EncodingPayloadConverter):
    """`json/plain`, by pydantic."""

    def __init__(
        self,
        to_json_options: ToJsonOptions | None = None,
        *,
        max_cached_type_adapters: int | None = TYPE_ADAPTERS_MAX,
    ) -> None:
        self._serializer = SchemaSerializer(any_schema())
        self._exclude_unset = to_json_options is not None and to_json_options.exclude_unset
        self._adapter: Callable[[Any], TypeAdapter[Any]] = TypeAdapter
        if max_cached_type_adapters != 0:
            self._adapter = lru_cache(maxsize=max_cached_type_adapters)(TypeAdapter)

    @property
    def encoding(self) -> str:
        """The name of the encoding."""
        return "json/plain"

    def to_payload(self, value: Any) -> Payload | None:
        """The payload of any value. Raises what pydantic raises."""
        data = (
            self._serializer.to_json(value, exclude_unset=True)
            if self._exclude_unset
            else to_json(value)
        )
        return Payload(metadata={"encoding": self.encoding.encode()}, data=data)

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The value, validated by its hint. Raises what pydantic raises."""
        hint = Any if type_hint is None else type_hint
        try:
            adapter = self._adapter(hint)
        except TypeError:  # a hint that cannot be a key
            adapter = TypeAdapter(hint)
        return adapter.validate_json(payload.data)


class PydanticPayloadConverter(CompositePayloadConverter):
    """The encodings of the default converter, with pydantic for JSON."""

    def __init__(
        self,
        to_json_options: ToJsonOptions | None = None,
        *,
        max_cached_type_adapters: int | None = TYPE_ADAPTERS_MAX,
    ) -> None:
        json = PydanticJSONPlainPayloadConverter(
            to_json_options, max_cached_type_adapters=max_cached_type_adapters
        )
        super().__init__(
            *(
                json if isinstance(one, JSONPlainPayloadConverter) else one
                for one in DefaultPayloadConverter.default_encoding_payload_converters
            )
        )


pydantic_data_converter = DataConverter(payload_converter_class=PydanticPayloadConverter)
