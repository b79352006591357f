"""The OpenAPI document as Swagger 2.0, which is what Temporal's server has at /swagger.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from perdure.server.http.bindings import Binding
from perdure.server.http.openapi import document

JSON_ONLY: Final = ["application/json"]
OLD_PLACE, NEW_PLACE = '"#/components/schemas/', '"#/definitions/'


def swagger(bindings: Sequence[Binding]) -> bytes:
    """The document, as JSON."""
    whole = json.loads(document(bindings).replace(OLD_PLACE.encode(), NEW_PLACE.encode()))
    paths = {
        path: {verb: _operation(one) for verb, one in operations.items()}
        for path, operations in whole["paths"].items()
    }
    described = {
        "swagger": "2.0",
        "info": whole["info"],
        "consumes": JSON_ONLY,
        "produces": JSON_ONLY,
        "paths": paths,
        "definitions": whole["components"]["schemas"],
    }
    return json.dumps(described, separators=(",", ":")).encode()


def _operation(operation: dict[str, Any]) -> dict[str, Any]:
    parameters = [_parameter(one) for one in operation["parameters"]]
    body = operation.get("requestBody")
    if body is not None:
        parameters.append({"name": "body", "in": "body", "required": True, "schema": _schema(body)})
    return {
        "tags": operation["tags"],
        "operationId": operation["operationId"],
        "parameters": parameters,
        "responses": {
            status: {"description": one["description"], "schema": _schema(one)}
            for status, one in operation["responses"].items()
        },
    }


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    """The parameter, with its type beside its name; several values are given by repeating it."""
    schema = parameter["schema"]
    told = {name: value for name, value in parameter.items() if name != "schema"}
    if schema.get("type") == "array":
        return {**told, **schema, "collectionFormat": "multi"}
    return {**told, "type": "string", **schema}


def _schema(described: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = described["content"]["application/json"]["schema"]
    return schema
