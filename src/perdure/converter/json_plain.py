"""`json/plain`: what JSON can say, and what type hints make of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from temporalio.api.common.v1 import Payload

from perdure.converter.payload_converter import EncodingPayloadConverter
from perdure.converter.type_hints import Decoders, JSONTypeConverter


class AdvancedJSONEncoder(json.JSONEncoder):
    """Also writes dataclasses, pydantic models, datetimes, UUIDs, and whatever can be iterated."""

    def default(self, o: Any) -> Any:
        """What stands in JSON for a value that JSON does not know. Raises TypeError."""
        if dataclasses.is_dataclass(o) and not isinstance(o, type):
            return {field.name: getattr(o, field.name) for field in dataclasses.fields(o)}
        if isinstance(o, datetime):
            return o.isoformat()
        if isinstance(o, UUID):
            return str(o)
        if isinstance(o, type):
            return super().default(o)
        if callable(getattr(o, "model_dump", None)):
            return o.model_dump(mode="json")
        if callable(getattr(o, "dict", None)):  # pydantic 1
            return o.dict()
        if isinstance(o, Iterable):
            return list(o)
        return super().default(o)


class JSONPlainPayloadConverter(EncodingPayloadConverter):
    """Takes every value that its encoder can write. Keys are sorted and nothing is padded, so that
    equal values give equal bytes."""

    def __init__(
        self,
        *,
        encoder: type[json.JSONEncoder] | None = AdvancedJSONEncoder,
        decoder: type[json.JSONDecoder] | None = None,
        encoding: str = "json/plain",
        custom_type_converters: Sequence[JSONTypeConverter] = (),
    ) -> None:
        self._encoder = (encoder or json.JSONEncoder)(separators=(",", ":"), sort_keys=True)
        self._decoder = (decoder or json.JSONDecoder)()
        self._encoding = encoding
        self._empty = Payload(metadata={"encoding": encoding.encode()})
        self._type_decoders = Decoders(custom_type_converters)

    @property
    def encoding(self) -> str:
        """The name of the encoding."""
        return self._encoding

    def to_payload(self, value: Any) -> Payload | None:
        """The payload of any value. Raises TypeError for one that cannot be written."""
        payload = Payload()
        payload.CopyFrom(self._empty)
        payload.data = self._encoder.encode(value).encode()
        return payload

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The value, as the hint asks for it. Raises RuntimeError for what is not JSON."""
        try:
            value = self._decoder.decode(payload.data.decode())
        except ValueError as error:
            raise RuntimeError("Failed parsing") from error
        return value if type_hint is None else self._type_decoders.decoder(type_hint)(value)
