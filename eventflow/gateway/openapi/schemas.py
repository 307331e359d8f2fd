"""JSON schemas of older dialects (draft 4, OpenAPI 3.0) as OpenAPI 3.1 has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

#: Where a schema has schemas: one, a list, or a mapping of them.
ONE = ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties")
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
MAPS = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
LIMITS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}

Link = Callable[[str], str]


def upgraded(schema: Any, link: Link = str) -> Any:
    """The schema in JSON Schema 2020-12; ``link`` rewrites what ``$ref`` leads to. What is of that dialect already comes out as it is."""
    if not isinstance(schema, Mapping):
        return schema
    if isinstance(schema.get("$ref"), str) and "$schema" not in schema and not any(name in schema for name in (*LISTS, "properties", "type")):
        return {**{name: schema[name] for name in ("description", "summary") if name in schema}, "$ref": link(schema["$ref"])}
    found: dict[str, Any] = {}
    for name, value in schema.items():
        if name in ("$schema", "id", "nullable", "example"):
            continue
        found[name] = inside(name, value, link)
    for exclusive, limit in LIMITS.items():
        if isinstance(found.get(exclusive), bool) and found.pop(exclusive) and limit in found:
            found[exclusive] = found.pop(limit)
    if isinstance(found.get("items"), list):
        found["prefixItems"] = found.pop("items")
        if "additionalItems" in found:
            found["items"] = upgraded(found.pop("additionalItems"), link)
    dependencies = found.pop("dependencies", {})
    for name, value in dependencies.items():
        kind = "dependentRequired" if isinstance(value, list) else "dependentSchemas"
        found.setdefault(kind, {})[name] = upgraded(value, link)
    if "example" in schema and "examples" not in schema:
        found["examples"] = [schema["example"]]
    return with_null(found) if schema.get("nullable") is True else found


def inside(name: str, value: Any, link: Link) -> Any:
    if name == "$ref" and isinstance(value, str):
        return link(value)
    if name in LISTS or (name == "items" and isinstance(value, list)):
        return [upgraded(one, link) for one in value] if isinstance(value, list) else value
    if name in ONE:
        return upgraded(value, link)
    if name in MAPS and isinstance(value, Mapping):
        return {key: upgraded(one, link) for key, one in value.items()}
    return value


def with_null(schema: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.0's ``nullable``."""
    if "type" not in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    values = {"enum": [*schema["enum"], None]} if "enum" in schema and None not in schema["enum"] else {}
    return {**schema, "type": [*types, "null"], **values}
