"""How the values of a program become payloads, and payloads values again.

A *payload converter* maps values to payloads (JSON, by default), a *payload codec* payloads to
payloads (encryption, compression), a *failure converter* exceptions to failures; a *data converter*
is one of each, with a *storage* for payloads that are too large to travel.
"""

from __future__ import annotations

from perdure.converter.context import (
    ActivitySerializationContext,
    NexusSerializationContext,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from perdure.converter.data_converter import DataConverter, default
from perdure.converter.defaults import DefaultPayloadConverter
from perdure.converter.encodings import (
    BinaryNullPayloadConverter,
    BinaryPlainPayloadConverter,
    BinaryProtoPayloadConverter,
    JSONProtoPayloadConverter,
)
from perdure.converter.external_storage import (
    ExternalStorage,
    StorageDriver,
    StorageDriverActivityInfo,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverSelectContext,
    StorageDriverStoreContext,
    StorageDriverWorkflowInfo,
    StorageWarning,
)
from perdure.converter.failure_converter import (
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
    FailureConverter,
)
from perdure.converter.json_plain import AdvancedJSONEncoder, JSONPlainPayloadConverter
from perdure.converter.payload_codec import PayloadCodec
from perdure.converter.payload_converter import (
    CompositePayloadConverter,
    EncodingPayloadConverter,
    PayloadConverter,
)
from perdure.converter.search_attributes import (
    decode_search_attributes,
    decode_typed_search_attributes,
    encode_search_attribute_values,
    encode_search_attributes,
    encode_typed_search_attribute_value,
)
from perdure.converter.transfer_types import TransferTypeConverter, transfer_type_convertible
from perdure.converter.type_hints import (
    JSONTypeConverter,
    JSONTypeConverterUnhandled,
    value_to_type,
)
from perdure.converter.validation import create_payload_validation_error

__all__ = [
    "ActivitySerializationContext",
    "AdvancedJSONEncoder",
    "BinaryNullPayloadConverter",
    "BinaryPlainPayloadConverter",
    "BinaryProtoPayloadConverter",
    "CompositePayloadConverter",
    "DataConverter",
    "DefaultFailureConverter",
    "DefaultFailureConverterWithEncodedAttributes",
    "DefaultPayloadConverter",
    "EncodingPayloadConverter",
    "ExternalStorage",
    "FailureConverter",
    "JSONPlainPayloadConverter",
    "JSONProtoPayloadConverter",
    "JSONTypeConverter",
    "JSONTypeConverterUnhandled",
    "NexusSerializationContext",
    "PayloadCodec",
    "PayloadConverter",
    "SerializationContext",
    "StorageDriver",
    "StorageDriverActivityInfo",
    "StorageDriverClaim",
    "StorageDriverRetrieveContext",
    "StorageDriverSelectContext",
    "StorageDriverStoreContext",
    "StorageDriverWorkflowInfo",
    "StorageWarning",
    "TransferTypeConverter",
    "WithSerializationContext",
    "WorkflowSerializationContext",
    "create_payload_validation_error",
    "decode_search_attributes",
    "decode_typed_search_attributes",
    "default",
    "encode_search_attribute_values",
    "encode_search_attributes",
    "encode_typed_search_attribute_value",
    "transfer_type_convertible",
    "value_to_type",
]
