"""Which encodings there are, in the order in which they are asked for a value."""

from __future__ import annotations

from typing import ClassVar

from perdure.converter.encodings import (
    BinaryNullPayloadConverter,
    BinaryPlainPayloadConverter,
    BinaryProtoPayloadConverter,
    JSONProtoPayloadConverter,
)
from perdure.converter.json_plain import JSONPlainPayloadConverter
from perdure.converter.payload_converter import (
    CompositePayloadConverter,
    EncodingPayloadConverter,
    PayloadConverter,
)


class DefaultPayloadConverter(CompositePayloadConverter):
    """All encodings. Messages are written as JSON; `binary/protobuf` is only read."""

    default_encoding_payload_converters: ClassVar[tuple[EncodingPayloadConverter, ...]] = (
        BinaryNullPayloadConverter(),
        BinaryPlainPayloadConverter(),
        JSONProtoPayloadConverter(),
        BinaryProtoPayloadConverter(),
        JSONPlainPayloadConverter(),
    )

    def __init__(self) -> None:
        super().__init__(*self.default_encoding_payload_converters)


PayloadConverter.default = DefaultPayloadConverter()
