"""The OpenAPI document of the bindings, made of the descriptors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from perdure import __version__
from perdure.server.http.bindings import Binding
from perdure.server.http.transcoding import PAYLOAD, PAYLOADS

Schema = dict[str, Any]

WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d+)?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
    "google.protobuf.BoolValue": {"type": "boolean"},
    "google.protobuf.DoubleValue": {"type": "number"},
    "google.protobuf.UInt32Value": {"type": "integer"},
    PAYLOAD: {"description": "any JSON value; what is not JSON is told with its metadata"},
    PAYLOADS: {"type": "array", "items": {}},
}
SCALARS: dict[int, Schema] = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "format": "uint64"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}
STATUS: Schema = {
    "type": "object",
    "properties": {
        "code": {"type": "integer", "format": "int32"},
        "message": {"type": "string"},
        "details": {"type": "array", "items": WELL_KNOWN["google.protobuf.Any"]},
    },
}


def document(bindings: Sequence[Binding]) -> bytes:
    """The document, as JSON."""
    schemas: dict[str, Schema] = {"Status": STATUS}
    paths: dict[str, dict[str, Schema]] = {}
    for binding in bindings:
        operations = paths.setdefault(binding.path, {})
        operations.setdefault(binding.verb.lower(), _operation(binding, schemas))
    return json.dumps(
        {
            "openapi": "3.0.3",
            "info": {"title": "Perdure", "version": __version__},
            "paths": paths,
            "components": {"schemas": schemas},
        },
        separators=(",", ":"),
    ).encode()


def _operation(binding: Binding, schemas: dict[str, Schema]) -> Schema:
    method = binding.method
    prefix = "api_v1_" if binding.path.startswith("/api/v1/") else ""
    count = len(binding.fields)
    operation: Schema = {
        "tags": [method.containing_service.name],
        "operationId": f"{prefix}{method.name}_{count}",
        "parameters": _parameters(binding),
        "responses": {
            "200": _content("OK", _of_message(method.output_type, schemas)),
            "default": _content("what was wrong", {"$ref": "#/components/schemas/Status"}),
        },
    }
    if binding.has_body:
        schema = _of_message(method.input_type, schemas)
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _content(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _parameters(binding: Binding) -> list[Schema]:
    given = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in binding.fields
    ]
    if binding.has_body:
        return given
    for name, field in _leaves(binding.method.input_type, "", 0):
        if name not in binding.fields:
            given.append({"name": name, "in": "query", "schema": _of_leaf(field)})
    return given


def _leaves(descriptor: Descriptor, prefix: str, depth: int) -> list[tuple[str, FieldDescriptor]]:
    """The fields that a query can give, those of messages by dots."""
    found: list[tuple[str, FieldDescriptor]] = []
    for field in descriptor.fields:
        name = f"{prefix}{field.name}"
        if field.message_type is None or field.message_type.full_name in WELL_KNOWN:
            found.append((name, field))
        elif depth == 0 and not field.is_repeated:
            found += _leaves(field.message_type, f"{name}.", depth + 1)
    return found


def _of_leaf(field: FieldDescriptor) -> Schema:
    if field.message_type is not None:
        return WELL_KNOWN[field.message_type.full_name]
    one = _of_enum(field.enum_type) if field.enum_type is not None else SCALARS[field.cpp_type]
    return {"type": "array", "items": one} if field.is_repeated else one


def _of_message(descriptor: Descriptor, schemas: dict[str, Schema]) -> Schema:
    """A reference to the schema of a message, which is made if there is none yet."""
    name = descriptor.full_name
    if name in WELL_KNOWN:
        return WELL_KNOWN[name]
    if name not in schemas:
        schema: Schema = {"type": "object", "properties": {}}
        schemas[name] = schema  # Before its fields, which may have the same type.
        for field in descriptor.fields:
            schema["properties"][field.json_name] = _of_field(field, schemas)
    return {"$ref": f"#/components/schemas/{name}"}


def _of_field(field: FieldDescriptor, schemas: dict[str, Schema]) -> Schema:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        values = _of_field(message.fields_by_name["value"], schemas)
        return {"type": "object", "additionalProperties": values}
    if message is not None:
        one = _of_message(message, schemas)
        return {"type": "array", "items": one} if field.is_repeated else one
    if field.type == FieldDescriptor.TYPE_BYTES:
        one = {"type": "string", "format": "byte"}
        return {"type": "array", "items": one} if field.is_repeated else one
    return _of_leaf(field)


def _of_enum(enum: EnumDescriptor) -> Schema:
    return {"type": "string", "enum": [value.name for value in enum.values]}
