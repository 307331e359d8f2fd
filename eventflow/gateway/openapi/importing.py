"""APIs of OpenAPI documents: what a document says becomes what an application could have declared."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from eventflow.errors import SettingError
from eventflow.gateway.authorizers.settings import IAM, NONE
from eventflow.gateway.models import DRAFT_2020, NAME, library
from eventflow.gateway.openapi import integrations, security
from eventflow.gateway.openapi.export import ANY_METHOD, CORS, EXTENSION, VALIDATORS
from eventflow.gateway.openapi.places import Place
from eventflow.gateway.openapi.schemas import upgraded
from eventflow.gateway.routes import ANY, DEFAULT, METHODS, RouteKey
from eventflow.gateway.validation import DEFAULT as ANY_TYPE
from eventflow.trigger import Resource

LARGEST_DOCUMENT = 16 * 1024 * 1024
PROTOCOLS = ("HTTP", "REST")
#: AWS's extensions of a document, and what of them is for one kind of API alone.
SETTINGS = {
    "cors": "HTTP",
    "request-validators": "REST",
    "request-validator": "REST",
    "api-key-source": "REST",
    "binary-media-types": "REST",
    "minimum-compression-size": "REST",
    "importexport-version": None,
    "documentation": None,
    "any-method": None,
}
OPERATION = frozenset(("integration", "request-validator", "auth"))
#: What of an operation is for those who read it alone.
SAID = ("summary", "description", "operationId", "tags", "deprecated", "externalDocs", "requestBody", "responses")
PATH_MEMBERS = ("summary", "description", "servers", "parameters")
VALIDATOR_NAMES = {pair: name for name, pair in VALIDATORS.items()}


def expanded(resources: Iterable[Resource], functions: Collection[str] | None) -> tuple[Resource, ...]:
    """The resources of an application, with those of the documents that its APIs name in ``openapi``. Raises SettingError."""
    found: list[Resource] = []
    for resource in resources:
        if resource.kind != "api" or "openapi" not in resource.options:
            found.append(resource)
            continue
        options = dict(resource.options)
        found += of_document(resource.name, options.pop("openapi"), options, functions)
    return merged(found)


def of_document(name: str, given: Any, options: Mapping[str, Any], functions: Collection[str] | None = None) -> list[Resource]:
    """The API ``HTTP/shop`` or ``REST/shop`` of a document: a path to YAML or JSON, or its value. Resources: the API, its routes and authorizers.
    ``options`` win over what the document says; ``functions`` are those that there are. Raises SettingError with the JSON pointer of what cannot be
    had here. A template's ``DefinitionBody`` is such a value, once what it refers to is resolved."""
    protocol, _, api = name.partition("/")
    where = f"{protocol} API {api!r}: " + (given if isinstance(given, str) else "openapi")
    if protocol not in PROTOCOLS:
        raise SettingError(f"{protocol} API {api!r}: openapi is refused: HTTP and REST APIs are made of documents.")
    value = read_file(where, Path(given)) if isinstance(given, str) else given
    return Reader(Place(f"{where}#", value, value), protocol, api, functions).resources(options)


