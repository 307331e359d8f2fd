"""Models of REST APIs: JSON schemas by name that may refer to each other, compiled once."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import unquote

from eventflow.errors import SettingError
from eventflow.gateway.linear_patterns import NotLinear, TooCostly, searching
from eventflow.gateway.schema_keywords import allow_references, bounded

#: AWS's schemas are of draft 4; those that come from OpenAPI 3.1 say that they are of 2020-12.
DRAFT_4, DRAFT_2020 = "http://json-schema.org/draft-04/schema#", "https://json-schema.org/draft/2020-12/schema"
NAME = re.compile(r"[A-Za-z0-9]{1,128}")
#: How a schema refers to another model: as AWS does, as OpenAPI does, or by its name alone.
REFERENCE = re.compile(r"(?:https://apigateway\.amazonaws\.com/restapis/[^/]+/models/|#/components/schemas/|)([A-Za-z0-9]+)")
URN = "urn:model:"
DEEPEST = 64


class Validator(Protocol):
    """A compiled schema of the library."""

    def is_valid(self, instance: Any) -> bool: ...


class Models:
    """The models of one API. Raises SettingError for what is no schema, and for a reference that leads nowhere."""

    def __init__(self, where: str, schemas: Mapping[str, Any]) -> None:
        self._where = where
        for name, schema in schemas.items():
            if not NAME.fullmatch(name) or not isinstance(schema, Mapping | bool):
                raise SettingError(f"{where}: the model {name!r} is refused: models are JSON schemas (dicts) with names of A-Z, a-z and 0-9.")
        self.schemas = dict(schemas)
        self._checked: dict[str, Validator] = {}
        self._registry: Any = None
        if schemas:
            self._registry = self._registered()
            for name in schemas:
                self.validator(name)

    def validator(self, name: str) -> Validator:
        """What checks a value against a model."""
        if name not in self.schemas:
            has = ", ".join(sorted(self.schemas)) or "none"
            raise SettingError(f"{self._where}: there is no model named {name!r}; models has: {has}.")
        if name not in self._checked:
            self._checked[name] = self.compiled(f"model {name!r}", {"$ref": URN + name}, dialect_of(self.schemas[name]))
        return self._checked[name]

    def compiled(self, what: str, schema: Any, dialect: str | None = None) -> Validator:
        """A schema that may refer to models."""
        linked = self._linked(schema)
        chosen = self._check(what, linked, dialect or dialect_of(schema))
        found: Validator = chosen(linked) if self._registry is None else chosen(linked, registry=self._registry)
        return found

    def _registered(self) -> Any:
        """All models, where references find them."""
        referencing, drafts = library(self._where, "referencing"), library(self._where, "referencing.jsonschema")
        resources = []
        for name, model in self.schemas.items():
            dialect, linked = dialect_of(model), self._linked(model)
            self._check(f"the model {name!r}", linked, dialect)
            draft = drafts.DRAFT202012 if dialect == DRAFT_2020 else drafts.DRAFT4
            resources.append((URN + name, referencing.Resource(contents=linked, specification=draft)))
        return referencing.Registry().with_resources(resources)

    def _check(self, what: str, schema: Any, dialect: str) -> Any:
        """The library's class for a schema that is one."""
        jsonschema = library(self._where, "jsonschema")
        chosen = jsonschema.Draft202012Validator if dialect == DRAFT_2020 else jsonschema.Draft4Validator
        try:
            chosen.check_schema(schema)
        except Exception as error:  # the library's own SchemaError, and what its meta-schemas stumble over
            path = "/".join(map(str, getattr(error, "absolute_path", ())))
            raise SettingError(f"{self._where}: {what} is no JSON schema: {getattr(error, 'message', error)} (at /{path}).") from error
        for pattern in patterns(schema):
            self._check_pattern(what, pattern)
        for reference in local_references(schema):
            if not leads_somewhere(schema, reference):
                raise SettingError(f"{self._where}: {what}: $ref {reference!r} leads nowhere in it.")
        if has(schema, "unevaluatedProperties") and any(has(one, "patternProperties") for one in (schema, *self.schemas.values())):
            raise SettingError(f"{self._where}: {what}: unevaluatedProperties is refused beside patternProperties; say additionalProperties.")
        return bounded(chosen)

    def _check_pattern(self, what: str, pattern: str) -> None:
        try:
            searching(pattern)
        except re.error as error:
            raise SettingError(f"{self._where}: {what}: the pattern {pattern!r} is no regular expression: {error}.") from error
        except NotLinear as error:
            raise SettingError(
                f"{self._where}: {what}: the pattern {pattern!r} is refused: {error}. A client could send a text that takes hours to be compared."
            ) from error

    def _linked(self, schema: Any, depth: int = 0) -> Any:
        """The schema with its references to models in the form that the library looks them up by."""
        if depth > DEEPEST:
            raise SettingError(f"{self._where}: a model is nested deeper than {DEEPEST}.")
        if isinstance(schema, list):
            return [self._linked(one, depth + 1) for one in schema]
        if not isinstance(schema, Mapping):
            return schema
        linked = {name: self._linked(value, depth + 1) for name, value in schema.items() if name not in ("id", "$id")}
        if isinstance(schema.get("$ref"), str):
            linked["$ref"] = self._link(schema["$ref"])
        elif "id" in schema and not isinstance(schema["id"], str):
            linked["id"] = self._linked(schema["id"], depth + 1)  # a property of that name
        return linked

    def _link(self, reference: str) -> str:
        if reference == "#" or reference.startswith(("#/definitions/", "#/$defs/", "#/properties/", "#/items", URN)):
            return reference
        found = REFERENCE.fullmatch(reference)
        if found is None or found[1] not in self.schemas:
            raise SettingError(f"{self._where}: $ref {reference!r} leads to no model; models has: {', '.join(sorted(self.schemas)) or 'none'}.")
        return URN + found[1]


