"""Swagger 2.0, which SAM writes for REST APIs, as OpenAPI 3.0, which the gateway reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

METHODS = frozenset(["get", "put", "post", "delete", "options", "head", "patch", "x-amazon-apigateway-any-method"])
#: What says where a value of a parameter or header is described, and so goes into its schema in 3.0.
SCHEMA = (
    "type",
    "format",
    "items",
    "default",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "enum",
    "multipleOf",
)
JSON = ["application/json"]


def document_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """A document of OpenAPI 3; one that is 3 already stays as it is, but for what only AWS's console reads."""
    if "openapi" in body:
        return {name: value for name, value in body.items() if name != "tags"}
    kept = {name: value for name, value in body.items() if name.startswith("x-amazon-apigateway-") or name in ("info", "security", "externalDocs")}
    components = {}
    if body.get("definitions"):
        components["schemas"] = moved(body["definitions"])
    if body.get("securityDefinitions"):
        components["securitySchemes"] = {name: scheme(one) for name, one in body["securityDefinitions"].items()}
    paths = {path: item_of(item, body) for path, item in (body.get("paths") or {}).items()}
    kept.setdefault("info", {"title": "api", "version": "1.0"})
    return {"openapi": "3.0.1", **kept, "paths": paths, **({"components": components} if components else {})}


def moved(value: Any) -> Any:
    """References to definitions, where 3.0 has them."""
    if isinstance(value, list):
        return [moved(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {
        name: one.replace("#/definitions/", "#/components/schemas/") if name == "$ref" and isinstance(one, str) else moved(one)
        for name, one in value.items()
    }


def scheme(value: Any) -> Any:
    if not isinstance(value, Mapping) or value.get("type") != "basic":
        return value
    return {**value, "type": "http", "scheme": "basic"}


def item_of(item: Any, body: Mapping[str, Any]) -> Any:
    if not isinstance(item, Mapping):
        return item
    found = {name: operation_of(one, body) if name in METHODS else one for name, one in item.items()}
    if "parameters" in found:
        found["parameters"] = [parameter(one) for one in found["parameters"]]
    return found


def operation_of(operation: Any, body: Mapping[str, Any]) -> Any:
    if not isinstance(operation, Mapping):
        return operation
    found = {name: value for name, value in operation.items() if name not in ("consumes", "produces", "schemes", "parameters", "responses")}
    given = [moved(one) for one in operation.get("parameters") or []]
    bodies = [one for one in given if isinstance(one, Mapping) and one.get("in") == "body"]
    others = [parameter(one) for one in given if one not in bodies]
    if others:
        found["parameters"] = others
    if bodies:
        types = operation.get("consumes") or body.get("consumes") or JSON
        content = {kind: {"schema": bodies[0].get("schema", {})} for kind in types}
        found["requestBody"] = {"content": content, "required": bool(bodies[0].get("required"))}
    types = operation.get("produces") or body.get("produces") or JSON
    found["responses"] = {str(status): response(one, types) for status, one in (operation.get("responses") or {}).items()}
    return found


def parameter(value: Any) -> Any:
    """A parameter or header: what describes its value is its schema's."""
    if not isinstance(value, Mapping) or "$ref" in value or "schema" in value:
        return value
    said = {name: one for name, one in value.items() if name in SCHEMA}
    rest = {name: one for name, one in value.items() if name not in SCHEMA and name != "collectionFormat"}
    return {**rest, "schema": said or {"type": "string"}}


def response(value: Any, types: list[str]) -> Any:
    if not isinstance(value, Mapping):
        return value
    found = {name: one for name, one in value.items() if name not in ("schema", "headers", "examples")}
    found.setdefault("description", "")
    if "schema" in value:
        found["content"] = {kind: {"schema": moved(value["schema"])} for kind in types}
    if isinstance(value.get("headers"), Mapping):
        found["headers"] = {name: parameter(one) for name, one in value["headers"].items()}
    return found