def read_file(where: str, path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST_DOCUMENT:
            raise SettingError(f"{where} is larger than {LARGEST_DOCUMENT} bytes.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{where} cannot be read: {error}.") from error
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise SettingError(f"{where} is no JSON: {error}.") from error
    yaml = library(where, "yaml")
    try:
        return as_json(yaml.safe_load(text))
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingError(f"{where} is no YAML that could be JSON: {error}.") from error


def as_json(value: Any) -> Any:
    """What YAML takes for numbers in names (``200:``) and for dates is text in JSON."""
    if isinstance(value, dict):
        return {str(name): as_json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_json(one) for one in value]
    return value.isoformat() if isinstance(value, date) else value


class Reader:
    """Reads one document."""

    def __init__(self, root: Place, protocol: str, api: str, functions: Collection[str] | None) -> None:
        self._root = root
        self._protocol = protocol
        self._api = api
        self._functions = functions
        self._authorizers: dict[str, dict[str, Any]] = {}

    def resources(self, given: Mapping[str, Any]) -> list[Resource]:
        version = self._root.mapping().get("openapi")
        if not isinstance(version, str) or not version.startswith(("3.0.", "3.1.")):
            raise self._root.at("openapi").refused("it takes a document of OpenAPI 3.0 or 3.1")
        options = {**self._settings(), **given}
        validator = options.get("validator")
        routes = [one for path, item in self._root.at("paths").members() for one in self._routes(path, item, validator)]
        authorizers = [Resource("authorizer", name, said) for name, said in self._authorizers.items()]
        if self._authorizers or any(one.options.get("authorizer") for one in routes):
            # Elsewhere silence is an oversight; in a document it says that anybody may.
            routes = [Resource(one.kind, one.name, {"authorizer": NONE, **one.options}) for one in routes]
        return [Resource("api", f"{self._protocol}/{self._api}", options), *authorizers, *routes]

    # What is said of the whole API.

    def _settings(self) -> dict[str, Any]:
        root = self._root
        for name, place in root.members():
            if name.startswith(EXTENSION):
                kind = name.removeprefix(EXTENSION)
                if kind not in SETTINGS:
                    raise place.refused("there is no such thing here; leave it out, nothing would enforce it")
                if SETTINGS[kind] not in (None, self._protocol):
                    raise place.refused(f"{self._protocol} APIs have no such setting")
        for server in root.at("servers").elements():
            server.at(EXTENSION + "endpoint-configuration").only(("types",))
        options: dict[str, Any] = {"info": {name: value for name, value in root.at("info").mapping().items() if not name.startswith("x-")}}
        cors = root.at(EXTENSION + "cors")
        cors.only(CORS)
        if cors.value is not None:
            options["cors"] = {CORS[name]: value for name, value in cors.mapping().items()}
        for setting, option in (("binary-media-types", "binary_media_types"), ("minimum-compression-size", "minimum_compression_size")):
            if root.at(EXTENSION + setting).value is not None:
                options[option] = root.at(EXTENSION + setting).value
        if root.at(EXTENSION + "api-key-source").value is not None:
            options["api_key_source"] = root.at(EXTENSION + "api-key-source").value
        validator = self._validator(root)
        if validator is not None:
            options["validator"] = validator
        return {**options, **self._components()}

    def _components(self) -> dict[str, Any]:
        components = self._root.at("components")
        schemas = {name: upgraded(place.value) for name, place in components.at("schemas").members()}
        if self._protocol != "REST":
            return {"components": {"schemas": schemas}} if schemas else {}
        for name in schemas:
            if not NAME.fullmatch(name):
                raise components.at("schemas").at(name).refused("models have names of A-Z, a-z and 0-9")
        models = {name: {"$schema": DRAFT_2020, **schema} if isinstance(schema, Mapping) else schema for name, schema in schemas.items()}
        return {"models": models} if models else {}

    def _validator(self, place: Place) -> str | None:
        """``body``, ``params`` or ``all``; None where nothing is checked."""
        member = place.at(EXTENSION + "request-validator")
        if member.value is None:
            return None
        if self._protocol != "REST":
            raise member.refused("only REST APIs validate requests")
        said = self._root.at(EXTENSION + "request-validators").at(str(member.value))
        if said.value is None:
            raise member.refused(f"there is no such validator in {EXTENSION}request-validators")
        said.only(("validateRequestBody", "validateRequestParameters"))
        pair = (said.value.get("validateRequestBody", False) is True, said.value.get("validateRequestParameters", False) is True)
        return VALIDATOR_NAMES.get(pair)

    # Routes.

    def _routes(self, path: str, item: Place, default: str | None) -> Iterable[Resource]:
        for name, place in item.members():
            if name.upper() in METHODS or name == ANY_METHOD:
                method = ANY if name == ANY_METHOD else name.upper()
                yield self._route(path, method, item, place, default)
            elif name not in PATH_MEMBERS and not (name.startswith("x-") and not name.startswith(EXTENSION)):
                raise place.refused(f"there is no such method here; there are {', '.join(METHODS).lower()} and {ANY_METHOD}")

    def _route(self, path: str, method: str, item: Place, operation: Place, default: str | None) -> Resource:
        key = DEFAULT if path == f"/{DEFAULT}" else f"{method} {path}"
        try:
            RouteKey.parse(key)
        except SettingError as error:
            raise item.refused(str(error)) from error
        for name, place in operation.members():
            if name.startswith(EXTENSION) and name.removeprefix(EXTENSION) not in OPERATION:
                raise place.refused("there is no such thing here; leave it out, nothing would enforce it")
        options = self._integration(operation, method)
        options.update(self._security(operation))
        validator = self._validator(operation) or default
        parameters = self._parameters(item, operation)
        said = {name: self._documented(name, operation.at(name)) for name in SAID if name in operation.value}
        if parameters:
            said["parameters"] = parameters
        if validator is not None:
            options.update(self._validation(operation, validator, parameters))
        return Resource("route", f"{self._protocol}/{self._api}/{key}", {**options, "openapi": said} if said else options)

    def _integration(self, operation: Place, method: str) -> dict[str, Any]:
        place = operation.at(EXTENSION + "integration").resolved()
        if place.value is None:
            raise operation.refused(f"it has no {EXTENSION}integration, which says what it leads to")
        options = integrations.read(place, self._protocol, method)
        integration = options["integration"]
        if self._functions is not None and integration["type"] == "function" and integration["function"] not in self._functions:
            raise place.at("uri").refused(
                f"the application has no function {integration['function']!r}; it has: {', '.join(sorted(self._functions)) or 'none'}"
            )
        return options

    def _security(self, operation: Place) -> dict[str, Any]:
        auth = operation.at(EXTENSION + "auth")
        if auth.value is not None:
            auth.only(("type",))
            named = {"NONE": NONE, "AWS_IAM": IAM}.get(str(auth.value.get("type")).upper())
            if named is None:
                raise auth.at("type").refused("it takes NONE or AWS_IAM")
            return {"authorizer": named}
        place = operation.at("security") if "security" in operation.value else self._root.at("security")
        requirements = list(place.elements())
        if not requirements:
            return {} if place.value is None else {"authorizer": NONE}
        if len(requirements) > 1:
            raise place.refused("a route has one requirement, with all that it takes")
        found: dict[str, Any] = {}
        for name, scopes in requirements[0].members():
            found |= self._scheme(name, scopes, found)
        return found

    def _scheme(self, name: str, scopes: Place, found: Mapping[str, Any]) -> dict[str, Any]:
        scheme = self._root.at("components").at("securitySchemes").at(name).resolved()
        if scheme.value is None:
            raise scopes.refused("there is no such scheme in components/securitySchemes")
        meant = security.read(scheme, self._protocol)
        if meant == security.API_KEY:
            return {"api_key": True}
        if "authorizer" in found:
            raise scopes.refused("a route has one authorizer")
        if isinstance(meant, str):
            return {"authorizer": meant}
        self._authorizers[name] = meant
        return {"authorizer": name, "scopes": list(scopes.value)} if scopes.value else {"authorizer": name}

    def _parameters(self, item: Place, operation: Place) -> list[dict[str, Any]]:
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for place in (*item.at("parameters").elements(), *operation.at("parameters").elements()):
            one = place.resolved()
            value = dict(one.mapping())
            if "schema" in value:
                value["schema"] = upgraded(value["schema"])
            found[one.text("in"), one.text("name")] = value
        return list(found.values())

    def _validation(self, operation: Place, validator: str, parameters: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        options: dict[str, Any] = {"validator": validator}
        required = [f"{one['in']}.{one['name']}" for one in parameters if one.get("required") and one["in"] in ("header", "query")]
        if required:
            options["required"] = required
        models: dict[str, Any] = {}
        for content_type, media in operation.at("requestBody").resolved().at("content").members():
            schema = media.at("schema").value
            if schema is None:
                continue
            named = schema.get("$ref") if isinstance(schema, Mapping) and len(schema) == 1 else None
            model = named.rpartition("/")[2] if isinstance(named, str) else {"$schema": DRAFT_2020, **upgraded(schema)}
            models[ANY_TYPE if content_type == "*/*" else content_type] = model
        if models:
            options["models"] = models
        return options

    def _documented(self, name: str, place: Place) -> Any:
        """What readers see, without references into components that are not kept, and in schemas of 3.1."""
        if name == "requestBody":
            return with_schemas(place.resolved().value)
        if name == "responses":
            return {status: with_schemas(one.resolved().value) for status, one in place.members()}
        return place.value


def with_schemas(value: Any) -> Any:
    """A body or a response with its schemas in 2020-12."""
    if not isinstance(value, Mapping):
        return value
    found = dict(value)
    for name in ("content", "headers"):
        if isinstance(value.get(name), Mapping):
            found[name] = {key: {**one, "schema": upgraded(one["schema"])} if isinstance(one, Mapping) and "schema" in one else one
                           for key, one in value[name].items()}  # fmt: skip
    return found


def merged(resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """Each once: documents may name one authorizer alike. Raises SettingError where they differ."""
    found: dict[tuple[str, str], Resource] = {}
    for resource in resources:
        other = found.setdefault((resource.kind, resource.name), resource)
        if other.options != resource.options:
            raise SettingError(f"The {resource.kind} {resource.name!r} is declared twice, and differently; rename one of them.")
    return tuple(found.values())