def dialect_of(schema: Any) -> str:
    named = schema.get("$schema") if isinstance(schema, Mapping) else None
    return DRAFT_2020 if named == DRAFT_2020 or isinstance(schema, bool) else DRAFT_4


def objects_in(schema: Any) -> Iterator[Mapping[str, Any]]:
    """The JSON objects of a schema, itself the first."""
    if isinstance(schema, Mapping):
        yield schema
        schema = schema.values()
    elif not isinstance(schema, list):
        return
    for one in schema:
        yield from objects_in(one)


def patterns(schema: Any) -> Iterator[str]:
    """The regular expressions in a schema."""
    for found in objects_in(schema):
        if isinstance(found.get("pattern"), str):
            yield found["pattern"]
        if isinstance(found.get("patternProperties"), Mapping):
            yield from found["patternProperties"]


def has(schema: Any, keyword: str) -> bool:
    """Whether a keyword is anywhere in a schema."""
    return any(keyword in found for found in objects_in(schema))


def local_references(schema: Any) -> Iterator[str]:
    """What a schema refers to in itself."""
    for found in objects_in(schema):
        if isinstance(found.get("$ref"), str) and found["$ref"].startswith("#"):
            yield found["$ref"]


def leads_somewhere(schema: Any, reference: str) -> bool:
    """Whether a JSON pointer, as a fragment of an address, leads to a schema."""
    found = schema
    for part in unquote(reference[1:]).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return False
    return isinstance(found, Mapping | bool)


def library(where: str, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SettingError(f"{where}: that takes the package {name}, which is not installed: pip install 'eventflow[gateway]'.") from error


def accepts(validator: Validator, body: bytes) -> bool:
    """Whether a body is JSON that the schema allows."""
    allow_references(len(body))
    try:
        return bool(validator.is_valid(json.loads(body.decode(), parse_constant=refuse)))
    except (ValueError, RecursionError, TooCostly, ArithmeticError):  # the last are the library's, of numbers that no float can be
        return False


def refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
