"""Keywords of JSON schema whose checks in the library take a time that grows faster than what a client sends: they are checked here instead."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from eventflow.gateway.linear_patterns import TooCostly, searching

#: How many references may still be followed for the body that is being checked: a schema that leads to itself in two ways has each look at a value
#: done twice, at what is in it four times, and so on.
LEFT: ContextVar[list[int]] = ContextVar("references")


def allow_references(size: int) -> None:
    """From now on, in this context, as many as a body of so many bytes may take."""
    LEFT.set([1_000 + 8 * size])


def bounded(validator: Any) -> Any:
    """The library's class of validators with these keywords."""
    follow = validator.VALIDATORS["$ref"]

    def reference(self: Any, name: str, instance: Any, schema: Any) -> Iterator[Any]:
        left = LEFT.get()
        left[0] -= 1
        if left[0] < 0:
            raise TooCostly
        yield from follow(self, name, instance, schema)

    keywords = {
        "$ref": reference,
        "pattern": pattern,
        "patternProperties": pattern_properties,
        "additionalProperties": additional_properties,
        "uniqueItems": unique_items,
    }
    return importlib.import_module("jsonschema.validators").extend(validator, keywords)


def wrong(text: str) -> Any:
    return importlib.import_module("jsonschema.exceptions").ValidationError(text)


def pattern(self: Any, text: str, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not searching(text).matches(instance):
        yield wrong(f"it does not match {text!r}")


def pattern_properties(self: Any, patterns: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[Any]:
    for text, inside in patterns.items() if isinstance(instance, dict) else ():
        for name, value in instance.items():
            if searching(text).matches(name):
                yield from self.descend(value, inside, path=name, schema_path=text)


def additional_properties(self: Any, inside: Any, instance: Any, schema: Any) -> Iterator[Any]:
    for name, value in instance.items() if isinstance(instance, dict) else ():
        if name in schema.get("properties", ()) or any(searching(text).matches(name) for text in schema.get("patternProperties", ())):
            continue
        if inside is False:
            yield wrong(f"{name!r} is not among its properties")
        elif inside is not True:
            yield from self.descend(value, inside, path=name)


def unique_items(self: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if wanted is True and isinstance(instance, list) and len(instance) != len({canonical(one) for one in instance}):
        yield wrong("two of its elements are the same")


def canonical(value: Any) -> Any:
    """The same for what JSON schema calls equal, and nothing else. Numbers become texts: whose hash a client cannot choose."""
    if isinstance(value, dict):
        return frozenset((name, canonical(one)) for name, one in value.items())
    if isinstance(value, list):
        return tuple(canonical(one) for one in value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return (int, str(int(value))) if value.is_integer() else (int, repr(value))
    return (int, str(value)) if isinstance(value, int) else value
